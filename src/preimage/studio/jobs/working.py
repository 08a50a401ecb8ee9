"""What a job's own process has in hand: its folder, how to say how far it is, and a warm model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preimage.runs.files import write_bytes
from preimage.studio.jobs.folder import JobFolder, Record
from preimage.studio.jobs.latents import FILE as LATENTS

if TYPE_CHECKING:
    from torch import Tensor

    from preimage.applications.restoration import Restorer
    from preimage.core import Step
    from preimage.inversion import Inverter

FINEST = 0.03  # seconds between lines of progress
SHARE = 0.001  # the same as a share of the time it has taken, so that long work writes short files
PICTURES = 0.1  # seconds between previews


class Working:
    """A job under way, as its own process sees it."""

    def __init__(self, folder: JobFolder, bench: Bench):
        self.folder, self.bench = folder, bench
        self.record: Record = folder.record
        self.stopping = False  # set when the job is asked to save and end
        self._begun = time.monotonic()
        self._written, self._drawn, self._pictures = -math.inf, -math.inf, 0
        self._stage = ""
        self._end_last_line()

    @property
    def request(self) -> dict[str, Any]:
        return self.record.request

    @property
    def run(self) -> Path:
        """The run that was open when the job was asked for."""
        return Path(self.request["run"])

    def inverter(self) -> Inverter:
        return self.bench.inverter(self.run)

    def restorer(self) -> Restorer:
        return self.bench.restorer(self.run, self.progress)

    @property
    def path(self) -> Path:
        return self.folder.path

    def progress(self, step: Step) -> None:
        """Say how far it is: a line where the last one is some time ago, and what it looks like."""
        now = time.monotonic()
        due = now - self._drawn >= PICTURES
        images = next(iter(step.previews.values()), None) if due else None
        if images is not None and len(images):
            self.preview(images)
            self._drawn = now
        for note in step.notes:
            print(note, flush=True)
        every = max(FINEST, SHARE * (now - self._begun))
        told = step.stage != self._stage or step.notes or step.step >= step.total
        if now - self._written < every and not told:
            return
        self._written, self._stage = now, step.stage
        self._line(
            {
                "time": round(time.time(), 3),
                "step": step.step,
                "total": step.total,
                "stage": step.stage,
                "metrics": {k: v for k, v in step.metrics.items() if math.isfinite(v)},
                "notes": list(step.notes),
                "preview": self._pictures,
            }
        )

    def preview(self, images: Any) -> None:
        """Show images (B, C, H, W) in [−1, 1]: one by itself, several as a sheet."""
        from preimage.pictures import png, sheet

        alone = len(images) == 1
        shown = picture(images) if alone else png(sheet(images, columns=min(8, len(images))))
        self.save_bytes("preview.png", shown)
        self._pictures += 1

    def partial(self, result: Mapping[str, Any]) -> None:
        """What is known already of the result; the rest comes at the end."""
        self._line({"result": dict(result)})

    def tensors(self) -> dict[str, Tensor]:
        """What the job works on, by name."""
        from safetensors.torch import load_file

        return load_file(self.path / "inputs.safetensors")

    def keep(self, z: Tensor) -> None:
        """Latents (N, *space.shape) that were found; `latents.latent` finds them again."""
        from safetensors.torch import save

        self.save_bytes(LATENTS, save({"z": z.detach().float().cpu().contiguous()}))

    def save_picture(self, name: str, images: Tensor) -> str:
        """The first of some images (B, C, H, W) in [−1, 1]."""
        return self.save_bytes(name, picture(images))

    def save_bytes(self, name: str, content: bytes) -> str:
        write_bytes(self.path / name, content)
        return name

    def _line(self, value: Mapping[str, Any]) -> None:
        with (self.path / "progress.jsonl").open("a") as file:
            file.write(json.dumps(value) + "\n")

    def _end_last_line(self) -> None:
        """An earlier attempt may have been killed within a line."""
        with (self.path / "progress.jsonl").open("ab") as file:
            if file.tell():
                file.write(b"\n")


def picture(images: Any) -> bytes:
    """The first of some images (B, C, H, W) in [−1, 1], as PNG of its own size."""
    from PIL import Image

    from preimage.pictures import png
    from preimage.pictures.sheet import pixels

    return png(Image.fromarray(pixels(images[:1])[0]))


def unsure(values: Tensor) -> bytes:
    """How large values (C, H, W) are at each place, as PNG: from black to light."""
    from preimage.pictures.map import shaded

    return picture(shaded(values.detach().float().cpu().mean(0)[None]))


class Bench:
    """What stays from one job to the next in the same process: of the last run asked for."""

    def __init__(self) -> None:
        self._run: Path | None = None
        self._inverter: Inverter | None = None
        self._restorer: Restorer | None = None

    def inverter(self, run: Path) -> Inverter:
        """A run's generator, made ready once."""
        from preimage.api.inversions import inverter

        self._turn(run)
        if self._inverter is None:
            self._inverter = inverter(run)
        return self._inverter

    def restorer(self, run: Path, progress: Callable[[Step], None]) -> Restorer:
        """The same made ready to restore, which takes longer."""
        from preimage.api.restorations import restorer

        self._turn(run)
        if self._restorer is None:
            self._restorer = restorer(run, progress=progress)
        return self._restorer

    def _turn(self, run: Path) -> None:
        if run != self._run:
            self._run, self._inverter, self._restorer = run, None, None
