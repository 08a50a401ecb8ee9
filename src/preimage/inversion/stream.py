"""Images without end, a batch at a time: progress, previews and a soft stop on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial

from torch import Tensor

from preimage.core import InputError, Step
from preimage.inversion.inverter import Inverter, Settings
from preimage.inversion.result import Inversion, Trace
from preimage.inversion.search import Search, Status

PREVIEWS = 8  # images shown on the way
RARELY = 8  # iterations between previews, after the first few


@dataclass(frozen=True)
class Targets:
    """Some of the images to invert."""

    index: Tensor  # (B,) int64: which images of the source they are
    y: Tensor  # (B, …): observations, as the operator gives them
    labels: Tensor | None = None  # (B,) int64, where the classes are known
    names: tuple[str, ...] = ()


Sink = Callable[[Tensor, Inversion], None]  # (indices (B,), the answers about them)


class Previews(Mapping[str, Tensor]):
    """Images on the way (B, C, H, W), drawn when somebody looks at them: few do."""

    def __init__(self, draw: Callable[[], Tensor]):
        self._draw = draw

    @cached_property
    def images(self) -> Tensor:
        return self._draw().float().cpu()

    def __getitem__(self, name: str) -> Tensor:
        if name != "images":
            raise KeyError(name)
        return self.images

    def __iter__(self) -> Iterator[str]:
        return iter(("images",))

    def __len__(self) -> int:
        return 1


class Inverting:
    """Work under way: `for step in inverting:` does it, `stop()` ends it softly.

    Each batch's answers go to `sink` as soon as they are there; without one they are kept, and
    `result` gives them all. A step counts images whose search has ended.
    """

    def __init__(
        self,
        inverter: Inverter,
        batches: Iterable[Targets],
        *,
        total: int,
        settings: Settings,
        sink: Sink | None = None,
        notes: tuple[str, ...] = (),  # about the images
    ):
        self.inverter, self.batches, self.total = inverter, batches, total
        self.settings = settings
        self.notes = notes
        self.stopped = False
        self.done = 0
        self.sink: Sink = sink or self._keep
        self._kept: list[Inversion] = []

    def stop(self) -> None:
        """End after the current iteration; images whose search had ended are kept."""
        self.stopped = True

    @property
    def result(self) -> Inversion:
        """Everything that was kept. Raises InputError where that is nothing."""
        if not self._kept:
            raise InputError("no image was inverted; give at least one, and do not stop at once")
        return Inversion.concatenated(self._kept)

    def __iter__(self) -> Iterator[Step]:
        notes = (*self.inverter.notes, *self.notes)
        for preparation in self.inverter.prepare(self.settings):
            yield replace(preparation, notes=(*preparation.notes, *notes))
            notes = ()
            if self.stopped:
                return
        for targets in self.batches:
            yield from self._batch(targets, notes)
            notes = ()
            if self.stopped:
                return

    def _batch(self, targets: Targets, notes: tuple[str, ...]) -> Iterator[Step]:
        settings = self.settings
        if settings.through is not None:  # it may be another for each image
            settings = replace(settings, through=settings.through.select(targets.index))
        if isinstance(settings.start, Tensor) and len(settings.start) == self.total:
            settings = replace(settings, start=settings.start[targets.index])
        work = self.inverter.begin(targets.y, targets.labels, settings)
        trace = Trace()
        search: Search | None = None
        for search in work.searches:
            trace.add(search)
            shown = trace.iteration <= 4 or trace.iteration % RARELY == 0
            draw = partial(work.images, search.z[:PREVIEWS].clone())
            yield self._step(search, Previews(draw) if shown else {}, notes)
            notes = ()
            if self.stopped:
                break
        if search is None:
            return
        found = replace(work.result(search, trace.tensor()), names=targets.names)
        if self.stopped:
            done = (found.status != Status.RUNNING).nonzero()[:, 0]
            if not len(done):
                return
            found, targets = rows_of(found, done), replace(targets, index=targets.index[done])
        self.done += len(found)
        self.sink(targets.index, found)
        yield Step(
            self.done, self.total, metrics=_figures(found.error), previews={}, stage="invert"
        )

    def _step(self, search: Search, previews: Mapping[str, Tensor], notes: tuple[str, ...]) -> Step:
        ended = int((search.status != Status.RUNNING).sum())
        return Step(
            self.done + ended,
            self.total,
            metrics=_figures(search.loss),
            previews=previews,
            stage="invert",
            notes=notes,
        )

    def _keep(self, index: Tensor, found: Inversion) -> None:
        self._kept.append(found)


def rows_of(found: Inversion, rows: Tensor) -> Inversion:
    """Some of the images of an inversion; `rows` (M,) are their indices."""
    kept = {}
    for f in fields(found):
        value = getattr(found, f.name)
        if isinstance(value, Tensor):
            kept[f.name] = value[rows]
        elif value:
            kept[f.name] = tuple(value[i] for i in rows.tolist())
    return replace(found, **kept)


def _figures(error: Tensor) -> dict[str, float]:
    finite = error[error.isfinite()]
    return {"error": float(finite.median())} if len(finite) else {}
