"""Images that a person brought: decoded by a process that may die of them, and written anew.

Nobody vouches for what is uploaded. So the bytes are opened only in a decoding process with limits
on memory, pixels and time, as the files of a data set are; what comes back is pixels, which are
encoded again. Nothing of the file but these reaches the model or another page, neither its name
nor its metadata, and an id stands for it.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.api.observations import fitted
from preimage.core import InputError
from preimage.data.decode import Target
from preimage.data.options import checked
from preimage.data.pool import Pool
from preimage.pictures import png
from preimage.pictures.sheet import pixels

if TYPE_CHECKING:
    from preimage.studio.workspace import Workspace

BYTES = 32 << 20  # of one upload
PIXELS = 40_000_000
COUNT = 256  # images that a session holds
SHOWN = 2048  # pixels of the longer side, of the copy that is kept
PATIENCE = 20.0  # seconds that a file may take


@dataclass(frozen=True)
class Upload:
    """An image that a person brought, or that a job has made."""

    id: str
    x: Tensor  # (1, C, H, W) in [−1, 1], as the model takes it
    original: Path  # a PNG of at most 2048 pixels, upright, without metadata
    width: int  # of that
    height: int
    latent: Tensor | None = None  # (1, *space.shape): the best that is known
    label: str | None = None  # its class, of a conditional model


class Images:
    """The images of one workspace, by id."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.folder = Path(tempfile.mkdtemp(prefix="preimage-studio-"))
        self._held: dict[str, Upload] = {}
        self._decoding = threading.Lock()
        self._pool: Pool | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, name: str) -> Upload:
        if name not in self._held:
            raise InputError("this image is no longer there; bring it again")
        return self._held[name]

    def __iter__(self) -> Iterator[Upload]:
        return iter(list(self._held.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def add(self, content: bytes) -> Upload:
        """An image from the bytes of a file.

        Raises InputError where they are none that can be used, and where there are too many.
        """
        self.check_room()
        name = secrets.token_hex(8)
        source = self.folder / f"{name}.upload"
        try:
            source.write_bytes(content)
            with self._decoding:
                x, shown = self._decoded(source)
        finally:
            source.unlink(missing_ok=True)
        return self._hold(name, x, Image.fromarray(shown))

    def put(self, image: Tensor | Image.Image) -> Upload:
        """An image that is at hand: (C, H, W) in [−1, 1], or a picture."""
        self.check_room()
        if isinstance(image, Tensor):
            shown = Image.fromarray(pixels(image[None])[0])
            x = image[None].detach().cpu().float()
        else:
            shown = image.convert("RGB")
            array = np.asarray(shown, np.float32).transpose(2, 0, 1) / 127.5 - 1
            x = torch.from_numpy(array)[None]
        return self._hold(secrets.token_hex(8), fitted(x, self.workspace.model.data)[0], shown)

    def found(self, name: str, latent: Tensor, label: str | None = None) -> None:
        """A better latent (1, *space.shape) of an image, of a search say."""
        held, better = self[name], latent.detach().cpu().float()
        self._held[name] = replace(held, latent=better, label=label or held.label)
        if held.latent is None or not torch.equal(held.latent, better):
            self.workspace.publish({"latent": True})

    def remove(self, name: str) -> None:
        self[name].original.unlink(missing_ok=True)
        del self._held[name]

    def check_room(self) -> None:
        if len(self._held) >= COUNT:
            raise InputError(f"{COUNT} images are held already; remove some first")

    def close(self) -> None:
        if self._pool is not None:
            self._pool.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _hold(self, name: str, x: Tensor, shown: Image.Image) -> Upload:
        path = self.folder / f"{name}.png"
        path.write_bytes(png(shown))
        held = Upload(name, x, path, shown.width, shown.height, *self._encoded(x))
        self._held[name] = held
        return held

    @torch.no_grad()
    def _encoded(self, x: Tensor) -> tuple[Tensor | None, str | None]:
        """The latent of an encoder at once; a search, where there is none, takes a job."""
        model = self.workspace.model
        if not model.can("encode"):
            return None, None
        label = model.classes[0] if model.conditional else None
        y = model.labels_for(1, label)
        return model.encode(x.to(model.device), y).mean.cpu().float(), label

    def _decoded(self, source: Path) -> tuple[Tensor, np.ndarray]:
        """As the model takes it (1, C, H, W), and to be looked at (H, W, 3) uint8."""
        header = self._ask(source, {})["header"]
        span = None if header["low"] is None else (header["low"], header["high"])
        target = self._target(span)
        array, (width, height) = self._rendered(source, target)
        x = array.astype(np.float32) * (2 / np.iinfo(target.dtype).max) - 1
        scale = min(1.0, SHOWN / max(width, height))
        size = {"height": max(1, round(height * scale)), "width": max(1, round(width * scale))}
        shown, _ = self._rendered(source, replace(target, **size, channels=3, fit="stretch"))
        if shown.dtype == np.uint16:
            shown = (shown >> 8).astype(np.uint8)
        return torch.from_numpy(x)[None], np.ascontiguousarray(shown.transpose(1, 2, 0))

    def _target(self, span: tuple[float, float] | None) -> Target:
        """What an image is made into for the model: fitted as the run's own were.

        span: the smallest and largest value of one with more than 8 bits.
        """
        data = self.workspace.run.config.get("data", {})
        options = data.get("options", {})
        background = checked(background=options.get("background", "white")).background
        spec, own = self.workspace.model.data, data.get("range")
        return Target(
            spec.height,
            spec.width,
            spec.channels,
            options.get("fit", "crop"),
            background,
            tuple(own) if span is not None and own else span,
        )

    def _rendered(self, source: Path, target: Target) -> tuple[np.ndarray, tuple[int, int]]:
        """What a decoding process makes of the file, (C, H, W) of whole numbers; and the width and
        height that it has when it stands upright.
        """
        array = source.with_suffix(".npy")
        try:
            np.lib.format.open_memmap(
                array, mode="w+", dtype=target.dtype, shape=(1, *target.shape)
            ).flush()
            answer = self._ask(source, {"map": str(array), "target": asdict(target)})
            return np.load(array)[0], tuple(answer["size"])
        finally:
            array.unlink(missing_ok=True)

    def _ask(self, source: Path, settings: dict[str, Any]) -> dict[str, Any]:
        if self._pool is None:
            self._pool = Pool(1, patience=PATIENCE)
        job = {"index": 0, "path": str(source), "offset": 0, "length": -1, "row": 0}
        (answer,) = self._pool.run([job], {"max_pixels": PIXELS, **settings})
        if "reason" in answer:
            raise InputError(f"this file cannot be used: {answer['reason']}")
        return answer
