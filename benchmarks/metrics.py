"""How fast scores are computed, against the forms in use: `python benchmarks/metrics.py`.

Everything in one process on one thread, in process CPU time, each figure the median of its
repetitions: the Fréchet distance of 2048 features against `scipy.linalg.sqrtm`, and precision,
recall, density and coverage of 10,000 × 1,000 against the package `prdc`, with equal values.
Then what scores cost with intervals and nulls, and what a stream of a million rows costs. `--only`
measures one part anew; `--quick` takes smaller sets, to see that it runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits

from machine import read, write
from preimage.metrics import Features, Moments, extractor, frechet_distance, halves, quality
from preimage.metrics.fidelity import prdc
from preimage.metrics.frechet import frechet_both
from preimage.metrics.streaming import statistics_of

ROOMS = ("core", "metrics")


def measured(work: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    """The median CPU seconds, of all this process's threads, and the last result."""
    seconds, found = [], None
    for _ in range(times):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), found


def rows(n: int, d: int, *, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Features as networks have them: correlated, of falling spread, never negative."""
    numbers = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    spread = torch.arange(1, d + 1).float() ** -0.5
    x = torch.randn(n, d, generator=numbers) * spread * scale
    return (x @ mixing + 0.1).relu()


def by_square_root(a: Moments, b: Moments) -> float:
    """The distance as it is usually computed."""
    Σ1, Σ2 = a.covariance.numpy(), b.covariance.numpy()
    root = np.real(scipy.linalg.sqrtm(Σ1 @ Σ2))
    means = (a.mean - b.mean).square().sum().item()
    return float(means + np.trace(Σ1) + np.trace(Σ2) - 2 * np.trace(root))


def frechet(quick: bool) -> dict[str, Any]:
    n, d = (1500, 512) if quick else (6000, 2048)
    a, b = Moments(rows(n, d, seed=1)), Moments(rows(n, d, seed=2, scale=1.1))
    ours, value = measured(lambda: frechet_distance(a, b))
    theirs, other = measured(lambda: by_square_root(a, b), 1 if quick else 2)
    x, y = rows(d // 2, d, seed=1), rows(d // 2, d, seed=2)
    few, _ = measured(lambda: frechet_both(x, y, groups=2), 1)
    return {
        "n": n,
        "d": d,
        "seconds": ours,
        "sqrtm_seconds": theirs,
        "ratio": theirs / ours,
        "relative_difference": abs(value - other) / other,
        "few_rows_seconds": few / 3,  # two groups: three distances
    }


def shares(quick: bool) -> dict[str, Any]:
    from prdc import compute_prdc

    n, d, k = (2000 if quick else 10_000), 1000, 5
    found = {}
    gaussian = [torch.randn(n, d, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    features = [rows(n, d, seed=1), rows(n, d, seed=2, scale=1.1)]
    for name, pair in {"gaussian": gaussian, "features": features}.items():
        x, y = (rows.double() for rows in pair)  # in single precision theirs rounds to ties
        ours, values = measured(lambda x=x, y=y: prdc(x, y, k=k, coverage_k=k, strict=True))
        theirs, other = measured(lambda x=x, y=y: compute_prdc(x.numpy(), y.numpy(), k), 1)
        others = [float(other[name]) for name in ("precision", "recall", "density", "coverage")]
        found[name] = {
            "seconds": ours,
            "prdc_seconds": theirs,
            "ratio": theirs / ours,
            "values": list(values),
            "prdc_values": others,
            "largest_difference": max(abs(a - b) for a, b in zip(values, others, strict=True)),
        }
    return {"n": n, "d": d, "k": k, **found}


def table(quick: bool) -> dict[str, Any]:
    """Scores of 10,000 images of 32 × 32 by random features, with intervals and nulls."""
    n = 1000 if quick else 10_000
    net = extractor("random", channels=3)
    numbers = torch.Generator().manual_seed(0)

    def features(m: int) -> Features:
        return net(torch.rand(250, 3, 32, 32, generator=numbers) * 2 - 1 for _ in range(m // 250))

    extracting, (real, fake) = measured(lambda: (features(2 * n), features(n)), 1)
    scoring, found = measured(lambda: quality(*_ordered(real, fake)), 1)
    return {"n": n, "features_seconds": extracting, "scores_seconds": scoring, "scores": [*found]}


def _ordered(real: Features, fake: Features) -> tuple[Features, Features, Features]:
    first, second = halves(real)
    return first, fake, second


def stream(quick: bool) -> dict[str, Any]:
    """Moments by group and a draw of rows, of a stream of 2048 features."""
    n, d = (4000, 512) if quick else (1_000_000, 2048)
    numbers = torch.Generator().manual_seed(0)
    batch = torch.rand(500, d, generator=numbers)
    statistics_of([batch] * 4, rows=2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, _ = measured(lambda: statistics_of([batch] * (n // 500), rows=2000), 1)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"n": n, "d": d, "rows_a_second": n / seconds, "memory_grown_mb": grown / 1024}


PARTS = {"stream": stream, "frechet": frechet, "shares": shares, "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    result: dict[str, Any] = (read("metrics") if options.only else None) or {}
    for name in [options.only] if options.only else PARTS:
        result[name] = PARTS[name](options.quick)
        print(name, result[name], file=sys.stderr, flush=True)
    if not options.quick:
        write("metrics", {"benchmark": "metrics", **result}, rooms=ROOMS)


if __name__ == "__main__":
    main()
