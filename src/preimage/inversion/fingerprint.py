"""Which weights a model has, in a word: what belongs to a generator can tell that it is the one."""

from __future__ import annotations

import hashlib

import torch

from preimage.core import LatentModel


def fingerprint(model: LatentModel) -> str:
    """16 letters and digits that follow from the names, shapes and values of all weights."""
    digest = hashlib.blake2b(digest_size=8)
    generator = getattr(model, "generator", None)
    if isinstance(generator, LatentModel):  # of a model with a learned encoder, which only holds it
        digest.update(fingerprint(generator).encode())
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
