"""Any source of images → an integer memory map → batches; digits and faces ship with it.

Nothing is imported before it is used: the processes that decode images run below this package and
must stay small, and the command line answers `--help` without loading a tensor library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preimage.data import cache, digits, faces
    from preimage.data.dataset import Dataset
    from preimage.data.loading import from_arrays, images, load, load_as
    from preimage.data.named import NamedSet, datasets

_HOME = {
    "Dataset": "preimage.data.dataset",
    "NamedSet": "preimage.data.named",
    "cache": "preimage.data.cache",
    "datasets": "preimage.data.named",
    "digits": "preimage.data.digits",
    "faces": "preimage.data.faces",
    "from_arrays": "preimage.data.loading",
    "images": "preimage.data.loading",
    "load": "preimage.data.loading",
    "load_as": "preimage.data.loading",
}

__all__ = [
    "Dataset",
    "NamedSet",
    "cache",
    "datasets",
    "digits",
    "faces",
    "from_arrays",
    "images",
    "load",
    "load_as",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = module if _HOME[name] == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value
