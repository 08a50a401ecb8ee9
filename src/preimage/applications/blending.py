"""Holes in images, closed smoothly, and fillings brought into line with what surrounds them.

A hole Ω is filled by f with Lᵖ f = 0 inside, and f as it is outside; L is the Laplacian of the
pixels' four neighbours, and beyond the image's edge nothing flows. p = 1 is the membrane (a
harmonic function), p = 2 the thin plate (biharmonic: Damelin & Hoang 2018, "On Surface Completion
and Image Inpainting by Biharmonic Functions"). Pérez, Gangnet & Blake 2003, "Poisson Image
Editing", equation 4: a filling g keeps its gradients and meets the edge of the hole when the
membrane over the differences there is added to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg, spsolve

DIRECT = 40_000  # unknowns up to which the equations are solved directly
ITERATIONS = 200  # of conjugate gradients, from the solution at half the size
RELATIVE = 1e-4  # error of the equations at which they end


def continued(
    values: np.ndarray,  # (H, W, C); those in the hole are not looked at
    hole: np.ndarray,  # (H, W) bool
    *,
    order: int = 1,  # p: 1 for the membrane, 2 for the thin plate
) -> np.ndarray:
    """The values with the hole closed smoothly: (H, W, C) float64, elsewhere as they were.

    Raises ValueError where all is hole, so that nothing is known.
    """
    result = values.astype(np.float64)
    if not hole.any():
        return result
    result[hole] = 0  # they may be no numbers at all
    if hole.all():
        raise ValueError("all is hole; nothing is known to go on from")
    rows, columns = _around(hole, 2 * order)
    part, open_ = result[rows, columns], hole[rows, columns]
    L = laplacian(open_.shape[0], open_.shape[1])
    A = L if order == 1 else (L @ L).tocsr()
    unknown = np.flatnonzero(open_)
    of_known = -(A[unknown][:, np.flatnonzero(~open_)] @ part[~open_])  # (n, C)
    inside = A[unknown][:, unknown].tocsc()
    if len(unknown) <= DIRECT:
        solved: Any = spsolve(inside, of_known)
        part[open_] = solved.reshape(of_known.shape)
    else:
        guess = _coarse(part, open_, order)[open_]
        for c in range(part.shape[2]):
            part[open_, c] = cg(
                inside, of_known[:, c], x0=guess[:, c], rtol=RELATIVE, maxiter=ITERATIONS
            )[0]
    result[rows, columns] = part
    return result


def seamless(
    filling: np.ndarray,  # g: (H, W, C)
    image: np.ndarray,  # (H, W, C): known outside the hole
    hole: np.ndarray,  # (H, W) bool
) -> np.ndarray:
    """The image with the filling in its hole, without a seam: (H, W, C) float64."""
    difference = image.astype(np.float64) - filling
    blended = filling + continued(difference, hole)
    return np.where(hole[..., None], blended, image)


def laplacian(height: int, width: int) -> Any:  # SciPy's sparse types say little
    """L of (height, width) pixels in rows: each pixel times its neighbours' number, less them."""
    down, across = _path(height), _path(width)
    parts: list[Any] = [
        sparse.kron(down, sparse.eye_array(width)), sparse.kron(sparse.eye_array(height), across),
    ]  # fmt: skip
    return (parts[0] + parts[1]).tocsr()


def _path(n: int) -> Any:
    """The Laplacian of n pixels in a row."""
    degree = np.full(n, 2.0)
    degree[0] -= 1
    degree[-1] -= 1
    beside = -np.ones(n - 1)
    offsets: Any = (-1, 0, 1)
    return sparse.diags_array([beside, degree, beside], offsets=offsets)


def _around(hole: np.ndarray, border: int) -> tuple[slice, slice]:
    """The rows and columns of the hole, and so many around it."""
    found = []
    for axis in (1, 0):
        places = np.flatnonzero(hole.any(axis))
        found.append(slice(max(0, places[0] - border), places[-1] + 1 + border))
    return found[0], found[1]


def _coarse(values: np.ndarray, hole: np.ndarray, order: int) -> np.ndarray:
    """The same at half the size, brought back to the whole: where to begin from."""
    height, width = hole.shape
    tall, wide = -(-height // 2), -(-width // 2)
    weight = np.zeros((2 * tall, 2 * wide, 1))
    weight[:height, :width, 0] = ~hole
    sums = np.zeros((2 * tall, 2 * wide, values.shape[2]))
    sums[:height, :width] = values
    sums *= weight
    blocks = (tall, 2, wide, 2, -1)
    known = weight.reshape(blocks).sum((1, 3))
    means = sums.reshape(blocks).sum((1, 3)) / known.clip(1)
    closed = continued(means, known[..., 0] == 0, order=order)
    return closed.repeat(2, 0).repeat(2, 1)[:height, :width]
