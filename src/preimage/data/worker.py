"""The process that opens files nobody vouches for: it may crash or be killed, the load goes on.

It reads one JSON line for each chunk of work, with its settings, and answers each image with one
JSON line. Pixels do not travel: they are written into the shared memory map.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from preimage.data.decode import (
    Target,
    content_hash,
    flatten,
    header,
    open_image,
    reason,
    render,
    strict_pillow,
)

MEMORY = 2 << 30  # bytes of address space a worker may use


def main() -> None:
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _limit_memory()
    settings: dict[str, Any] = {}
    target = pixels = None
    for line in sys.stdin:
        chunk = json.loads(line)
        if chunk["settings"] != settings:
            settings = chunk["settings"]
            strict_pillow(settings["max_pixels"])
            target = pixels = None
            if "target" in settings:
                target = Target.from_json(settings["target"])
                pixels = np.lib.format.open_memmap(settings["map"], mode="r+")
        for job in chunk["jobs"]:
            answer: dict[str, Any] = {"index": job["index"]}
            try:
                answer |= _work(job, settings["max_pixels"], target, pixels)
            except (Exception, MemoryError) as error:
                answer["reason"] = reason(error)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _work(
    job: dict[str, Any], max_pixels: int, target: Target | None, pixels: np.ndarray | None
) -> dict[str, Any]:
    with open_image(job["path"], job["offset"], job["length"], max_pixels=max_pixels) as image:
        if target is None or pixels is None:
            return {"header": asdict(header(image))}
        flat = flatten(image, target.background)
    array = render(flat, target)
    pixels[job["row"]] = array
    grey = bool((array == array[:1]).all())
    return {"hash": content_hash(np.asarray(flat)), "grey": grey, "size": flat.size}


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        known = [limit for limit in (soft, hard, MEMORY) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
