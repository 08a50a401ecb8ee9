"""Data to train on in a moment, and states of trainers to compare."""

from dataclasses import replace

import numpy as np
import torch

from preimage.data import from_arrays


def patterns(n=160, size=8, channels=1, seed=0):
    """Bright bars at random places, in one of two classes: upright or lying."""
    numbers = np.random.default_rng(seed)
    images = numbers.integers(0, 40, (n, channels, size, size), dtype=np.uint8)
    labels = numbers.integers(0, 2, n)
    for image, label, place in zip(images, labels, numbers.integers(0, size - 1, n), strict=True):
        bar = image[:, :, place : place + 2] if label else image[:, place : place + 2]
        bar += 180
    return from_arrays(images, labels, classes=("lying", "upright"), name="bars")


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def through_a_file(state):
    """What safetensors leaves of a state: contiguous tensors, whatever their strides were."""
    return replace(state, tensors={k: v.contiguous().clone() for k, v in state.tensors.items()})


def copied(state):
    """A state as it is now, in the strides it has now."""
    return replace(
        state,
        tensors={k: v.detach().clone() for k, v in state.tensors.items()},
        numbers={k: dict(v) if isinstance(v, dict) else v for k, v in state.numbers.items()},
    )
