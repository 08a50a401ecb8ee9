"""What a face is made of: named factors, how they are drawn, and how one of them is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from preimage.core import InputError, seeds
from preimage.core.errors import nearest_name

Factors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Factor:
    """One thing that varies: float32 in [low, high], or an int64 index into `values`."""

    name: str
    description: str
    low: float = -1.0
    high: float = 1.0
    values: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # how often each value is drawn; none given: equally often

    @property
    def kind(self) -> str:
        return "discrete" if self.values else "continuous"

    @property
    def probabilities(self) -> np.ndarray:
        """How often each value of a discrete factor is drawn: (len(values),)."""
        count = len(self.values)
        return np.array(self.shares or (1 / count,) * count)


FACTORS: tuple[Factor, ...] = (
    Factor("pose", "turn of the head: −1 to the picture's left, 1 to its right"),
    Factor("light", "where the light comes from: −1 the picture's left, 1 its right"),
    Factor("skin", "skin: −1 light, 1 deep"),
    Factor("face_shape", "shape of the face: −1 narrow and pointed, 1 wide and round"),
    Factor("age", "lines of age: 0 none, 1 deep", low=0.0),
    Factor(
        "hair_style",
        "cut of the hair",
        values=("bald", "short", "swept", "curly", "bob", "long", "bun"),
    ),
    Factor(
        "hair_colour",
        "colour of hair, brows and beard",
        values=("black", "brown", "red", "blond", "grey"),
    ),
    Factor("brows", "brows: −1 lowered in a frown, 1 raised"),
    Factor("eye_size", "eyes: −1 small, 1 large"),
    Factor("eye_colour", "colour of the iris", values=("brown", "green", "blue")),
    Factor("gaze", "where the eyes look: −1 to the picture's left, 1 to its right"),
    Factor("nose", "nose: −1 small, 1 large"),
    Factor("smile", "mouth: −1 corners down, 1 a broad smile"),
    Factor("mouth_open", "mouth: 0 closed, 1 wide open", low=0.0),
    Factor("glasses", "whether glasses are worn", values=("no", "yes"), shares=(0.6, 0.4)),
    Factor(
        "beard",
        "hair on the face",
        values=("none", "moustache", "beard"),
        shares=(0.6, 0.15, 0.25),
    ),
    Factor("shirt", "colour of the shirt", values=("coral", "mustard", "teal", "navy", "plum")),
    Factor("background", "background: −1 warm (peach), 1 cool (periwinkle)"),
)

BY_NAME: dict[str, Factor] = {factor.name: factor for factor in FACTORS}

# How many times likelier than on average a hairstyle comes with a beard or moustache, when
# correlations are planted. The mean over styles is 1, which keeps the share of beards.
_BEARD_BY_HAIR: dict[str, float] = {
    "bald": 1.9,
    "short": 1.9,
    "swept": 1.9,
    "curly": 1.0,
    "bob": 0.1,
    "long": 0.1,
    "bun": 0.1,
}


def sample(n: int, *, seed: int = 0, correlated: bool = False) -> Factors:
    """The factors of n faces, each an array (n,); face 7 of a seed is the same for every n.

    Continuous factors are uniform on their range, discrete ones follow `Factor.probabilities`,
    all independent. `correlated` plants three dependences and leaves every factor's own
    distribution as it is:

    - P(glasses | age) = 0.8 age;
    - P(grey hair | age) = 0.6 age²;
    - beards and moustaches go with short hair: 1.9 times their share with "bald", "short" and
      "swept", 0.1 times with "bob", "long" and "bun".
    """
    if n < 0:
        raise InputError(f"n={n} faces cannot be drawn; give 0 or more")
    u = {factor.name: _uniform(n, seed, factor.name) for factor in FACTORS}
    factors: Factors = {}
    for factor in FACTORS:  # in an order in which what a factor depends on comes before it
        if factor.kind == "continuous":
            values = factor.low + (factor.high - factor.low) * u[factor.name]
            factors[factor.name] = values.astype(np.float32)
        else:
            shares = np.tile(factor.probabilities, (n, 1))
            if correlated:
                shares = _planted(factor.name, shares, factors)
            factors[factor.name] = _choose(u[factor.name], shares)
    return factors


def change(factors: Mapping[str, np.ndarray], **changes: float | int | str | np.ndarray) -> Factors:
    """The same faces with the named factors set: `change(factors, smile=1.0, glasses="yes")`.

    A value is one for all faces or an array (N,); a discrete one is an index or a name of `values`.
    """
    n = _count(factors)
    changed = {name: np.asarray(value) for name, value in factors.items()}
    for name, value in changes.items():
        factor = _named(name)
        given = np.asarray(_index(factor, value) if isinstance(value, str) else value)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != n):
            raise InputError(f"{name}: shape {given.shape} given; give one value or ({n},)")
        changed[name] = np.broadcast_to(given, (n,))
    return checked(changed)


def checked(factors: Mapping[str, np.ndarray]) -> Factors:
    """All factors as arrays (N,) within their ranges; InputError names the first at fault."""
    n = _count(factors)
    for name in factors:
        _named(name)
    result: Factors = {}
    for factor in FACTORS:
        if factor.name not in factors:
            raise InputError(f"factor '{factor.name}' is missing; start from faces.sample(n)")
        values = np.asarray(factors[factor.name])
        low, high = (0, len(factor.values) - 1) if factor.values else (factor.low, factor.high)
        if values.shape != (n,):
            raise InputError(f"{factor.name}: shape {values.shape}; all factors must be ({n},)")
        if not ((values >= low) & (values <= high)).all():
            raise InputError(f"{factor.name}: values must lie in [{low:g}, {high:g}]")
        if factor.values and (values % 1 != 0).any():
            raise InputError(f"{factor.name}: values must be whole, indices of {factor.values}")
        result[factor.name] = values.astype(np.int64 if factor.values else np.float32)
    return result


def _count(factors: Mapping[str, np.ndarray]) -> int:
    if not factors:
        raise InputError("no factors given; start from faces.sample(n)")
    first = np.asarray(next(iter(factors.values())))
    return len(first) if first.ndim else 1


def _index(factor: Factor, value: str) -> int:
    if not factor.values:
        raise InputError(f"{factor.name} is a number from {factor.low:g} to {factor.high:g}")
    if value not in factor.values:
        raise InputError(f"{factor.name}: no value '{value}'; {nearest_name(value, factor.values)}")
    return factor.values.index(value)


def _named(name: str) -> Factor:
    if name not in BY_NAME:
        raise InputError(f"no factor '{name}'; {nearest_name(name, BY_NAME)}")
    return BY_NAME[name]


def _planted(name: str, shares: np.ndarray, given: Factors) -> np.ndarray:
    """The shares (n, K) of a discrete factor's values, given the factors drawn before it."""
    age = given["age"].astype(np.float64)
    if name == "glasses":
        return np.stack([1 - 0.8 * age, 0.8 * age], axis=1)
    if name == "hair_colour":  # grey is the last
        grey = 0.6 * age**2
        others = (1 - grey) / (shares.shape[1] - 1)
        return np.stack([*[others] * (shares.shape[1] - 1), grey], axis=1)
    if name == "beard":  # none is the first
        styles = BY_NAME["hair_style"].values
        likelier = np.array([_BEARD_BY_HAIR[style] for style in styles])[given["hair_style"]]
        bearded = shares[:, 1:] * likelier[:, None]
        return np.hstack([1 - bearded.sum(1, keepdims=True), bearded])
    return shares


def _uniform(n: int, seed: int, name: str) -> np.ndarray:
    """Numbers in [0, 1), (n,): the i-th output of SplitMix64 started at a key of seed and name.

    Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014, figure 17.
    """
    key = np.uint64(seeds.derive(seed, "faces", name))
    with np.errstate(over="ignore"):
        z = key + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * 2.0**-53


def _choose(u: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The value each u falls on where row i of `shares` (n, K) divides [0, 1): int64 (n,)."""
    edges = shares.cumsum(1)[:, :-1]
    return (u[:, None] >= edges).sum(1).astype(np.int64)
