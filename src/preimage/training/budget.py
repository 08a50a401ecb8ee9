"""How many steps fit into so many minutes on this machine."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

from preimage.core import LatentModel
from preimage.data import Dataset
from preimage.training.recipes import Plan, scaled
from preimage.training.trainer import Trainer

WARM_STEPS, TIMED_STEPS = 4, 16
RESERVE = 0.85  # the rest goes to starting, validating and finishing the stages


def within_minutes(
    plan: Plan,
    model: LatentModel,
    data: Dataset,
    minutes: float,
    *,
    clock: Callable[[], float] = time.perf_counter,  # or time.process_time, on a shared machine
    **options: object,
) -> Plan:
    """The plan scaled to last about `minutes` here, by timing a few steps of each stage.

    The steps are taken on a copy; the number found is written to the run, so that a resumed run
    keeps its schedule.
    """
    seconds = 0.0
    for stage in plan.stages:
        trial = Trainer(copy.deepcopy(model), data, (stage,), **options)  # type: ignore[arg-type]
        trial.skip_begin()
        for _ in range(WARM_STEPS):
            trial.advance()
        start = clock()
        for _ in range(TIMED_STEPS):
            trial.advance()
        seconds += (clock() - start) / TIMED_STEPS * stage.steps
    total = sum(stage.steps for stage in plan.stages)
    return scaled(plan, steps=max(len(plan.stages), int(total * minutes * 60 * RESERVE / seconds)))
