"""The section on maps of the page of results."""

from __future__ import annotations

from typing import Any

from tables import table


def maps(results: list[dict[str, Any]]) -> str:
    """Maps of many latents: seconds, memory, and how far their neighbourhoods can be trusted."""
    (r,) = results
    head = ["", "points", "seconds", "CPU seconds", "memory, MB", "trustworthiness", "kept"]
    return f"""## Maps of latents
{table(head, [row_of(row) for row in r["rows"]])}

`files` is the picture and what a studio draws: positions and thumbnails of all points. Memory is
what comes on top of the process with the latents and the libraries; *kept* is the share of
neighbours that are neighbours on the map too."""


def row_of(row: dict[str, Any]) -> list[str]:
    trusted, kept = row["trustworthiness"], row["kept"]
    return [
        row["method"],
        f"{row['points']:,}",
        f"{row['seconds']:.1f}",
        f"{row['cpu_seconds']:.1f}",
        f"{row['memory']:.0f}",
        "" if trusted is None else f"{trusted['value']:.3f}",
        "" if kept is None else f"{kept['value']:.0%}",
    ]
