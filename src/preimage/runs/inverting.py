"""Inversion that leaves a folder behind: the stream of `inversion`, all of it written down."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.inversion import Inversion, Inverting
from preimage.inversion.result import recorded_iterations
from preimage.inversion.search import Status
from preimage.pictures import pairs, png
from preimage.runs.files import write_bytes
from preimage.runs.inversions import KEPT, SOLVED, InversionFolder

SHOWN = 12  # images on the sheet
TRACED = 8  # curves on the plot
WRAPPED = 16  # letters in a line below an image

Observe = Callable[[Tensor], Tensor]  # indices (M,) → observations (M, …)


class FiledInversion:
    """`for step in job:` inverts and writes; `stop()` ends it; `finish()` writes the whole."""

    def __init__(
        self,
        job: Inverting,
        folder: InversionFolder,
        *,
        observations: Observe,
        names: Callable[[int], str],
        classes: tuple[str, ...] = (),
        skipped: Sequence[tuple[str, str]] = (),  # files that cannot be used, and why
    ):
        self.job, self.folder = job, folder
        self.observations, self.names, self.classes = observations, names, classes
        self.skipped = [{"name": name, "reason": reason} for name, reason in skipped]
        self._said: dict[int, dict[str, str]] = {}
        folder.check(job.inverter.model.space.shape, len(classes))
        self.asked = len(folder.done()) + job.total  # images, of which some may have answers
        job.sink = self._add

    @property
    def stopped(self) -> bool:
        return self.job.stopped

    def stop(self) -> None:
        """Keep the images that are done, and end."""
        self.job.stop()

    def __iter__(self) -> Iterator[Step]:
        try:
            yield from self.job
        except InputError:  # what was asked for cannot be
            self.folder.discard()
            raise

    def _add(self, index: Tensor, found: Inversion) -> None:
        part = {name: getattr(found, name) for name in KEPT}
        if found.labels is not None:
            part["labels"] = found.labels
        if found.verdicts is not None:
            part["p_value"] = torch.tensor([v.p_value for v in found.verdicts], dtype=torch.float64)
            solved = [SOLVED.index(v.solved) for v in found.verdicts]
            part["solved"] = torch.tensor(solved, dtype=torch.int64)
        if found.latent_std is not None:
            part["latent_std"] = found.latent_std
        self.folder.add({"index": index, **part}, _sentences(index, found))

    def finish(self) -> dict[str, Any]:
        """Latents, JSON, the sheet and the course of the search; what the JSON holds."""
        answers, self._said = self.folder.answers(), self.folder.sentences()
        if not answers:
            return {**self._facts([]), "sheet": None, "out": str(self.folder.path)}
        names = [self.names(i) for i in answers["index"].tolist()]
        rows = [self._row(name, answers, i) for i, name in enumerate(names)]
        facts = self._facts(rows)
        self.folder.finish(names, facts)
        self._draw(answers, rows)
        return {
            **self.folder.settings,
            "out": str(self.folder.path),
            "sheet": str(self.folder.path / "sheet.png"),
            "latents": str(self.folder.path / "latents.npz"),
            **facts,
        }

    def _facts(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The answers, and whether they are all that was asked for."""
        finished = len(rows) == self.asked
        return {
            "asked": self.asked,
            "finished": finished,
            "images": rows,
            "skipped": self.skipped,
        }

    def _row(self, name: str, answers: Mapping[str, Tensor], i: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": name,
            "index": int(answers["index"][i]),
            "error": _plain(answers["error"][i]),
            "objective": _plain(answers["objective"][i]),
            "reason": Status(int(answers["status"][i])).sentence,
            "iterations": int(answers["iterations"][i]),
            "evaluations": int(answers["evaluations"][i]),
        }
        if "labels" in answers:
            row["class"] = self.classes[int(answers["labels"][i])]
        calibration = self.job.inverter.calibrations.get(self.job.settings.key)
        if "p_value" in answers and calibration is not None:
            row["p_value"] = float(answers["p_value"][i])
            row["verdict"] = calibration.words(row["p_value"])
            row["solved"] = SOLVED[int(answers["solved"][i])]
        row |= self._said.get(int(answers["index"][i]), {})
        return row

    def _draw(self, answers: Mapping[str, Tensor], rows: list[dict[str, Any]]) -> None:
        model, through = self.job.inverter.model, self.job.settings.through
        first = slice(0, SHOWN)
        z, start = answers["z"][first], answers["start"][first]
        labels = answers["labels"][first] if "labels" in answers else None
        index = answers["index"][first]
        y, found = self.observations(index), decoded(model, z, labels)
        seen = found if through is None else through.select(index)(found)
        sheet = {"target": y} if y.ndim == 4 else {}
        sheet |= {"start": decoded(model, start, labels), "result": found}
        if y.shape == seen.shape and y.ndim == 4:
            sheet["residual"] = residual_image(seen - y)
        under = [
            "\n".join([_short(row["error"]), *textwrap.wrap(row.get("verdict", ""), WRAPPED)])
            for row in rows[:SHOWN]
        ]
        write_bytes(self.folder.path / "sheet.png", png(pairs(sheet, under=under, padding=4)))
        at = recorded_iterations(answers["trace"].shape[1])
        traces = answers["trace"][:TRACED].clamp_min(1e-16)
        series = {
            row["name"]: (at, trace.tolist())
            for row, trace in zip(rows[:TRACED], traces, strict=False)
        }
        from preimage.pictures import curves

        plot = curves(series, xlabel="iteration", ylabel="objective", log=True)
        write_bytes(self.folder.path / "trace.png", plot.png())


def _sentences(index: Tensor, found: Inversion) -> dict[str, dict[str, str]]:
    """What is said of images in words, by their index."""
    said: dict[str, dict[str, str]] = {str(i): {} for i in index.tolist()}
    for row, i in enumerate(index.tolist()):
        if found.verdicts is not None:
            said[str(i)]["search"] = found.verdicts[row].search
        if found.solutions is not None:
            said[str(i)]["solutions"] = found.solutions[row].sentence
        if found.undetermined is not None:
            said[str(i)]["undetermined"] = found.undetermined[row]
    return {i: words for i, words in said.items() if words}


@torch.no_grad()
def decoded(model: LatentModel, z: Tensor, labels: Tensor | None) -> Tensor:
    """Images of a few latents, on the CPU."""
    labels = None if labels is None else labels.to(model.device)
    return model.decode(z.to(model.device), labels).float().cpu()


def residual_image(residual: Tensor) -> Tensor:
    """What is missing, mid grey where nothing is; black and white are half the range off."""
    return residual.clamp(-1, 1)


def _short(error: float | None) -> str:
    return "no image" if error is None else f"{error:.1e}"


def _plain(value: Tensor) -> float | None:
    """A number that JSON can hold."""
    return float(value) if value.isfinite() else None
