"""Training that leaves a run behind: the loop of `training`, with everything written down."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from preimage.core import InputError, Step
from preimage.data import Dataset
from preimage.models import build
from preimage.pictures import png, sheet
from preimage.runs.checkpoint import load_checkpoint, save_checkpoint
from preimage.runs.files import readable_errors
from preimage.runs.images import check_unchanged
from preimage.runs.run import Run
from preimage.training.recipes import Plan
from preimage.training.trainer import Trainer

if TYPE_CHECKING:
    from preimage.pictures import Plot

try:
    import fcntl
except ImportError:  # Windows has no such locks; two processes on one run are then not caught
    fcntl = None

PLOT_EVERY = 10.0  # seconds: drawing the curves takes as long as many a training step
LOGGED = 400  # lines of training figures in metrics.jsonl, besides the validations


class Training:
    """One run being trained: `for step in training:` trains and writes; `stop()` ends it."""

    def __init__(
        self,
        run: Run,
        trainer: Trainer,
        *,
        notes: tuple[str, ...] = (),
        tensorboard: bool = False,  # also write the figures below RUN/tensorboard
    ):
        self.run, self.trainer, self.notes = run, trainer, notes
        self.stopped = False
        self._lock = _locked(run)
        self._window: list[dict[str, float]] = []
        self._tensorboard = summary_writer()(str(run.path / "tensorboard")) if tensorboard else None
        self._plotted = -PLOT_EVERY  # when the curves were last drawn

    @property
    def done(self) -> int:
        """Steps done."""
        return self.trainer.done

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.trainer.total

    @property
    def finished(self) -> bool:
        return self.trainer.finished

    def stop(self) -> None:
        """Save and end after the current step."""
        self.stopped = True

    def __iter__(self) -> Iterator[Step]:
        trainer = self.trainer
        for step in trainer:
            self._record(step)
            validated = bool(step.previews)
            if validated:
                self._picture(step)
            if validated or self.stopped or trainer.finished:
                self._save()
            yield step
            if self.stopped and not trainer.finished:
                if not validated:
                    self._save()
                break
        if self._tensorboard is not None:
            self._tensorboard.close()
        self._lock.close()

    def _save(self) -> None:
        trainer = self.trainer
        save_checkpoint(
            self.run.checkpoints,
            trainer.done,
            trainer.state(),
            is_best=trainer.finished or trainer.best_step == trainer.done,
        )
        self.run.save_weights(trainer.result())

    def _record(self, step: Step) -> None:
        """Average the figures of a few steps into one line; validations get theirs at once."""
        if step.metrics:
            self._window.append(dict(step.metrics))
        every = max(1, step.total // LOGGED)
        if not self._window or not (step.previews or step.step % every == 0):
            return
        names = {name for metrics in self._window for name in metrics}
        means = {
            name: float(np.mean([metrics[name] for metrics in self._window if name in metrics]))
            for name in sorted(names)
        }
        self._window = []
        self.run.log({"step": step.step, "stage": step.stage, **_finite(means)})
        if self._tensorboard is not None:
            for name, value in means.items():
                self._tensorboard.add_scalar(name, value, step.step)

    def _picture(self, step: Step) -> None:
        for name, images in step.previews.items():
            columns = len(images) // 2 if name == "reconstructions" else 8
            self.run.save_picture(
                f"{name}-{step.step:08d}.png", png(sheet(images, columns=columns))
            )
        now = time.monotonic()
        if now - self._plotted < PLOT_EVERY and not self.trainer.finished:
            return
        self._plotted = now
        plot = loss_curves(self.run)
        if plot is not None:
            self.run.save_picture("curves.png", plot.png())


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def loss_curves(run: Run) -> Plot | None:
    """Training and held-out loss of a run in one plot; None before there are any."""
    wanted = {
        "loss": "training loss",
        "heldout_loss": "held-out loss",
        "critic_loss": "critic",
        "generator_loss": "generator",
        "frechet": "Fréchet distance (random features)",
    }
    series: dict[str, tuple[list[float], list[float]]] = {}
    for record in run.metrics():
        for key, label in wanted.items():
            if record.get(key) is not None:
                steps, values = series.setdefault(label, ([], []))
                steps.append(record["step"])
                values.append(record[key])
    from preimage.pictures import curves  # with the plotting library, for which nobody waits

    return curves(series, xlabel="step", ylabel="loss") if series else None


def new_trainer(plan: Plan, data: Dataset, **settings: Any) -> Trainer:
    """A trainer before its first step; its weights follow from the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(settings["seed"])
        model = build(plan.model)
    return Trainer(model, data, plan.stages, **settings)


def resume(run: Run, data: Dataset) -> Training:
    """Go on with a run from its last checkpoint; from the start, where it was killed before one.

    Raises InputError where the data are not those the run began with.
    """
    run.check_model()
    check_unchanged(run, data)
    return restored(Training(run, new_trainer(run.plan, data, **run.config["training"])))


def restored(training: Training) -> Training:
    """The same, brought to where its run's last checkpoint was."""
    run = training.run
    run.sweep()
    checkpoint = run.last_checkpoint()
    if checkpoint is not None:
        state = load_checkpoint(checkpoint)
        try:
            training.trainer.load_state(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:120]
            raise InputError(
                f"the checkpoint {checkpoint} does not fit its run: {detail}"
            ) from None
        # A kill may have come between the checkpoint and the weights that belong to it.
        run.save_weights(training.trainer.result())
    run.cut_metrics(training.trainer.done)
    return training


def summary_writer() -> Any:
    """TensorBoard's writer. Raises InputError where the extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard needs an extra: pip install 'preimage[tensorboard]'"
        ) from None
    return SummaryWriter


def _locked(run: Run) -> io.TextIOWrapper:
    """Hold the run, so that two processes do not train it at once."""
    run.check_own()
    path = run.path / ".lock"
    with readable_errors(path):
        file = path.open("a")  # which, unlike "w", empties nothing
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise InputError(f"{run.path} is being trained by another process") from None
    return file
