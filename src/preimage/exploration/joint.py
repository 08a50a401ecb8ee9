"""Directions of all attributes at once: what the latent does when one changes and others stay.

Attributes that go together in the data (old people wear glasses) go together in every mean
difference. The multiple regression of latents on all attributes, z = z̄ + Bx + ε, tells them apart:
column j of B is what the latent does as x_j changes and the others do not. The readings are those
of a population in which attributes do not go together, x of covariance Λ, which is that of the data
within an attribute and 0 between two: Cov(z) = BΛBᵀ + S with S = Cov(ε), n = BΛ, and the linear
discriminants w_j ∝ Cov(z)⁻¹n_j read an attribute by what it does itself, not by its company.
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

NULL = 1e-6  # singular values of the design below this share of the largest are none
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

    Raises InputError for too few examples, one class only, and attributes that go together always.
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
            raise InputError(
                f"where all attributes are known together, {lack}; choose fewer attributes, or "
                "another method"
            )
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
            meaning=a.meaning,
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
    # One-hot columns depend on one another: lstsq takes the smallest B, and n is the same for all.
    B = np.linalg.lstsq(x, z, rcond=NULL)[0].T  # (d, J)
    S, _ = ledoit_wolf(z - x @ B.T, assume_centered=True)
    n = _within(x, groups) @ B.T
    w = np.linalg.solve(S + n.T @ B.T, n.T).T  # BΛBᵀ is symmetric: nᵀBᵀ
    w /= np.maximum((w * n).sum(1, keepdims=True), 1e-300)
    if basis is not None:
        n, w = n @ basis.T, w @ basis.T
    return n, w, -w @ centre


def _standardised(x: np.ndarray) -> np.ndarray:
    deviation = x.std(0)
    return (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)


def _within(x: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Λ: the covariance of columns of one attribute, and 0 between two attributes, (J, J).

    Row j is also what x (in standard deviations) does when column j goes up by one: of one value
    among several the others give way as often as they come, so x_u falls by p_u/(1 − p_v) where
    x_v rises by 1, and that is their covariance.
    """
    same = np.array([[a == b for b in groups] for a in groups])
    return np.where(same, x.T @ x / len(x), 0)


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
    if len(z) < (least := 2 * (len(columns) + LEAST)):
        raise InputError(
            f"{counted(len(z), 'example')} for {len(columns)} attributes together; "
            f"at least {least} are needed, with all of them known"
        )
    if pair := twins(columns):
        raise InputError(
            f"'{pair[0]}' and '{pair[1]}' go together in every image: "
            "nothing can tell them apart; leave one out"
        )


def twins(columns: Sequence[Attribute]) -> tuple[str, str] | None:
    """The first two columns of different attributes that always go together, or against."""
    known = torch.stack([column.known for column in columns]).all(0)
    x = _standardised(np.stack([column.values[known].numpy() for column in columns], 1))
    ρ = np.abs(x.T @ x) / len(x)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns[:i]):
            if a.group != b.group and ρ[i, j] > 1 - NULL:
                return b.name, a.name
    return None
