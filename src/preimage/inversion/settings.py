"""What may be asked of an inversion; a person need not ask for anything."""

from __future__ import annotations

import hashlib
import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from typing import Any

from torch import Tensor

from preimage.core import DataSpec, InputError
from preimage.core.errors import nearest_name
from preimage.inversion.losses import Weights
from preimage.inversion.objective import Objective, Projection
from preimage.inversion.operators import Identity, ImageOperator, as_operator
from preimage.inversion.problem import Operator
from preimage.inversion.solvers import SOLVERS
from preimage.inversion.terms import Features

METHODS = ("auto", "encoder", *SOLVERS)
STARTS = ("auto", "encoder", "nearest", "nearest-features", "mean")
CASCADES = ("quick", "thorough")
STEPS = {  # iterations of one search at most, where a person does not say
    "auto": 60,
    "encoder": 0,
    "adam": 500,
    "projector": 1000,
    "l-bfgs": 200,
    "preconditioned-l-bfgs": 60,
    "levenberg-marquardt": 60,
    "gauss-newton": 60,
    "cma": 300,
    "basin-cma": 30,
}
LEAST = {"starts": 1, "batch_size": 1, "steps": 0, "restarts": 0, "seed": None}  # whole numbers
FEW, MANY = 128, 256  # images at once
SMALL = 4096  # values of an image up to which many are quicker than few


@dataclass(frozen=True)
class Settings:
    """How latents are searched for."""

    through: Operator | None = None  # A, what was done to the images; None for nothing
    loss: Weights | Objective = "l2"  # terms, perhaps with weights; see `losses.objective`
    prior: Weights | None = None  # penalties on z: "l2", "l1", "density"
    project: str | Projection | Sequence[str | Projection] | None = None  # "typical", "box", "clip"
    feature_net: Features | None = None  # for the loss "features"; the model's own where unset
    method: str = "auto"
    start: str | Tensor = "auto"  # or latents (N, *shape), a row an image
    cascade: str = "quick"  # to prepare; "thorough" takes minutes, and makes searches shorter
    starts: int = 1  # of each image, of which the best is kept
    restarts: int = 0  # further searches to the end: other solutions, and evidence for the verdict
    posterior: bool = False  # whether to say what each image leaves undetermined
    verdict: bool = True  # whether to say how usual its error is, where there is a calibration
    coarse: bool = False  # low resolution first
    steps: int | None = None  # iterations of one search at most; None for the method's own
    tolerance: float = 1e-8  # the objective at which an image is finished: 1/80 of a grey level
    batch_size: int | None = None  # see `images_at_once`
    seed: int = 0

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """Settings from what a person wrote.

        Raises InputError for a setting, method or start that does not exist, with the nearest name.
        """
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise InputError(f"inversion has no setting '{name}'; {nearest_name(name, known)}")
        if given.get("through") is not None:
            given["through"] = as_operator(given["through"])
        settings = cls(**{name: value for name, value in given.items() if value is not None})
        if settings.method not in METHODS:
            raise InputError(
                f"no method '{settings.method}'; {nearest_name(settings.method, METHODS)}"
            )
        if isinstance(settings.start, str) and settings.start not in STARTS:
            raise InputError(f"no start '{settings.start}'; {nearest_name(settings.start, STARTS)}")
        if settings.cascade not in CASCADES:
            raise InputError(
                f"no cascade '{settings.cascade}'; {nearest_name(settings.cascade, CASCADES)}"
            )
        if settings.cascade == "thorough" and (settings.method, settings.start) != ("auto", "auto"):
            raise InputError("a thorough cascade goes with the method and the start 'auto' alone")
        for name, least in LEAST.items():
            if getattr(settings, name) is not None:  # steps or batch_size, unset
                check_whole(name, getattr(settings, name), least)
        if not isinstance(settings.tolerance, Real) or not settings.tolerance >= 0:
            raise InputError(f"tolerance={settings.tolerance} is not possible; give 0 or more")
        return settings

    @property
    def iterations(self) -> int:
        """Iterations of one search at most; "auto" may let several follow one another."""
        return STEPS[self.method] if self.steps is None else self.steps

    def images_at_once(self, data: DataSpec) -> int:
        """How many images like these are searched for at once."""
        return self.batch_size or (MANY if data.size <= SMALL else FEW)

    @property
    def key(self) -> str:
        """What the answers depend on: equal keys, equal answers. Parts without a name of their
        own (networks, objectives, functions) are told apart within this process only, by an "@".
        """
        other = ("through", "batch_size", "restarts", "posterior", "verdict")
        parts = [
            f"{f.name}={_word(getattr(self, f.name))}" for f in fields(self) if f.name not in other
        ]
        return "; ".join([*parts, f"through={operator_key(self.through or Identity())}"])


def check_whole(name: str, value: object, least: int | None) -> None:
    """Raises InputError for what is no whole number, or below the least."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InputError(f"{name}={value!r} is no whole number; give one, as in {name}=8")
    if least is not None and value < least:
        raise InputError(f"{name}={value} is not possible; give {least} or more")


def operator_key(through: Operator) -> str:
    """What tells operators apart: their kind and everything they hold."""
    held = sorted(getattr(through, "__dict__", {}).items())
    return " ".join([type(through).__name__, *(f"{name}={_word(value)}" for name, value in held)])


def _word(value: object) -> str:
    """What tells values apart; of objects without a name, by an "@", in this process only."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().double().numpy().tobytes()
        return f"{tuple(value.shape)} {hashlib.blake2b(content, digest_size=8).hexdigest()}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_word, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {_word(v)}' for name, v in value.items())}}}"
    if isinstance(value, ImageOperator):
        return operator_key(value)
    return f"@{_number(value)}"


_numbers: dict[int, tuple[Callable[[], object], int]] = {}  # by id, which is given again


def _number(value: object) -> int:
    """A number that no other object has had in this process."""
    kept = _numbers.get(id(value))
    if kept is None or kept[0]() is not value:
        try:
            alive: Callable[[], object] = weakref.ref(value)
        except TypeError:  # it is of a kind that takes none, so it is kept
            alive = partial(_itself, value)
        kept = _numbers[id(value)] = alive, next(_count)
    return kept[1]


def _itself(value: object) -> object:
    return value


_count = itertools.count()
