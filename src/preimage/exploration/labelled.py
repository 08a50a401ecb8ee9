"""Directions from labelled latents: one attribute, and what the latent does when it changes.

A fit gives two vectors. The direction n is where latents go when the attribute goes up; the
normal w is what reads the attribute off a latent (Haufe et al., "On the interpretation of weight
vectors of linear models", 2014, call them pattern and filter). Every method is brought to one
scale: the reading is unbiased, Cov(w·z, a) = 1 for the attribute a in standard deviations, so that
the mean reading of images with a certain a is a; and w·n = 1, so that one unit along n moves the
reading by one standard deviation of the attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.exploration.attributes import Attribute
from preimage.exploration.direction import Direction
from preimage.exploration.validation import correlations, folds, quality

Fit = tuple[np.ndarray, np.ndarray]  # n and w, each (d,), up to their scale
SINGLE = 1e-9  # shares below this are rounding


def ridge(z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """w ∝ Σ⁻¹ Cov(z, a): ridge regression, and for two classes the linear discriminant.

    The penalty is no parameter: Σ is shrunk towards a multiple of the identity as Ledoit & Wolf,
    "A well-conditioned estimator for large-dimensional covariance matrices", 2004, derive it.
    """
    from sklearn.covariance import ledoit_wolf

    Σ, _ = ledoit_wolf(z, assume_centered=True)
    Σ += SINGLE * np.mean(z * z) * np.eye(len(Σ))  # or dimensions that never vary are singular
    return np.linalg.solve(Σ, z.T @ a / len(z))


def _mean_difference(z: np.ndarray, a: np.ndarray) -> Fit:
    """n = Cov(z, a)/σ_a: the difference of the two means, or the slope of z on the attribute."""
    return z.T @ a / len(z), ridge(z, a)


def _ridge(z: np.ndarray, a: np.ndarray) -> Fit:
    w = ridge(z, a)
    return w, w


def _svm(z: np.ndarray, a: np.ndarray) -> Fit:
    """Along the normal of the hyperplane with the largest margin (Shen et al., InterFaceGAN)."""
    from sklearn.svm import LinearSVC

    # With more examples than dimensions the primal is the quicker of two equal problems.
    model = LinearSVC(class_weight="balanced", dual=z.shape[0] < z.shape[1], tol=1e-3)
    w = model.fit(z, a > 0).coef_[0]
    return w, w


def _logistic(z: np.ndarray, a: np.ndarray) -> Fit:
    from sklearn.linear_model import LogisticRegression

    w = LogisticRegression(class_weight="balanced", max_iter=1000).fit(z, a > 0).coef_[0]
    return w, w


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Fit]] = {
    "mean-difference": _mean_difference,
    "svm": _svm,
    "logistic": _logistic,
    "ridge": _ridge,
}
"""Latents (N, d), centred, their mean square 1, and a standardised attribute (N,) → n and w."""

CLASSIFIERS = ("svm", "logistic")  # for attributes of two values


def fit(
    latents: Tensor,  # (N, *space.shape)
    attribute: Attribute,  # of N values
    *,
    model: str,  # fingerprint of the model the latents are of
    method: str = "mean-difference",
    space: str | None = None,
    others: Mapping[str, Attribute] | None = None,  # what else is known, for the report
) -> Direction:
    """The direction of one attribute. Images of which it is not known are left out and counted.

    The report holds `examples`, `left_out`, `accuracy` (of two classes, each counting half) or
    `r_squared`, cross-validated, and the `correlations` of the reading with the others.

    Raises InputError for too few examples, one class only, and a classifier of a continuous
    attribute.
    """
    check_method(method)
    check_kind(attribute, method)
    check_latents(latents, [attribute])
    attribute.check()
    known = attribute.known
    z, a = as_rows(latents[known]), attribute.values[known].numpy()
    n, w, c = _solved(z, a, method, attribute.name)
    readings = np.empty(len(a))
    for train, test in folds(a):
        _, w_train, c_train = _solved(z[train], a[train], method, attribute.name)
        readings[test] = z[test] @ w_train + c_train
    shape = latents.shape[1:]
    return Direction(
        name=attribute.name,
        vector=torch.from_numpy(n).float().reshape(shape),
        model=model,
        method=method,
        space=space,
        normal=torch.from_numpy(w).float().reshape(shape),
        offset=float(c),
        mean=float(a.mean()),
        deviation=float(a.std()),
        meaning=attribute.meaning,
        report={
            **quality(attribute, readings),
            "correlations": correlations(attribute, readings, others or {}),
        },
    )


def _solved(
    z: np.ndarray, a: np.ndarray, method: str, name: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """n and w in their scale, and the offset, from rows (N, d) and values (N,)."""
    centre, σ = z.mean(0), a.std()
    z, a = z - centre, (a - a.mean()) / σ
    scale, basis = np.sqrt(np.mean(z * z)), None
    if not scale > 0:
        raise InputError(f"the latents say nothing of '{name}': all of them are the same")
    if len(z) < z.shape[1]:  # all that examples say lies in what they span
        z, basis = spanned(z)
    n, w = METHODS[method](z / scale, a)
    reach = (z @ w) @ a / len(a)  # Cov(w·z, a)
    if not reach > SINGLE:
        raise InputError(f"the latents say nothing of '{name}': they are alike whatever it is")
    w = w / reach
    n = n / (w @ n)
    if basis is not None:
        n, w = basis @ n, basis @ w
    return n, w, -float(w @ centre)


def spanned(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, d) with N < d as coordinates (N, N) in an orthonormal basis (d, N)."""
    basis, coordinates = np.linalg.qr(z.T)
    return coordinates.T, basis


def as_rows(latents: Tensor) -> np.ndarray:
    """Latents (N, *shape) → (N, d) in double precision."""
    return latents.detach().flatten(1).cpu().double().numpy()


def check_method(method: str) -> None:
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest_name(method, METHODS)}")


def check_kind(attribute: Attribute, method: str) -> None:
    """Raises InputError for a classifier of a continuous attribute."""
    if method in CLASSIFIERS and not attribute.binary:
        raise InputError(
            f"'{attribute.name}' is continuous, and {method} tells two classes apart; "
            "use ridge or mean-difference"
        )


def check_latents(latents: Tensor, attributes: list[Attribute]) -> None:
    """Raises InputError where latents and values do not belong together."""
    if not latents.isfinite().all():
        raise InputError("the latents hold values that are not finite (NaN or ∞)")
    for attribute in attributes:
        if len(attribute.values) != len(latents):
            raise InputError(
                f"'{attribute.name}' has {len(attribute.values)} values, and there are "
                f"{len(latents)} latents"
            )
