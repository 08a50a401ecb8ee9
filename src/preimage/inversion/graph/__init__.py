"""Generators as small graphs of primitive operations: folded, and with all their derivatives."""

from preimage.inversion.graph.compiled import Compiled, compiled
from preimage.inversion.graph.link import Link

__all__ = ["Compiled", "Link", "compiled"]
