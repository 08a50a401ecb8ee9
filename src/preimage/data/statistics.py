"""What was computed of real data, kept by content: the same images are not looked at twice.

An entry's name is a hash of everything it follows from, and images are named by their content, so
a statistic that can be found is one that fits, wherever its images came from. An entry has a hash
of its own too: a file that was damaged or put there by hand is computed anew.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preimage.core.hashing import hash_tensors
from preimage.data import cache as store

FORMAT = 2  # of an entry; raised whenever what is kept of the same data changes


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
        if (found := _read(path, name)) is not None:
            return found
    found = compute()
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        of_all = hash_tensors(found.items(), start=name)
        save_file({k: v.contiguous() for k, v in found.items()}, aside, {"hash": of_all})
        aside.replace(path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return found


def _read(path: Path, name: str) -> dict[str, Tensor] | None:
    """An entry, or None where it is not what was written under this name."""
    with safe_open(path, "pt") as file:
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        written = (file.metadata() or {}).get("hash")
    return found if written == hash_tensors(found.items(), start=name) else None
