"""The one training loop: stages in turn, a Step for each step, and a state that resumes exactly.

Nothing random is stored: what step t draws follows from the seed and t (`core.seeds`), and so
does the batch it sees (`order`). What is stored is weights, their average, the optimizers, the
best figure so far, and counters.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from preimage.core import InputError, LatentModel, Step, seeds
from preimage.data import Dataset
from preimage.training.judging import Judge
from preimage.training.likelihood import batch_of
from preimage.training.precision import accelerator, bfloat16
from preimage.training.private import Guarantee, guarantee, ledger, opened
from preimage.training.secret import fresh
from preimage.training.stage import Batch, Context, Method, Player, Stage, Update

PATIENCE = 3  # steps in a row that may be skipped before the run stops
BLOW_UP = 1000.0  # a loss so many times its usual size counts as a blow-up
PREVIEWS = 64  # samples of fixed latents
PAIRS = 16  # held-out images shown beside their reconstructions


class Diverged(InputError):
    """Training blew up several times in a row; the last good checkpoint is kept."""


@dataclass(frozen=True)
class State:
    """All that a run needs to go on: tensors by name, and a few numbers."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Trainer:
    """Trains a model through its stages.

    `for step in trainer:` runs to the end; leaving the loop early is safe, and another loop goes
    on. `trainer.average` is the model people should see: the moving average of the weights.
    """

    def __init__(
        self,
        model: LatentModel,
        data: Dataset,
        stages: Sequence[Stage],
        *,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        validations: int = 10,  # in each stage
        best: str | None = None,  # what the best checkpoint is chosen by, of judging.FIGURES
        secret: int | None = None,  # what private stages draw from; unset, a fresh one
    ):
        _check(model, data)
        self.accelerator = accelerator(device)
        self.device = self.accelerator.device
        self.model = model.to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: LatentModel = copy.deepcopy(self.model).eval()
        self.data, self.seed = data, seed
        self.stages = tuple(stage.planned(len(data.train)) for stage in stages)
        self.validations = validations
        low = bfloat16(precision, self.device)
        self.context = Context(data, self.device, low, seed, fresh() if secret is None else secret)
        self.judge = None if best is None else Judge(best, self.model, self.context)
        self.stage, self.step = 0, 0  # the step within the stage
        self.skipped, self.skipped_in_a_row, self.usual_loss = 0, 0, dict[str, float]()
        self.best_value, self.best_step = math.inf, 0
        self.best: dict[str, Tensor] = {}
        self._begun = False  # whether the stage's `begin` has run
        for stage in self.stages:  # what does not fit is found before the first is trained
            stage.method(self.model, self.context)
        self._prepare()

    @property
    def total(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def done(self) -> int:
        """Steps done over all stages."""
        return sum(stage.steps for stage in self.stages[: self.stage]) + self.step

    @property
    def finished(self) -> bool:
        return self.stage >= len(self.stages)

    @property
    def guarantee(self) -> Guarantee | None:
        """What the steps done so far promise each training image, if they were private."""
        return guarantee(self.stages, len(self.data.train), steps=self.done)

    @property
    def root(self) -> int:
        """What everything in this stage's steps is drawn from."""
        return self.context.secret if self.stages[self.stage].private else self.seed

    def __iter__(self) -> Iterator[Step]:
        while not self.finished:
            yield from self._run_stage()
            self._end_stage()
            last = self.finished
            yield self._report({}, "done" if last else "stage over", previews=last)

    def result(self) -> dict[str, Tensor]:
        """The weights worth keeping: the best of the stage, or at the end what came of them."""
        return self.average.state_dict() if self.finished or not self.best else self.best

    def skip_begin(self) -> None:
        """Leave out what the stage does before its first step: for timing."""
        self._begun = True

    def advance(self) -> dict[str, float]:
        """One training step of the current stage, unvalidated; returns its metrics."""
        metrics = self._train_step(self.stages[self.stage])
        self.step += 1
        return metrics

    # --- one stage ---

    def _prepare(self) -> None:
        """Set up method, optimizers and order of the current stage."""
        if self.finished:
            return
        config = self.stages[self.stage]
        self.method: Method = config.method(self.model, self.context)
        self.players = self.method.players()
        self.optimizers = {
            name: _optimizer(player, config) for name, player in self.players.items()
        }
        self.order = config.order(self.context, self.stage)

    def _run_stage(self) -> Iterator[Step]:
        config = self.stages[self.stage]
        if not self._begun:
            notes = self.method.begin()
            self._begun = True
            self._follow(0.0)
            yield self._validated({}, notes)
        every = max(1, config.steps // max(self.validations, 1))
        while self.step < config.steps:
            metrics = self.advance()
            if self.step % every == 0 or self.step == config.steps:
                yield self._validated(metrics, ())
            else:
                yield self._report(metrics, self._stage_name())

    def _train_step(self, config: Stage) -> dict[str, float]:
        """One step of every player; an update that is not finite is skipped and counted."""
        batch = self._batch(config)
        self.model.train()
        metrics: dict[str, float] = {}
        good = True
        with torch.random.fork_rng():
            torch.manual_seed(seeds.derive(self.root, "step", self.stage, self.step))
            for update in self.method.updates(batch, step=self.step):
                good = self._descend(update, config) and good
                metrics |= {name: float(value) for name, value in update.metrics.items()}
        if good:
            self.skipped_in_a_row = 0
            if config.ema:
                self._follow(self._decay(config))
        else:
            self._restore_buffers()
            self._count_skip(config)
        metrics["skipped"] = float(self.skipped)
        return metrics

    def _batch(self, config: Stage) -> Batch:
        indices = self.order.batch(self.step)
        if not config.flip:
            return self.method.batch(indices)
        generator = seeds.generator(self.root, "flip", self.stage, self.step)
        mirrored = torch.rand(len(indices), generator=generator).to(self.device) < 0.5
        return self.method.batch(indices, mirrored)

    def _descend(self, update: Update, config: Stage) -> bool:
        """One optimizer step; False, and nothing moved, where loss or gradient is unsound."""
        player, optimizer = self.players[update.player], self.optimizers[update.player]
        size = 0.0 if update.loss is None else abs(update.loss.item())
        usual = self.usual_loss.get(update.player, size)
        if not math.isfinite(size) or size > BLOW_UP * (usual + 1):
            return False
        optimizer.zero_grad(set_to_none=True)
        if update.loss is None:
            everything = (p for group, _ in player.groups for p in group)
            for parameter, gradient in zip(everything, update.gradients, strict=True):
                parameter.grad = _laid_out_as(parameter, gradient)
        else:
            self.accelerator.backward(update.loss)
        parameters = [p for group, _ in player.groups for p in group if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, player.clip or math.inf)
        if not torch.isfinite(norm):
            return False
        rate = config.learning_rate * config.rate(self.step)
        for group, (_, factor) in zip(optimizer.param_groups, player.groups, strict=True):
            group["lr"] = rate * factor
        optimizer.step()
        self.usual_loss[update.player] = usual + 0.02 * (size - usual)
        return True

    @torch.no_grad()
    def _restore_buffers(self) -> None:
        """Take back what a skipped step has left in running statistics: NaN would never leave."""
        for mine, kept in zip(self.model.buffers(), self.average.buffers(), strict=True):
            mine.copy_(kept)

    def _count_skip(self, config: Stage) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        count = self.skipped_in_a_row
        if count >= min(PATIENCE, config.steps):  # a stage may be shorter than the patience
            raise Diverged(
                f"training blew up {count} steps in a row at step {self.done}; the last good "
                f"checkpoint is kept: lower --learning-rate (it was {config.learning_rate:g})"
            )

    def _decay(self, config: Stage) -> float:
        """Of the moving average: short at first, so that it forgets where it began."""
        return min(config.ema, (1 + self.step) / (10 + self.step))

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Move the average towards the model, or onto it where `decay` is 0; buffers are copied."""
        averaged, fresh = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(averaged, fresh, 1 - decay)  # type: ignore[attr-defined]
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    # --- looking at it ---

    def _stage_name(self) -> str:
        name = type(self.stages[self.stage]).__name__
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()

    def _validated(self, metrics: dict[str, float], notes: tuple[str, ...]) -> Step:
        """Validate the average, and keep it if it is the stage's best."""
        if not self.stages[self.stage].ema:
            self._follow(0.0)
        self.average.eval()
        with torch.random.fork_rng():
            torch.manual_seed(seeds.derive(self.seed, "validation"))
            figures, warnings = self.method.validate(self.average)
            if self.judge is not None:
                figures = figures | {self.judge.key: self.judge.value(self.average)}
        if self.judge is None:
            value = figures[self.method.metric]
            scatter = self.stages[self.stage].scatter * self.best_value if self.best else 0.0
        else:
            value, scatter = self.judge.cost(figures[self.judge.key]), 0.0
        if (promised := self.guarantee) is not None:
            figures = figures | {"epsilon": promised.epsilon}
            value = -self.done  # the latest is best: held-out images have no say in a private run
        if value < self.best_value + scatter:
            self.best_value, self.best_step = min(value, self.best_value), self.done
            self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        return self._report(
            metrics | figures, self._stage_name(), notes=(*notes, *warnings), previews=True
        )

    def _report(
        self,
        metrics: Mapping[str, float],
        stage: str,
        *,
        notes: tuple[str, ...] = (),
        previews: bool = False,
    ) -> Step:
        pictures = self.previews() if previews else {}
        return Step(self.done, self.total, dict(metrics), pictures, stage, notes)

    @torch.no_grad()
    def previews(self) -> dict[str, Tensor]:
        """Samples of fixed latents, and fixed held-out images above their reconstructions."""
        self.average.eval()
        pictures = {}
        if self.average.space.priors:
            pictures["samples"] = self.average.sample(PREVIEWS, seed=self.seed)
        if self.average.can("encode"):
            side = self.data.heldout if len(self.data.heldout) else self.data.train
            batch = batch_of(self.context, side[:PAIRS])
            labels = batch.labels if self.average.conditional else None
            decoded = self.average.decode(self.average.encode(batch.x, labels).mean, labels)
            pictures["reconstructions"] = torch.cat([batch.x, decoded]).cpu()
        return pictures

    def _end_stage(self) -> None:
        """Go back to the stage's best weights, finish on them, and set up the next stage."""
        if self.best:
            self.model.load_state_dict(self.best)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.derive(self.seed, "finish", self.stage))
            self.method.finish(self.model)
        self.average.load_state_dict(self.model.state_dict())
        self.stage, self.step, self._begun = self.stage + 1, 0, False
        if not self.finished:
            self.best_value, self.best, self.usual_loss = math.inf, {}, {}
            self._prepare()

    # --- to disk and back ---

    def state(self) -> State:
        """Everything `load_state` needs; tensors are not copied."""
        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        if not self.finished:
            for name, optimizer in self.optimizers.items():
                for i, slots in optimizer.state_dict()["state"].items():
                    for slot, value in slots.items():
                        tensors[f"optimizer/{name}/{i}/{slot}"] = value
        numbers = {
            "stage": self.stage,
            "step": self.step,
            "begun": self._begun,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "usual_loss": dict(self.usual_loss),
            "best_value": self.best_value if math.isfinite(self.best_value) else None,
            "best_step": self.best_step,
        }
        if not self.finished:  # the secret is forgotten with the last step
            numbers["private"] = ledger(self.stages[self.stage], self.context, self.step)
        return State(tensors, numbers)

    def load_state(self, state: State) -> None:
        """Go on from a state as if nothing had happened."""
        numbers = state.numbers
        self.stage, self.step, self._begun = numbers["stage"], numbers["step"], numbers["begun"]
        self.skipped, self.skipped_in_a_row = numbers["skipped"], numbers["skipped_in_a_row"]
        self.usual_loss = dict(numbers["usual_loss"])
        best_value = numbers["best_value"]
        self.best_value = math.inf if best_value is None else best_value
        self.best_step = numbers["best_step"]
        self.model.load_state_dict(_below("model/", state.tensors))
        self.average.load_state_dict(_below("average/", state.tensors))
        self.best = _below("best/", state.tensors)
        if kept := numbers.get("private"):
            secret = opened(self.stages[self.stage], kept)
            self.context = replace(self.context, secret=secret)
        self._prepare()
        if self.finished:
            return
        for name, optimizer in self.optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(f"optimizer/{name}/", state.tensors).items():
                i, slot = key.split("/")
                slots.setdefault(int(i), {})[slot] = _laid_out_as(parameters[int(i)], value)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of an optimizer's moment whose memory is ordered as its parameter's.

    Files do not keep the order (channels_last), and fused Adam goes through memory as it lies.
    """
    if value.shape != parameter.shape:  # a counter
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _optimizer(player: Player, config: Stage) -> torch.optim.Adam:
    groups = [
        {"params": parameters, "lr": config.learning_rate * factor}
        for parameters, factor in player.groups
    ]
    return torch.optim.Adam(groups, betas=config.betas, fused=True)


def _check(model: LatentModel, data: Dataset) -> None:
    if data.spec.shape != model.data.shape:
        raise InputError(f"the model takes {model.data}, the images are {data.spec}; set the size")
    if not len(data.train):
        raise InputError(f"{data.name} has no images to train on")
    if model.conditional and tuple(data.classes) != model.classes:
        raise InputError(f"the model's classes are {model.classes}, the data's {data.classes}")
