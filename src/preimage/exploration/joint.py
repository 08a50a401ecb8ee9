"""Directions of all attributes at once: what the latent does when one changes and others stay.

Attributes that go together in the data (old people wear glasses) go together in every mean
difference. The multiple regression of latents on all attributes, z = z̄ + B(x − x̄) + ε, tells them
apart: column j of B is what the latent does as x_j changes and the others do not. The readings
are its generalised least squares turned round, x̂ = (BᵀS⁻¹B)⁻¹BᵀS⁻¹(z − z̄) with S = Cov(ε), so
that each reads its own attribute and nothing of the others: w_j·n_k = δ_jk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.core.words import counted
from preimage.exploration.attributes import LEAST, Attribute
from preimage.exploration.direction import Direction
from preimage.exploration.labelled import as_rows, check_latents, spanned
from preimage.exploration.validation import correlations, folds, quality

NULL = 1e-6  # singular values of the design below this share of the largest count as none
METHOD = "joint"


def fit_jointly(
    latents: Tensor,  # (N, *space.shape)
    attributes: Mapping[str, Attribute],  # columns of N values, by name
    *,
    model: str,  # fingerprint of the model the latents are of
    space: str | None = None,
) -> dict[str, Direction]:
    """A direction for each column, by name, all of one regression.

    Images of which any attribute is not known are left out and counted. A value of several,
    `hair:red`, goes from the mixture of the other values to this one. The report holds what that
    of `fit` holds, and `inflation`: how many times the variance of the direction's error is
    larger for the other attributes' going along with this one.

    Raises InputError for too few examples, one class only, and more attributes than a latent has
    numbers.
    """
    columns = list(attributes.values())
    if not columns:
        raise InputError("no attributes to fit directions of")
    check_latents(latents, columns)
    known = torch.stack([column.known for column in columns]).all(0)
    complete = [
        Attribute(c.name, torch.where(known, c.values, torch.nan), c.group, c.meaning)
        for c in columns
    ]
    for column, whole in zip(columns, complete, strict=True):
        column.check()
        if lack := whole.lack():
            raise InputError(f"where all attributes are known together, {lack}")
    z, x = as_rows(latents[known]), np.stack([c.values[known].numpy() for c in complete], 1)
    _check_size(z, x, columns)
    groups = [c.group for c in columns]
    n, w, c = _solved(z, x, groups)
    readings = np.empty(x.shape)
    for train, test in folds(np.zeros(len(z))):
        _, w_train, c_train = _solved(z[train], x[train], groups)
        readings[test] = z[test] @ w_train.T + c_train
    inflation = _inflation(x, groups)
    shape, everything = latents.shape[1:], {a.name: a for a in complete}
    return {
        a.name: Direction(
            name=a.name,
            vector=torch.from_numpy(n[j]).float().reshape(shape),
            model=model,
            method=METHOD,
            space=space,
            normal=torch.from_numpy(w[j]).float().reshape(shape),
            offset=float(c[j]),
            mean=float(x[:, j].mean()),
            deviation=float(x[:, j].std()),
            conditioned=tuple(dict.fromkeys(g for g in groups if g != a.group)),
            report={
                **quality(a, readings[:, j]),
                "inflation": inflation[j],
                "correlations": correlations(a, readings[:, j], everything),
            },
        )
        for j, a in enumerate(complete)
    }


def _solved(
    z: np.ndarray,  # (N, d)
    x: np.ndarray,  # (N, J)
    groups: Sequence[str],
) -> tuple[np.ndarray, ...]:
    """Directions n (J, d), readings w (J, d) and their offsets (J,)."""
    from sklearn.covariance import ledoit_wolf

    centre, x = z.mean(0), _standardised(x)
    z, basis = z - centre, None
    if len(z) < z.shape[1]:
        z, basis = spanned(z)
    # The columns of a group depend on one another: t are the r coordinates that x really has.
    U, s, Vt = np.linalg.svd(x, full_matrices=False)
    r = int((s > NULL * s[0]).sum())
    t, V = U[:, :r] * s[:r], Vt[:r].T
    B = np.linalg.lstsq(t, z, rcond=None)[0].T  # (d, r)
    S, _ = ledoit_wolf(z - t @ B.T, assume_centered=True)
    SB = np.linalg.solve(S, B)
    w = V @ np.linalg.lstsq(B.T @ SB, SB.T, rcond=None)[0]
    n = _changes(x, groups) @ V @ B.T
    if basis is not None:
        n, w = n @ basis.T, w @ basis.T
    return n, w, -w @ centre


def _standardised(x: np.ndarray) -> np.ndarray:
    deviation = x.std(0)
    return (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)


def _changes(x: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Row j: what x (in standard deviations) does when column j goes up by one, (J, J).

    Of one value among several the others give way as often as they come: x_u falls by
    p_u/(1 − p_v) where x_v rises by 1. In a regression on one-hot columns that is the covariance
    of x_u and x_v within the group.
    """
    change = np.eye(x.shape[1])
    for j, group in enumerate(groups):
        for u, other in enumerate(groups):
            if u != j and other == group:
                change[j, u] = np.mean(x[:, u] * x[:, j])
    return change


def _inflation(x: np.ndarray, groups: Sequence[str]) -> list[float]:
    """1/(1 − R²) of each column on the columns of the other attributes: (J,)."""
    x = _standardised(x)
    factors = []
    for j, group in enumerate(groups):
        others = x[:, [g != group for g in groups]]
        fitted = others @ np.linalg.lstsq(others, x[:, j], rcond=None)[0]
        left = np.mean((x[:, j] - fitted) ** 2)
        factors.append(round(float(1 / max(left, NULL)), 3))
    return factors


def _check_size(z: np.ndarray, x: np.ndarray, columns: Sequence[Attribute]) -> None:
    free = len(columns) - len({c.group for c in columns if c.group != c.name})
    if free > z.shape[1]:
        raise InputError(
            f"{len(columns)} attributes cannot be told apart in latents of "
            f"{counted(z.shape[1], 'number')}; choose at most so many, or another method"
        )
    if len(z) < (least := 2 * (free + LEAST)):
        raise InputError(
            f"{counted(len(z), 'example')} for {len(columns)} attributes together; "
            f"at least {least} are needed, with all of them known"
        )
    if twins := _confounded(_standardised(x), columns):
        raise InputError(
            f"'{twins[0]}' and '{twins[1]}' go together in every image: "
            "nothing can tell them apart; leave one out"
        )


def _confounded(x: np.ndarray, columns: Sequence[Attribute]) -> tuple[str, str] | None:
    ρ = np.abs(x.T @ x) / len(x)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns[:i]):
            if a.group != b.group and ρ[i, j] > 1 - NULL:
                return b.name, a.name
    return None
