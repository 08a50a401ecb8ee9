"""Which weights a model has, in a word: what belongs to a generator can tell that it is the one."""

from __future__ import annotations

from preimage.core import LatentModel
from preimage.core.hashing import hash_tensors


def fingerprint(model: LatentModel) -> str:
    """16 letters and digits that follow from the names, shapes and values of all weights."""
    generator = getattr(model, "generator", None)
    # of a model with a learned encoder, which only holds it
    start = fingerprint(generator) if isinstance(generator, LatentModel) else ""
    return hash_tensors(model.state_dict().items(), start=start)
