"""Editing that leaves a folder behind: each photograph at its full size, as soon as it is done.

DIR/edited/NAME   the edited photographs, under their own names
DIR/sheet.png     the first few, before and after
DIR/strip-….png   the first few at several strengths, a picture for each direction
DIR/latents.npz   where the images lie, and where the edited ones do
DIR/edit.json     what was asked for, and what came of it, image by image
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.applications.editing import Change, Edit, Editor
from preimage.applications.photographs import Photograph, carried, opened, softened, written
from preimage.core import InputError, Step
from preimage.core.words import counted
from preimage.data import Dataset
from preimage.data.archives import Item
from preimage.data.decode import Target, flatten, render
from preimage.pictures import pairs, png, sheet
from preimage.runs.files import readable_errors, write_bytes, write_json
from preimage.runs.pictures import save_latents

AT_ONCE = 16  # images inverted and edited together
SHOWN = 8  # images on the sheet and on strips
LARGE = 128  # pixels of an image's side on a strip, where the model draws fewer
SIDE = 192  # pixels of a photograph's side on the sheet, where the model draws fewer

Find = Callable[[Tensor], tuple[Tensor, Tensor | None]]  # images → latents, and classes


@dataclass(frozen=True)
class Edited:
    """One image, edited and made into a file."""

    file: str
    content: bytes
    before: Tensor  # (C, h, w) in [−1, 1], for the sheet
    after: Tensor
    notes: tuple[str, ...] = ()


class Pictures(Protocol):
    """Images to edit, one by one."""

    @property
    def names(self) -> Sequence[str]: ...

    def x(self, i: int) -> Tensor:
        """What the model sees of one: (C, H, W). Raises InputError where it cannot be used."""
        ...

    def edited(self, i: int, change: Change, mask: np.ndarray | None) -> Edited: ...


class Photographs:
    """Image files, decoded whole, one at a time."""

    def __init__(self, items: Sequence[Item], target: Target, max_pixels: int):
        self.items, self.target, self.max_pixels = items, target, max_pixels
        self.names = [item.name for item in items]

    def x(self, i: int) -> Tensor:
        return self._opened(i).x

    def edited(self, i: int, change: Change, mask: np.ndarray | None) -> Edited:
        photo = self._opened(i)
        pixels = carried(photo, change, mask)
        frames = f"only the first of {photo.frames} frames of {photo.name} was edited and written"
        return Edited(
            file=photo.file_name,
            content=written(photo, pixels),
            before=_shown(photo, photo.pixels),
            after=_shown(photo, pixels),
            notes=(frames,) if photo.frames > 1 else (),
        )

    def _opened(self, i: int) -> Photograph:
        return opened(self.items[i], self.target, max_pixels=self.max_pixels)


class Rows:
    """Images of a data set that are no files of their own: edited at the model's size."""

    def __init__(self, data: Dataset):
        self.data, self.names = data, [str(name) for name in data.names]

    def x(self, i: int) -> Tensor:
        return self.data.batch([i])[0]

    def edited(self, i: int, change: Change, mask: np.ndarray | None) -> Edited:
        x = self.data.batch([i])
        after = change.of(x) if mask is None else change.within(fitting(mask, x.shape[2:])).of(x)
        name = self.names[i] if self.names[i].endswith(".png") else f"{self.names[i]}.png"
        return Edited(name, png(sheet(after, scale=1)), x[0], after[0])


def fitting(mask: np.ndarray, size: Sequence[int]) -> Tensor:
    """A mask (H, W) uint8 for images of the model's size: (H, W) in [0, 1], with a soft edge.

    Raises InputError where it is of another size.
    """
    if mask.shape != tuple(size):
        raise InputError(
            f"--mask is of {mask.shape[1]}×{mask.shape[0]} pixels; give one of the model's "
            f"{size[1]}×{size[0]}"
        )
    return torch.from_numpy(softened(mask, 1))


class FiledEdit:
    """`for step in job:` edits and writes; `stop()` ends it; `finish()` writes what was learned."""

    def __init__(
        self,
        pictures: Pictures,
        editor: Editor,
        find: Find,
        folder: Path,
        *,
        settings: Mapping[str, Any],  # what was asked for, for the JSON
        n: int | None = None,
        mask: np.ndarray | None = None,
        strip: Sequence[float] = (),
        skipped: Sequence[tuple[str, str]] = (),
        progress: Callable[[Step], None] | None = None,
    ):
        self.pictures, self.editor, self.find, self.folder = pictures, editor, find, folder
        self.settings, self.mask, self.strip = settings, mask, strip
        self.total = len(pictures.names) if n is None else min(n, len(pictures.names))
        self.skipped, self.progress, self.stopped = list(skipped), progress, False
        self._rows: list[dict[str, Any]] = []
        self._latents: list[tuple[Tensor, Tensor]] = []
        self._shown: list[tuple[Edited, dict[str, Tensor]]] = []  # and strips (S, C, H, W)

    def stop(self) -> None:
        """Keep the photographs that are done, and end."""
        self.stopped = True

    def __iter__(self) -> Iterator[Step]:
        """Raises InputError where not one image could be edited; nothing is written then."""
        at_once = 1 if self.editor.tune else AT_ONCE
        for first in range(0, self.total, at_once):
            yield from self._batch(range(first, min(first + at_once, self.total)))
            if self.stopped:
                return
        if not self._rows:
            _, why = self.skipped[0]
            more = counted(len(self.skipped) - 1, "other")
            raise InputError(why if len(self.skipped) == 1 else f"{why}; nor can {more}")

    def _batch(self, rows: Sequence[int]) -> Iterator[Step]:
        usable: list[int] = []
        seen: list[Tensor] = []
        for i in rows:
            if (x := self._or_skip(i, lambda i=i: self.pictures.x(i))) is not None:
                usable.append(i)
                seen.append(x)
        if not usable:
            return
        x = torch.stack(seen)
        z, labels = self.find(x)
        found = self.editor.edit(x, z, labels, strip=self.strip, progress=self.progress)
        for row, i in enumerate(usable):
            change = found.change.only(row)
            done = self._or_skip(i, lambda i=i, c=change: self.pictures.edited(i, c, self.mask))
            if done is not None:
                self._add(self.pictures.names[i], done, found, row)
            yield Step(i + 1, self.total, stage="edit", notes=done.notes if done else ())
            if self.stopped:
                return

    def _or_skip(self, i: int, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except InputError as error:
            self.skipped.append((self.pictures.names[i], str(error)))
            return None

    def _add(self, name: str, done: Edited, found: Edit, row: int) -> None:
        parts = [part for part in PurePosixPath(done.file).parts if part not in ("/", "..")]
        path = self.folder.joinpath("edited", *parts)
        with readable_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, done.content)
        error = (found.original[row] - found.reconstruction[row]).square().mean()
        self._rows.append(
            {
                "name": name,
                "file": str(path),
                "error": float(error),
                **{
                    what: {key: round(float(rows[row]), 6) + 0.0 for key, rows in by_name.items()}
                    for what, by_name in (
                        ("strengths", found.strengths),
                        ("before", found.before),
                        ("after", found.after),
                    )
                },
                "notes": [*done.notes, *found.notes[row]],
            }
        )
        self._latents.append((found.z[row], found.moved[row]))
        if len(self._shown) < SHOWN:
            strips = {name: images[row] for name, images in found.strips.items()}
            self._shown.append((replace(done, content=b""), strips))

    def finish(self) -> dict[str, Any]:
        """Sheet, strips, latents and JSON of what is done; what the JSON holds."""
        result: dict[str, Any] = {**self.settings, "out": str(self.folder), "stopped": self.stopped}
        result |= {"asked": self.total, "sheet": None, "strips": [], "latents": None}
        result["images"] = self._rows
        result["skipped"] = [{"name": name, "reason": reason} for name, reason in self.skipped]
        if not self._rows:
            return result
        rows = {
            "before": torch.stack([done.before for done, _ in self._shown]),
            "after": torch.stack([done.after for done, _ in self._shown]),
        }
        write_bytes(self.folder / "sheet.png", png(pairs(rows, under=self._under(), padding=4)))
        result["sheet"] = str(self.folder / "sheet.png")
        for name in self._shown[0][1]:
            path = self.folder / f"strip-{name.replace(':', '=')}.png"
            write_bytes(path, png(self._strip(name)))
            result["strips"].append(str(path))
        z, moved = (torch.stack(part) for part in zip(*self._latents, strict=True))
        result["latents"] = str(self.folder / "latents.npz")
        save_latents(self.folder / "latents.npz", latents=z, edited=moved)
        write_json(self.folder / "edit.json", result)
        return result

    def _under(self) -> list[str]:
        """What to say below each image: where each reading was, and where it is now."""
        texts = []
        for row in self._rows[: len(self._shown)]:
            lines = [
                f"{name} {row['before'][name]:.2g} to {row['after'][name]:.2g}"
                if name in row["before"]
                else f"{name} {s:+.2g}"
                for name, s in row["strengths"].items()
            ]
            texts.append("\n".join(lines))
        return texts

    def _strip(self, name: str) -> Image.Image:
        rows = {
            row["name"]: strips[name]
            for row, (_, strips) in zip(self._rows, self._shown, strict=False)
        }
        scale = max(1, LARGE // next(iter(rows.values())).shape[2])
        return pairs(rows, under=[f"{s:g}" for s in self.strip], scale=scale, padding=4)


def _shown(photo: Photograph, pixels: np.ndarray) -> Tensor:
    """The part of the photograph that the model sees, at a size to look at: (C, h, w)."""
    target = photo.target
    times = max(1, SIDE // target.height)
    larger = replace(target, height=target.height * times, width=target.width * times, channels=3)
    planes = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    flat = flatten(Image.fromarray(np.ascontiguousarray(planes)), target.background)
    shown = render(flat, larger)
    return torch.from_numpy(shown.astype(np.float32)) * (2 / np.iinfo(shown.dtype).max) - 1
