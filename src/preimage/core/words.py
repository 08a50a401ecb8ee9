"""Words for people."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 image`, `2 images`."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
