"""Ways to minimise F(z), one file each, all of the form of `preimage.inversion.search.Solver`."""

from __future__ import annotations

from preimage.inversion.search import Solver
from preimage.inversion.solvers.adam import adam, projector
from preimage.inversion.solvers.cma import basin_cma, cma
from preimage.inversion.solvers.gauss_newton import gauss_newton
from preimage.inversion.solvers.lbfgs import lbfgs
from preimage.inversion.solvers.levenberg_marquardt import levenberg_marquardt
from preimage.inversion.solvers.preconditioned_lbfgs import preconditioned_lbfgs

SOLVERS: dict[str, Solver] = {
    "adam": adam,
    "projector": projector,
    "l-bfgs": lbfgs,
    "preconditioned-l-bfgs": preconditioned_lbfgs,
    "levenberg-marquardt": levenberg_marquardt,
    "gauss-newton": gauss_newton,
    "cma": cma,
    "basin-cma": basin_cma,
}
