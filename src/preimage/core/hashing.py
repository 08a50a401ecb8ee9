"""Tensors in a word: 16 letters and digits that follow from names, shapes, types and values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def hash_tensors(named: Iterable[tuple[str, Tensor]], *, start: str = "") -> str:
    """The hash of named tensors in the order of their names, after what is already known."""
    digest = hashlib.blake2b(start.encode(), digest_size=8)
    for name, tensor in sorted(named, key=lambda item: item[0]):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
