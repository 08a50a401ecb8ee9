"""Latents that were saved: of samples, reconstructions, inversions, walks."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.core.words import counted
from preimage.exploration.direction import owner

NAMED = re.compile(r"(?P<path>.+\.(?:npz|safetensors))(?:\[(?P<row>-?\d+)\])?", re.IGNORECASE)
KEY = "latents"


@dataclass(frozen=True)
class SavedLatents:
    """A file of latents, and the row of it that is meant; all of them where that is None."""

    path: Path
    row: int | None = None

    @classmethod
    def named(cls, text: str) -> SavedLatents | None:
        """`found.npz[3]` or `found.safetensors`, where there is such a file and it has latents."""
        match = NAMED.fullmatch(text)
        path = Path(match["path"]).expanduser() if match else None
        if match is None or path is None or not path.is_file():
            return None
        saved = cls(path, None if match["row"] is None else int(match["row"]))
        return saved if saved.row is not None or KEY in saved._names() else None

    def read(self, model: LatentModel) -> Tensor:
        """The latents (N, *space.shape). Raises InputError where they are not this model's."""
        found = self._arrays()
        if found[KEY].dtype.kind not in "fiu":
            raise InputError(f"{self.path} holds '{KEY}' that are no numbers")
        latents, shape = torch.from_numpy(found[KEY]).float(), tuple(model.space.shape)
        if "model" in found and str(found["model"]) != owner(model):
            raise InputError(
                f"{self.path} holds latents of model {found['model']}, "
                f"and this is model {owner(model)}"
            )
        if tuple(latents.shape[1:]) != shape:
            given = tuple(latents.shape[1:])
            raise InputError(
                f"{self.path} holds latents of shape {given}; this model's are {shape}"
            )
        if not len(latents) or not latents.isfinite().all():
            raise InputError(
                f"{self.path} holds no latents, or some that are not finite (NaN or ∞)"
            )
        if self.row is None:
            return latents
        if not -len(latents) <= self.row < len(latents):
            held = counted(len(latents), "latent")
            raise InputError(f"{self.path} holds {held}, counted from 0; it has no [{self.row}]")
        return latents[[self.row]]

    def _names(self) -> set[str]:
        """What the file holds; nothing where it cannot be read."""
        try:
            if self.path.suffix.lower() == ".npz":
                with np.load(self.path, allow_pickle=False) as file:
                    return set(file.files)
            with safe_open(self.path, framework="np") as file:
                return set(file.keys())
        except (OSError, ValueError, zipfile.BadZipFile, SafetensorError):
            return set()

    def _arrays(self) -> dict[str, np.ndarray]:
        """The latents, and whose they are where that is known."""
        if KEY not in self._names():
            raise InputError(f"{self.path} holds no '{KEY}', or cannot be read")
        try:
            if self.path.suffix.lower() == ".npz":
                with np.load(self.path, allow_pickle=False) as file:
                    return {name: file[name] for name in (KEY, "model") if name in file.files}
            with safe_open(self.path, framework="np") as file:
                return {KEY: file.get_tensor(KEY)}
        except (OSError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
            raise InputError(f"{self.path} cannot be read: {error}") from None
