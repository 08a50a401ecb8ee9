"""The folder of an inversion: what was found of each image, batch by batch, and then as a whole.

DIR/settings.json            what was asked for; `--resume` goes on only with the same
DIR/parts/INDEX.safetensors  a batch of answers, whole or not there
DIR/latents.npz, .safetensors, inversion.json    all of them, in the images' order
DIR/sheet.png, trace.png     the first few, looked at
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from preimage.core import InputError
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
        for name in sorted({*found, *wanted}):
            if found.get(name) != wanted.get(name):
                raise InputError(
                    f"{path} was begun with {name} = {found.get(name)}, not {wanted.get(name)}; "
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
        path = self.path / "parts" / f"{int(part['index'][0]):08d}.safetensors"
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
        for path in sorted((self.path / "parts").glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                found = json.loads((file.metadata() or {}).get("sentences", "{}"))
            said |= {int(i): words for i, words in found.items()}
        return said

    def done(self) -> Tensor:
        """Indices (N,) of the images that have an answer, in ascending order."""
        return self.answers().get("index", torch.empty(0, dtype=torch.int64))

    def answers(self) -> dict[str, Tensor]:
        """Every quantity of every image done, in the order of their indices; {} if there is none.

        Raises InputError where a part is broken.
        """
        parts = [self._part(path) for path in sorted((self.path / "parts").glob("*.safetensors"))]
        if not parts:
            return {}
        if any(part.keys() != parts[0].keys() for part in parts):
            raise InputError(f"the parts of {self.path} are not of one inversion; begin anew")
        lengths = [part["trace"].shape[1] for part in parts]
        for part in parts:  # a batch that ended early stays at its last loss
            trace = part["trace"]
            missing = max(lengths) - trace.shape[1]
            part["trace"] = torch.cat([trace, trace[:, -1:].expand(-1, missing)], 1)
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        order = joined["index"].argsort()
        return {name: rows[order] for name, rows in joined.items()}

    def _part(self, path: Path) -> dict[str, Tensor]:
        try:
            part = load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is broken ({error}); delete it and --resume") from None
        if not {"index", "z", "trace"} <= part.keys():
            raise InputError(f"{path} is no part of an inversion; delete it and --resume")
        return part

    def finish(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Write all latents in two formats, and what is known of each image as JSON."""
        answers = self.answers()
        kept: dict[str, Any] = {"latents": answers["z"]}
        kept |= {n: t for n, t in answers.items() if n != "z"}
        save_latents(self.path / "latents.npz", **kept)
        metadata = {"names": json.dumps(list(names))}
        content = save({n: t.contiguous() for n, t in kept.items()}, metadata=metadata)
        write_bytes(self.path / "latents.safetensors", content)
        write_json(self.path / "inversion.json", {**self.settings, "images": list(rows)})
