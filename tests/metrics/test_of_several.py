"""Distances that share what is the same for all sets: each is what it would be alone."""

import numpy as np
import pytest
import torch

from preimage.metrics.fidelity import fidelities, fidelity
from preimage.metrics.frechet import frechet_both, frechet_of_each
from preimage.metrics.kernel import kernel_distance, kernel_distances

ONE_AND_ALL = {
    "frechet": (frechet_both, frechet_of_each),
    "kernel": (kernel_distance, kernel_distances),
    "fidelity": (fidelity, fidelities),
}


@pytest.mark.parametrize("d", [12, 300])  # fewer and more numbers than rows
@pytest.mark.parametrize("name", ONE_AND_ALL)
def test_several_sets_are_measured_as_each_alone(name, d):
    one, of_each = ONE_AND_ALL[name]
    draw = np.random.default_rng(0)
    real = torch.from_numpy(draw.normal(size=(200, d)))
    fakes = [torch.from_numpy(draw.normal(size=(200, d), loc=shift)) for shift in (0.0, 0.3, 2.0)]
    assert of_each(real, fakes) == [one(real, fake) for fake in fakes]
