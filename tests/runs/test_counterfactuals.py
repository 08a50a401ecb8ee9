"""Counterfactuals on disk: the same moves again, and one line where a file is broken."""

from pathlib import Path

import pytest
import torch

from preimage.core import InputError
from preimage.exploration.attributes import columns
from preimage.exploration.counterfactual import fit_counterfactual
from preimage.runs.counterfactuals import FILE, load_counterfactual, save_counterfactual


def test_what_was_saved_moves_alike(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    hair, age = torch.randint(3, (120,), generator=g), torch.rand(120, generator=g)
    z = torch.stack([hair.float(), age, age * hair], 1)
    known = columns({"hair": hair, "age": age}, {"hair": ("none", "short", "long")})
    found = fit_counterfactual(z, known, model="m")
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
