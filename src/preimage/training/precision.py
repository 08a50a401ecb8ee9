"""Where to compute, and in what precision."""

from __future__ import annotations

import timeit
from functools import cache, partial

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment
from torch.nn.functional import conv2d

from preimage.core import InputError

PRECISIONS = ("auto", "bf16", "fp32")
GAIN = 1.2  # times as quick as float32: for less, its lost digits are not worth it


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

    "auto" says yes where that is quicker: on a GPU that supports it, and on a CPU that was seen to
    be (some have instructions for it, and take longer all the same).
    """
    if precision not in PRECISIONS:
        raise InputError(f"no precision '{precision}'; choose from: {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and _has_instructions() and _gain() >= GAIN


def _has_instructions() -> bool:
    """Whether this CPU has any for bfloat16: elsewhere it is emulated, and trying takes long."""
    checks = [
        getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")
    ]
    return any(check is not None and check() for check in checks)


@cache
@torch.no_grad()
def _gain() -> float:
    """How many times as quick a convolution is on this CPU in bfloat16: tried once a process."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (
            torch.ones(size, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for size in ((16, 64, 16, 16), (64, 64, 3, 3))
        )
        run = partial(conv2d, x, weight, padding=1)
        run()  # compiled at its first call
        seconds[dtype] = min(timeit.repeat(run, number=1, repeat=5))
    return seconds[torch.float32] / seconds[torch.bfloat16]
