"""Words for people."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 image`, `2 images`."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def words(name: str) -> str:
    """`hair_style` as a person writes it: `hair style`."""
    return name.replace("_", " ")
