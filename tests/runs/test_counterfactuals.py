"""Counterfactuals on disk: the same moves again, and one line where a file is broken."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.exploration.attributes import Attribute, columns
from preimage.exploration.counterfactual import Counterfactual, fit_counterfactual
from preimage.runs.counterfactuals import FILE, load_counterfactual, save_counterfactual


def fitted() -> tuple[Counterfactual, Tensor]:
    """Counterfactuals of two attributes in four columns, and the latents they are of."""
    g = torch.Generator().manual_seed(0)
    hair, age = torch.randint(3, (120,), generator=g), torch.rand(120, generator=g)
    z = torch.stack([hair.float(), age, age * hair], 1)
    known = columns({"hair": hair, "age": age}, {"hair": ("none", "short", "long")})
    return fit_counterfactual(z, known, model="m"), z


def test_what_was_saved_moves_alike(tmp_path: Path) -> None:
    found, z = fitted()
    save_counterfactual(tmp_path, found)
    again = load_counterfactual(tmp_path)
    for name in ("age", "hair:long"):
        assert torch.equal(again.move(z, {name: 1.0}), found.move(z, {name: 1.0}))
    assert (again.model, again.space) == ("m", None)
    assert [c.meaning for c in again.columns] == [c.meaning for c in found.columns]


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_a_file_that_is_none_is_told_in_a_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match=FILE):
        load_counterfactual(tmp_path)


def another(column: Attribute) -> Attribute:
    return replace(column, meaning=("no", 1))  # type: ignore[arg-type]


WRONG: dict[str, Any] = {
    "a short mean": lambda found: {"mean": found.mean[:1]},
    "no deviation": lambda found: {"deviation": found.deviation * 0},
    "a bound that is no number": lambda found: {"low": found.low * torch.nan},
    "weights that are no numbers": lambda found: {"latent": found.latent.apply(blurred)},
    "a column too few": lambda found: {"columns": found.columns[1:]},
    "a column too many": lambda found: {"columns": (*found.columns, found.columns[0])},
    "a meaning that is no word": lambda found: {"columns": tuple(map(another, found.columns))},
    "latents of two lengths": lambda found: {"reader": deepcopy(found.latent)},
}


def blurred(part: torch.nn.Module) -> None:
    for tensor in part.parameters(recurse=False):
        tensor.fill_(torch.nan)


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_go_together_is_told_in_a_line(tmp_path: Path, what: str) -> None:
    found, _ = fitted()
    save_counterfactual(tmp_path, replace(found, **WRONG[what](found)))
    with pytest.raises(InputError, match="no counterfactuals that this version can read"):
        load_counterfactual(tmp_path)
