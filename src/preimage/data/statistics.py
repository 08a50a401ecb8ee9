"""What was computed of real data, kept by content: the same images are not looked at twice.

An entry's name is a hash of everything it follows from, and images are named by their content, so
a statistic that can be found is one that fits, wherever its images came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from preimage.data import cache as store

FORMAT = 1  # of an entry; raised whenever what is kept of the same data changes


def kept(
    of: Mapping[str, Any],  # all it follows from: content of the data, extractor, resize, options
    compute: Callable[[], dict[str, Tensor]],
    *,
    cache: str | os.PathLike[str] | None = None,
) -> dict[str, Tensor]:
    """The tensors that were kept of these, or those computed now, which are kept.

    A cache that cannot be written is left alone.
    """
    name = store.digest({"format": FORMAT, **of})
    path = store.root(cache) / "statistics" / f"{name}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(path)
    found = compute()
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in found.items()}, aside)
        aside.replace(path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return found


def content(batches: Iterable[Tensor]) -> str:
    """A hash of images or features that come in batches, whatever the batches are."""
    digest = hashlib.blake2b(digest_size=16)
    kind = None
    for batch in batches:
        x = batch.detach().cpu().contiguous()
        if kind is None:
            kind = f"{tuple(x.shape[1:])} {x.dtype};"
            digest.update(kind.encode())
        digest.update(x.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
