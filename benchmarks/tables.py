"""Tables in Markdown, and bounds that figures are held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A bound on one figure."""

    what: str
    value: float
    bound: float
    least: bool = False  # whether the bound is from below

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound

    def row(self) -> list[str]:
        sign = "≥" if self.least else "≤"
        return [
            self.what,
            f"{self.value:.4g}",
            f"{sign} {self.bound:.3g}",
            "yes" if self.met else "**no**",
        ]


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
