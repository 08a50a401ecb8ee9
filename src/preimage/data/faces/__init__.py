"""Faces that ship: portraits drawn from named factors, every factor known.

An image is a function of its factors alone, so that the same face with one factor changed is the
exact counterfactual: the truth against which directions, edits and disentanglement are measured.
"""

from preimage.data.faces.factors import FACTORS, Factor, Factors, change, sample
from preimage.data.faces.portrait import dataset, render

__all__ = ["FACTORS", "Factor", "Factors", "change", "dataset", "render", "sample"]
