"""What private training costs: ε at δ, of many noisy sums over random batches.

Each step is a Gaussian mechanism on a Poisson sample of the images (Abadi et al. 2016, "Deep
Learning with Differential Privacy"). Its privacy loss is a random variable, and that of many steps
their convolution, which is worked out numerically with bounds on the error: Gopi, Lee & Wutschitz
2021, "Numerical Composition of Differential Privacy". The accountant is that of opacus; ε is always
its upper bound. Neighbours differ by one image that is there or not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from preimage.core import InputError

EPSILON = (0.05, 30.0)  # of less, the accountant's error of 0.01 would be much; more says nothing
LEAST_NOISE = 0.3  # with less, a step or two spend any budget, and take long to account for


@dataclass(frozen=True)
class Spending:
    """A step's mechanism, and the budget that steps of it draw on."""

    epsilon: float
    delta: float
    noise_multiplier: float  # σ: the noise's standard deviation over the clipping norm
    sample_rate: float  # probability q of each image to be in a batch

    def spent(self, steps: int) -> float:
        """ε at δ after so many steps."""
        if steps == 0:
            return 0.0
        accountant = opacus().PRVAccountant()
        accountant.history = [(self.noise_multiplier, self.sample_rate, steps)]
        with _quiet():
            return float(accountant.get_epsilon(self.delta))

    def affordable(self, steps: int) -> int:
        """As many of these steps as the budget allows."""
        if self.spent(steps) <= self.epsilon:
            return steps
        low, high = 0, steps  # ε grows with every step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.spent(middle) <= self.epsilon else (low, middle)
        return low


def least_noise(*, epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The smallest noise multiplier with which so many steps stay within (ε, δ), to 0.01 in ε.

    Raises InputError where no noise would do.
    """
    from opacus.accountants.utils import get_noise_multiplier

    try:
        with _quiet():
            return get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant=opacus().PRVAccountant.mechanism(),
            )
    except ValueError:
        raise InputError(
            f"no noise keeps {steps} steps within epsilon={epsilon:g} and delta={delta:g}; "
            "give a larger --private or fewer --steps"
        ) from None


def opacus() -> Any:
    """The accountants of opacus. Raises InputError where the extra is not installed."""
    try:
        from opacus import accountants
    except ImportError:
        raise InputError("--private needs an extra: pip install 'preimage[private]'") from None
    return accountants


def check(epsilon: float, delta: float, n: int) -> None:
    """Raises InputError for a guarantee of n images that says nothing, or cannot be given."""
    if not EPSILON[0] <= epsilon <= EPSILON[1]:
        raise InputError(
            f"epsilon={epsilon:g} (--private) is not possible; give {EPSILON[0]:g} to "
            f"{EPSILON[1]:g}: 1 is strong, 8 usual, and above 10 little is promised"
        )
    if not 0 < delta < 1 / n:
        raise InputError(
            f"delta={delta:g} is not possible: it is the chance that the promise fails, and has to "
            f"be more than 0 and less than one over the {n} training images; leave it out"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks on Rényi orders, which only choose where the numerical one looks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
