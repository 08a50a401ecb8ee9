"""A data set to and from the folder that the cache keeps it in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from preimage.core import DataSpec
from preimage.data import cache
from preimage.data.dataset import Dataset

_ARRAYS = ("hashes", "train", "heldout", "labels")


def write(dataset: Dataset, folder: Path, *, manifest: Any = None) -> None:
    """Everything but the images, which are there already; `meta.json` last."""
    for name in _ARRAYS:
        if (array := getattr(dataset, name)) is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    if dataset.attributes:
        stacked = np.stack([dataset.attributes[name] for name in dataset.attributes])
        np.save(folder / "attributes.npy", stacked, allow_pickle=False)
    if dataset.skipped:
        lines = (json.dumps({"file": n, "reason": r}) + "\n" for n, r in dataset.skipped)
        (folder / "skipped.jsonl").write_text("".join(lines), "utf-8")
    cache.write_json(folder / "manifest.json", manifest)
    meta = {
        "name": dataset.name,
        "source": dataset.source,
        "count": len(dataset),
        "spec": dataset.spec.to_json(),
        "names": list(dataset.names),
        "fingerprint": dataset.fingerprint,
        "classes": dataset.classes,
        "attributes": list(dataset.attributes),
        "categories": dataset.categories,
        "skipped": dataset.skipped,
        "duplicates": dataset.duplicates,
        "value_range": dataset.value_range,
        "notes": dataset.notes,
    }
    cache.write_json(folder / "meta.json", meta)


def read(folder: Path) -> Dataset | None:
    """The data set of an entry, its images a read-only memory map; None where it is not whole."""
    meta = cache.read_json(folder / "meta.json")
    if meta is None:
        return None
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        arrays = {
            name: np.load(folder / f"{name}.npy", allow_pickle=False)
            for name in (*_ARRAYS, "attributes")
            if (folder / f"{name}.npy").is_file()
        }
    except (OSError, ValueError):
        return None
    attributes = arrays.pop("attributes", None)
    report = folder / "skipped.jsonl"
    low_high = meta["value_range"]
    return Dataset(
        name=meta["name"],
        source=meta["source"],
        spec=DataSpec.from_json(meta["spec"]),
        images=images,
        names=meta["names"],
        fingerprint=meta["fingerprint"],
        classes=tuple(meta["classes"]),
        attributes={}
        if attributes is None
        else dict(zip(meta["attributes"], attributes, strict=True)),
        categories={name: tuple(values) for name, values in meta["categories"].items()},
        skipped=[(name, reason) for name, reason in meta["skipped"]],
        duplicates=[tuple(group) for group in meta["duplicates"]],
        value_range=None if low_high is None else (low_high[0], low_high[1]),
        notes=tuple(meta["notes"]),
        report=report if report.is_file() else None,
        **arrays,
    )
