"""The section of RESULTS.md on interpolations and geodesics."""

from __future__ import annotations

import statistics
from typing import Any

from tables import Target, table

INTERPOLATION = """A walk of {frames} frames beside the bare decoding of as many latents, in turn,
and geodesics of {points} points between held-out faces, each from nothing; VAEs of {latents}
latents trained for minutes on the built-in faces at 64 px, one thread, process CPU seconds.
Lengths are of the images' path. The last column is the energy after 200 steps of Adam on the same
points, over ours."""


def interpolation(results: list[dict[str, Any]]) -> str:
    """One row a recipe, and the targets."""
    (r,) = results
    head = ["recipe", "frames a second", "of bare decoding", "geodesic: CPU s", "evaluations"]
    head += ["length", "straight", "on the sphere", "Adam's energy over ours"]
    body, targets = [], []
    for x in r["recipes"]:
        took, what = statistics.median(x["geodesic_seconds"]), f"`{x['recipe']}`"
        rate, share = x["throughput"]["frames_a_second"], x["throughput"]["share"]
        lengths = (x["length"], x["straight_length"], x["spherical_length"])
        body.append(
            [
                *(what, f"{rate:,.0f}", f"{100 * share:.1f} %", f"{took:.2f}"),
                f"{statistics.median(x['evaluations']):g}",
                *(f"{length:.1f}" for length in lengths),
                f"{x['adam_energy_over_ours']:.3f} in {x['adam_seconds']:.0f} s",
            ]
        )
        targets.append(Target(f"{what}: of bare decoding", share, 0.95, least=True).row())
        slowest = max(x["geodesic_seconds"])
        targets.append(Target(f"{what}: slowest geodesic, CPU seconds", slowest, 5).row())
    parts = ["## Interpolation", INTERPOLATION.format(**r), table(head, body)]
    return "\n\n".join([*parts, "### Targets", table(["what", "figure", "bound", "met"], targets)])
