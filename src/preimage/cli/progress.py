"""A bar on standard error for whatever yields `Step`s; plain lines where that is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from preimage.cli.output import printable, remark

if TYPE_CHECKING:
    from preimage.core import Step

FIGURES = {
    "loss": "loss",
    "heldout_loss": "held-out",
    "critic_loss": "critic",
    "generator_loss": "generator",
    "frechet": "Fréchet",
    "error": "error",
}


class Bar:
    """`with Bar() as bar: bar(step)`. A new line begins where another kind of work does."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}  # the last of each, for who asks at the end
        self._shown: dict[str, float] = {}  # of the stage at hand
        self._stage = ""
        self._progress: Any = _rich() if sys.stderr.isatty() else None
        self._task: Any = None
        self._last: Step | None = None

    def __enter__(self) -> Bar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, step: Step) -> None:
        if step.metrics and step.stage != self._stage:
            self._shown, self._stage = {}, step.stage
        self.figures |= step.metrics
        self._shown |= step.metrics
        for note in step.notes:
            self.remark(note)
        if self._progress is not None:
            self._draw(step)
        elif step.previews and (figures := self.line()):
            self.remark(f"step {step.step} of {step.total} · {step.stage} · {figures}")
        self._last = step

    def remark(self, text: str) -> None:
        """A line above the bar."""
        if self._progress is None:
            remark(text)
        else:
            self._progress.console.print(printable(text), markup=False, highlight=False)

    def line(self) -> str:
        """The key figures of the stage so far."""
        known = [(label, self._shown.get(name)) for name, label in FIGURES.items()]
        return " · ".join(f"{label} {value:.4g}" for label, value in known if value is not None)

    def _draw(self, step: Step) -> None:
        last = self._last
        if last is None or step.total != last.total or step.step < last.step:
            self._task = self._progress.add_task(step.stage, total=step.total, figures="")
        self._progress.update(
            self._task, completed=step.step, description=step.stage, figures=self.line()
        )


def _rich() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=Console(stderr=True),
    )
