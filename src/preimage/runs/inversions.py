"""The folder of an inversion: what was found of each image, batch by batch, and then as a whole.

DIR/settings.json            what was asked for; `--resume` goes on only with the same
DIR/parts/INDEX.safetensors  a batch of answers, whole or not there
DIR/latents.npz, .safetensors, inversion.json    all of them, in the images' order
DIR/sheet.png, trace.png     the first few, looked at
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from preimage.core import InputError
from preimage.inversion.search import Status
from preimage.runs.files import (
    check_free,
    read_json,
    readable_errors,
    write_bytes,
    write_json,
)
from preimage.runs.pictures import save_latents

FORMAT = 1
RESUME = "choose another --out, or give --resume"

KEPT = ("z", "start", "error", "objective", "status", "iterations", "evaluations", "trace")
SOLVED = (None, False, True)  # as a file of tensors numbers them
LATENTS = ("z", "start", "latent_std")
WHOLE = ("index", "status", "iterations", "evaluations", "labels", "solved")  # numbers


class InversionFolder:
    """Answers about the images of one source, gathered until there is one for each."""

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> InversionFolder:
        """A new folder. Raises InputError where there is something already."""
        check_free(path, RESUME)
        with readable_errors(path):
            (path / "parts").mkdir(parents=True, exist_ok=True)
        settings = json.loads(json.dumps({"format": FORMAT, **settings}))
        write_json(path / "settings.json", settings)
        return cls(path, settings)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> InversionFolder:
        """A folder to go on with. Raises InputError where it was asked for something else."""
        if not (path / "settings.json").is_file():
            raise InputError(f"{path} holds no inversion to resume; leave --resume out to begin")
        found = read_json(path / "settings.json")
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(f"{path}/settings.json is not of this version; begin anew elsewhere")
        wanted = json.loads(json.dumps({"format": FORMAT, **settings}))
        for name in sorted({*found, *wanted}, key=lambda name: (name == "operator", name)):
            if found.get(name) != wanted.get(name):
                other = f"{name} = {found.get(name)}, not {wanted.get(name)}"
                if name == "operator":  # it is long, and its words are those that were given before
                    other = f"other content in --through {' '.join(wanted['through'])}"
                raise InputError(
                    f"{path} was begun with {other}; "
                    "give the same options to --resume it, or another --out"
                )
        with readable_errors(path):
            (path / "parts").mkdir(exist_ok=True)
        return cls(path, found)

    def add(
        self, part: Mapping[str, Tensor], sentences: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Write the answers about some images, `part["index"]` (B,) saying which they are.

        sentences: what is said of them in words, by index and subject.
        """
        rows = {name: tensor.detach().cpu().contiguous() for name, tensor in part.items()}
        metadata = {"sentences": json.dumps(sentences or {})}
        path = self.path / "parts" / f"{_stem(part)}.safetensors"
        write_bytes(path, save(rows, metadata=metadata))

    def discard(self) -> None:
        """Leave no trace of an inversion that has not come to its first answer."""
        with contextlib.suppress(OSError):  # there is something
            (self.path / "parts").rmdir()
            (self.path / "settings.json").unlink()
            self.path.rmdir()

    def sentences(self) -> dict[int, dict[str, str]]:
        """What was said of each image in words, by index and subject."""
        said: dict[int, dict[str, str]] = {}
        for path in self._paths():
            said |= _read(path)[1]
        return said

    def check(self, latent: tuple[int, ...], classes: int) -> None:
        """Raises InputError for a part that is of other latents or classes than a model's."""
        for path, part in self._parts().items():
            if tuple(part["z"].shape[1:]) != latent:
                raise _damaged(path, f"its latents are {tuple(part['z'].shape[1:])}, not {latent}")
            if classes and not ("labels" in part and (part["labels"] < classes).all()):
                raise _damaged(path, "its labels are no classes of the model")

    def done(self) -> Tensor:
        """Indices (N,) of the images that have an answer, in ascending order.

        Raises InputError where a part is broken.
        """
        found = [part["index"] for part in self._parts().values()]
        return torch.cat([torch.empty(0, dtype=torch.int64), *found]).sort().values

    def answers(self) -> dict[str, Tensor]:
        """Every quantity of every image done, in the order of their indices; {} if there is none.

        Raises InputError where a part is broken.
        """
        parts = list(self._parts().values())
        if not parts:
            return {}
        lengths = [part["trace"].shape[1] for part in parts]
        for part in parts:  # a batch that ended early stays at its last loss
            trace = part["trace"]
            missing = max(lengths) - trace.shape[1]
            part["trace"] = torch.cat([trace, trace[:, -1:].expand(-1, missing)], 1)
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        order = joined["index"].argsort()
        return {name: rows[order] for name, rows in joined.items()}

    def _paths(self) -> list[Path]:
        return sorted((self.path / "parts").glob("*.safetensors"))

    def _parts(self) -> dict[Path, dict[str, Tensor]]:
        """The quantities of every part. Raises InputError where one was damaged."""
        count = int(self.settings["images"].partition(",")[0])  # "300, FINGERPRINT"
        parts: dict[Path, dict[str, Tensor]] = {}
        seen: set[int] = set()
        for path in self._paths():
            parts[path], said = _read(path)
            fault = _fault(parts[path], count)
            if fault is not None:
                raise _damaged(path, fault)
            index = set(parts[path]["index"].tolist())
            if path.stem != _stem(parts[path]) or index & seen or said.keys() - index:
                raise _damaged(path, "it is about images that are not its own")
            seen |= index
        if len({frozenset(part) for part in parts.values()}) > 1:
            raise InputError(f"the parts of {self.path} are not of one inversion; begin anew")
        return parts

    def finish(self, names: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Write all latents in two formats, and what is known of the images as JSON."""
        answers = self.answers()
        kept: dict[str, Any] = {"latents": answers["z"]}
        kept |= {n: t for n, t in answers.items() if n != "z"}
        save_latents(self.path / "latents.npz", **kept)
        metadata = {"names": json.dumps(list(names))}
        content = save({n: t.contiguous() for n, t in kept.items()}, metadata=metadata)
        write_bytes(self.path / "latents.safetensors", content)
        write_json(self.path / "inversion.json", {**self.settings, **facts})


def _stem(part: Mapping[str, Tensor]) -> str:
    """The name of a part's file: that of its first image."""
    return f"{int(part['index'][0]):08d}"


def _read(path: Path) -> tuple[dict[str, Tensor], dict[int, dict[str, str]]]:
    """What a part's file holds: rows by name, and sentences by index and subject."""
    try:
        part = load_file(path)
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("sentences", "{}"))
        said = {int(i): {str(subject): text for subject, text in found[i].items()} for i in found}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "its sentences are not JSON of ours") from None
    if not all(isinstance(text, str) for words in said.values() for text in words.values()):
        raise _damaged(path, "its sentences are no words")
    return part, said


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(f"{path} is broken ({fault}); delete it and --resume, to search again")


def _fault(part: Mapping[str, Tensor], count: int) -> str | None:
    """What is wrong with a part about some of `count` images; None: nothing."""
    absent = {"index", *KEPT} - part.keys()
    if absent:
        return f"it has no {min(absent)}"
    rows = (part["index"].numel(),)
    shapes = dict.fromkeys(part, rows)
    shapes |= dict.fromkeys(LATENTS, (*rows, *part["z"].shape[1:]))
    shapes["trace"] = (*rows, max(part["trace"].shape[1:2].numel(), 1))
    limits = {"index": count, "status": len(Status), "solved": len(SOLVED)}
    for name, tensor in part.items():
        if tuple(tensor.shape) != shapes[name] or not tensor.numel():
            return f"{name} is {tuple(tensor.shape)}, not {shapes[name]}"
        if (name in WHOLE) == tensor.is_floating_point():
            return f"{name} is of {tensor.dtype}"
        if name in WHOLE and not ((tensor >= 0) & (tensor < limits.get(name, math.inf))).all():
            return f"{name} goes from {int(tensor.min())} to {int(tensor.max())}"
    if part["index"].unique().numel() < rows[0]:
        return "an image stands in it twice"
    if not part["z"][part["status"] != Status.FAILED].isfinite().all():
        return "its latents are not finite"
    p = part.get("p_value", torch.ones(1))
    return None if ((p > 0) & (p <= 1)).all() else "p_value is not between 0 and 1"
