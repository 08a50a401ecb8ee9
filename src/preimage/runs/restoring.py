"""Restoration and inpainting that leave a folder behind, image by image as they are done.

DIR/restored/NAME.png     the images as they may have been (of inpainting: DIR/filled/NAME, at the
                          photograph's own size); NAME-2.png and so on are other fillings
DIR/uncertainty/NAME.png  how far from sure each pixel is, at the model's size: white is ±1
DIR/sheet.png             the first few: given, restored, how sure
DIR/restored.npz          latents, estimate, band and standard deviation of all of them
DIR/restore.json          what was asked for, and what came of it, image by image
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.doubts import doubts, mean_deviation
from preimage.applications.holes import Holes, as_seen, checked, filled
from preimage.applications.inpainting import Inpainter, classical, classically
from preimage.applications.photographs import Photograph, written
from preimage.applications.restoration import Restored, Restorer
from preimage.core import InputError, Step
from preimage.core.words import counted
from preimage.inversion.problem import Operator
from preimage.pictures import pairs, png, sheet
from preimage.runs.files import readable_errors, write_bytes, write_json
from preimage.runs.pictures import save_latents

AT_ONCE = 16  # images worked on together
SHOWN = 8  # images on the sheet
WIDTH, HEIGHT = 800, 1200  # pixels of the sheet that small images are enlarged towards

Labels = Callable[[int], Tensor | None]  # so many images → their classes, where they are known


class Photos(Protocol):
    """Photographs, decoded one at a time."""

    @property
    def names(self) -> Sequence[str]: ...

    def photo(self, i: int) -> Photograph:
        """Raises InputError where it cannot be used."""
        ...


class Rows(Protocol):
    """Observations in rows: a data set, or tensors."""

    names: Any

    def batch(self, indices: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Shown:
    """One image on the sheet: each (C, h, w) in [−1, 1], but for the deviation, from 0."""

    given: Tensor
    restored: Tensor
    deviation: Tensor
    others: Tensor  # (n − 1, C, h, w)


class Folder:
    """What is common to both: images in turn, a folder, a sheet and JSON at the end."""

    verb = "restore"
    images = "restored"

    def __init__(
        self, names: Sequence[str], folder: Path, settings: Mapping[str, Any], number: int | None,
        skipped: Sequence[tuple[str, str]],
    ):  # fmt: skip
        self.names, self.folder, self.settings = names, folder, settings
        self.total = len(names) if number is None else min(number, len(names))
        self.skipped, self.stopped = list(skipped), False
        self._reserved = {*names, *map(as_png, names), *(f"{name}.png" for name in names)}
        self._rows: list[dict[str, Any]] = []
        self._parts: list[Restored] = []
        self._shown: list[Shown] = []

    def stop(self) -> None:
        """Keep the images that are done, and end."""
        self.stopped = True

    def __iter__(self) -> Iterator[Step]:
        """Raises InputError where nothing could be done at all; nothing is written then."""
        for first in range(0, self.total, AT_ONCE):
            yield from self._batch(range(first, min(first + AT_ONCE, self.total)))
            if self.stopped:
                return
        if not self._rows:
            _, why = self.skipped[0]
            more = counted(len(self.skipped) - 1, "other")
            raise InputError(why if len(self.skipped) == 1 else f"{why}; nor can {more}")

    def _batch(self, rows: Sequence[int]) -> Iterator[Step]:
        raise NotImplementedError

    def _write(self, *parts: str, content: bytes) -> str:
        inside = [p for part in parts for p in PurePosixPath(part).parts if p not in ("/", "..")]
        path = self.folder.joinpath(*inside)
        with readable_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        return str(path)

    def _sure(self, name: str, deviation: Tensor) -> str:
        """The map of a standard deviation (C, H, W), the root mean square over channels."""
        content = png(sheet(_overall(deviation)[None] * 2 - 1, scale=1, padding=0))
        return self._write("uncertainty", as_png(name), content=content)

    def finish(self) -> dict[str, Any]:
        """Sheet, arrays and JSON of what is done; what the JSON holds."""
        result: dict[str, Any] = {**self.settings, "out": str(self.folder), "stopped": self.stopped}
        result |= {"asked": self.total, "sheet": None, "arrays": None, "images": self._rows}
        result["skipped"] = [{"name": name, "reason": reason} for name, reason in self.skipped]
        if not self._rows:
            return result
        size = max(64, *(shown.restored.shape[-1] for shown in self._shown))
        rows = {
            "given": torch.stack([_alike(shown.given, size) for shown in self._shown]),
            self.images: torch.stack([_alike(shown.restored, size) for shown in self._shown]),
        }
        for k in range(len(self._shown[0].others)):
            rows[f"another ({k + 2})"] = torch.stack(
                [_alike(shown.others[k], size) for shown in self._shown]
            )
        if self._parts:
            unsure = torch.stack([_alike(_overall(one.deviation), size) for one in self._shown])
            most = float(unsure.max().clamp_min(1e-6))  # is white, or nothing would be seen
            rows[f"not sure (white: ±{float(f'{50 * most:.2g}'):g} %)"] = unsure * (2 / most) - 1
            found = Restored.concatenated(self._parts)
            result["arrays"] = str(self.folder / "restored.npz")
            save_latents(
                self.folder / "restored.npz", latents=found.z, images=found.images,
                uncertainty=found.uncertainty, low=found.low, high=found.high,
                scores=found.scores,
            )  # fmt: skip
        drawn = pairs(rows, scale=_scale(len(self._shown), len(rows), size), padding=4)
        result["sheet"] = self._write("sheet.png", content=png(drawn))
        write_json(self.folder / f"{self.verb}.json", result)
        return result


class FiledRestoration(Folder):
    """`for step in job:` restores and writes; `stop()` ends it; `finish()` writes the rest."""

    def __init__(
        self,
        source: Rows,
        restorer: Restorer,
        through: Operator,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        labels: Labels,
        n: int = 1,
        scale: float = 1.0,
        number: int | None = None,
        skipped: Sequence[tuple[str, str]] = (),
    ):
        names = [str(name) for name in source.names]
        super().__init__(names, folder, settings, number, skipped)
        self.source, self.restorer, self.through = source, restorer, through
        self.labels, self.n, self.scale = labels, n, scale

    def _batch(self, rows: Sequence[int]) -> Iterator[Step]:
        y = self.source.batch(torch.tensor(rows))
        found = self.restorer.restore(
            y, self.through.select(torch.zeros(len(y), dtype=torch.int64)), self.labels(len(y)),
            n=self.n, scale=self.scale,
        )  # fmt: skip
        self._parts.append(found)
        for row, i in enumerate(rows):
            name, others = self.names[i], found.fillings[row, 1:]
            files = [self._image(name, found.images[row])]
            files += [
                self._image(numbered(as_png(name), k + 2, self._reserved), other)
                for k, other in enumerate(others)
            ]
            sure = found.uncertainty[row]
            notes = _notes(name, found, row)
            more = {"notes": list(notes)}
            self._rows.append(facts(name, files, self._sure(name, sure), found, row) | more)
            if len(self._shown) < SHOWN:
                self._shown.append(Shown(y[row], found.images[row], sure, others))
            yield Step(i + 1, self.total, stage="restore", notes=notes)
            if self.stopped:
                return

    def _image(self, name: str, image: Tensor) -> str:
        content = png(sheet(image[None], scale=1, padding=0))
        return self._write("restored", as_png(name), content=content)


class FiledInpainting(Folder):
    """The same of photographs with holes, at their own size."""

    verb = "inpaint"
    images = "filled"

    def __init__(
        self,
        photos: Photos,
        inpainter: Inpainter | str,  # or the name of a classical method
        holes: Callable[[str], Holes],  # by the photograph's name
        folder: Path,
        *,
        settings: Mapping[str, Any],
        labels: Labels,
        feather: float = 0.0,
        calibration: bool = True,
        n: int = 1,
        number: int | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        progress: Callable[[Step], None] | None = None,
    ):
        super().__init__(photos.names, folder, settings, number, skipped)
        self.photos, self.inpainter, self.holes = photos, inpainter, holes
        self.labels, self.feather, self.n, self.progress = labels, feather, n, progress
        self.calibration = calibration

    def _batch(self, rows: Sequence[int]) -> Iterator[Step]:
        usable = []
        for i in rows:
            try:
                photo = self.photos.photo(i)
                hole = checked(self.holes(photo.name)(photo), photo)
                usable.append((i, photo, hole, as_seen(photo, hole)))
            except InputError as error:
                self.skipped.append((self.names[i], str(error)))
        if not usable:
            return
        x = torch.stack([photo.x for _, photo, _, _ in usable])
        missing = torch.stack([seen for _, _, _, seen in usable])
        found = None
        if isinstance(self.inpainter, Inpainter):
            scale = 1.0
            if self.calibration:
                scale = self.inpainter.scale(missing, progress=self.progress)
            labels = self.labels(len(x))
            found = self.inpainter.inpaint(
                x, missing, labels, n=self.n, scale=scale, progress=self.progress
            )
            self._parts.append(found)
        for row, (i, photo, hole, _) in enumerate(usable):
            name = photo.name
            results = self._filled(photo, hole, found, row)
            files = [
                self._write(
                    "filled",
                    file_name(photo, k, self._reserved),
                    content=written(photo, r, exactly=True),
                )
                for k, r in enumerate(results)
            ]
            sure = None if found is None else self._sure(name, found.uncertainty[row])
            frames = f"only the first of {photo.frames} frames of {name} was filled and written"
            notes = (*((frames,) if photo.frames > 1 else ()), *_notes(name, found, row))
            more = {"filled": int(hole.sum()), "notes": list(notes)}
            self._rows.append(facts(name, files, sure, found, row) | more)
            if len(self._shown) < SHOWN:
                self._shown.append(self._pictured(x[row], missing[row], found, row))
            yield Step(i + 1, self.total, stage="inpaint", notes=notes)
            if self.stopped:
                return

    def _filled(
        self, photo: Photograph, hole: np.ndarray, found: Restored | None, row: int
    ) -> list[np.ndarray]:
        """The photograph's pixels with each filling in the hole."""
        if found is None:
            assert isinstance(self.inpainter, str)
            k = photo.colours
            values = classical(self.inpainter, photo.pixels[..., :k], hole)
            result = photo.pixels.copy()
            rounded = np.rint(values) if result.dtype.kind != "f" else values
            result[hole, :k] = rounded[hole].astype(result.dtype)
            return [result]
        assert isinstance(self.inpainter, Inpainter)
        chosen = [found.images[row]] if self.n == 1 else list(found.fillings[row])
        return [
            filled(photo, c.numpy(), hole, blend=self.inpainter.blend, feather=self.feather)
            for c in chosen
        ]

    def _pictured(self, x: Tensor, missing: Tensor, found: Restored | None, row: int) -> Shown:
        given = torch.where(missing, torch.zeros_like(x), x)
        if found is None:
            assert isinstance(self.inpainter, str)
            image = classically(self.inpainter, x[None], missing[None])[0]
            return Shown(given, image, torch.zeros_like(x), x[:0][None][:0])
        first = found.images[row] if self.n == 1 else found.fillings[row, 0]
        return Shown(given, first, found.uncertainty[row], found.fillings[row, 1:])


def check_any(photos: Photos, holes: Callable[[str], Holes], number: int | None = None) -> None:
    """Raises InputError, the first photograph's, where not one of them can be filled."""
    why = None
    for i in range(len(photos.names) if number is None else min(number, len(photos.names))):
        try:
            photo = photos.photo(i)
            as_seen(photo, checked(holes(photo.name)(photo), photo))
        except InputError as error:
            why = why or error
        else:
            return
    if why is not None:
        raise why


def facts(
    name: str, files: list[str], sure: str | None, found: Restored | None, row: int
) -> dict[str, Any]:
    """What the JSON says of one image."""
    result: dict[str, Any] = {"name": name, "file": files[0], "files": files, "uncertainty": sure}
    if found is None:
        return result
    result["mean_uncertainty"] = mean_deviation(found, row)
    result["scores"] = [round(float(score), 4) for score in found.scores[row]]
    result["band_scale"] = round(found.scale, 4)
    return result


def _notes(name: str, found: Restored | None, row: int) -> tuple[str, ...]:
    """What a person should know of one image."""
    doubt = None if found is None else doubts(found)[row]
    return () if doubt is None else (f"{name} {doubt}",)


def file_name(photo: Photograph, k: int, reserved: Collection[str]) -> str:
    """NAME of the first filling, and NAME-2, … of others; PNG where the format would round.

    reserved: names that are those of photographs, and of none of the others.
    """
    name = f"{photo.name}.png" if photo.rounds else photo.file_name
    return numbered(name, k + 1, reserved) if k else name


def numbered(name: str, k: int, reserved: Collection[str]) -> str:
    """NAME-k, or where another image is called that, NAME--k."""
    path, mark = PurePosixPath(name), "-"
    while (other := str(path.with_name(f"{path.stem}{mark}{k}{path.suffix}"))) in reserved:
        mark += "-"
    return other


def as_png(name: str) -> str:
    """A name that ends as those of PNG files do."""
    return name if name.lower().endswith(".png") else f"{name}.png"


def _scale(columns: int, rows: int, size: int) -> int:
    """Pixels on the sheet for each of an image's, so that all of it can be looked at."""
    return max(1, min(WIDTH // (columns * size), HEIGHT // (rows * size)))


def _overall(deviation: Tensor) -> Tensor:
    """The root mean square over channels: (C, h, w) → (1, h, w)."""
    return deviation.square().mean(0, keepdim=True).sqrt()


def _alike(x: Tensor, size: int) -> Tensor:
    """An image (C, h, w) at the sheet's size, in three channels."""
    x = x if x.shape[0] == 3 else x[:1].expand(3, -1, -1)
    return F.interpolate(x[None], size=(size, size), mode="nearest")[0]
