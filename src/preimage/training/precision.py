"""Where to compute, and in what precision."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment

from preimage.core import InputError

PRECISIONS = ("auto", "bf16", "fp32")


def accelerator(device: str = "auto") -> Accelerator:
    """Accelerate on the device of that name; "auto" takes the best there is.

    Raises InputError where there is no such device.
    """
    # Accelerate keeps one device for the whole process, and of several GPUs it takes the first
    AcceleratorState._reset_state(reset_partial_state=True)
    if device == "auto":
        return Accelerator()
    named = best_device(device)
    with patch_environment(ACCELERATE_TORCH_DEVICE=named):
        return Accelerator(cpu=named.type == "cpu")


def best_device(device: str = "auto") -> torch.device:
    """The device of that name, or for "auto" the best there is.

    Raises InputError where there is no such device.
    """
    if device == "auto":
        return accelerator().device
    if device != "cpu" and not _has(device):
        raise InputError(f"no device '{device}' on this machine; take --device cpu")
    return torch.device(device)


def _has(device: str) -> bool:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True


def bfloat16(precision: str, device: torch.device) -> bool:
    """Whether forward passes run under bfloat16 autocast.

    "auto" says yes where the machine has instructions for it: a CPU with AVX-512 BF16 or AMX
    (elsewhere it is emulated, and slower than fp32), or a GPU that supports it.
    """
    if precision not in PRECISIONS:
        raise InputError(f"no precision '{precision}'; choose from: {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    has = [
        getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")
    ]
    return any(check is not None and check() for check in has)
