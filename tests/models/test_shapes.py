"""Models as shapes only."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from preimage.core import ImageSpec, InputError
from preimage.models import build, shapes
from preimage.models.shapes import shapes_only
from preimage.training.recipes import RECIPES, Facts, plan

FACTS = Facts(ImageSpec(3, 32, 32), 2000, ("a", "b"))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_shapes_are_those_of_the_model_itself(recipe: str) -> None:
    config = plan(recipe, FACTS).model
    with shapes_only():
        described = build(config).state_dict()
    made = build(config).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in described.items()} == {
        k: (v.shape, v.dtype) for k, v in made.items()
    }
    assert all(tensor.is_meta for tensor in described.values())


def test_outside_weights_are_drawn() -> None:
    with shapes_only():
        pass
    assert torch.empty(9).normal_().ne(0).any()
    assert torch.equal(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_a_model_larger_than_the_machine_is_refused_in_one_line(monkeypatch) -> None:
    config = plan("vae-mlp", FACTS).model
    monkeypatch.setattr(shapes, "memory", lambda: 1e6)
    with shapes_only():
        build(config)  # to be looked at, it need not fit
    with pytest.raises(InputError, match="this machine has 0; lower --latent") as error:
        build(config)
    assert "\n" not in str(error.value)


def test_no_compiler_is_imported_for_shapes() -> None:
    """It takes a second, of every command that opens a run."""
    program = """
import sys
from preimage.core import ImageSpec
from preimage.models import build
from preimage.models.shapes import shapes_only
from preimage.training.recipes import RECIPES, Facts, plan
facts = Facts(ImageSpec(3, 32, 32), 2000, ("a", "b"))
with shapes_only():
    [build(plan(name, facts).model) for name in RECIPES]
print("torch._dynamo" in sys.modules)"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
