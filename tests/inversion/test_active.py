"""Images that are done leave their batch; the others hardly move."""

from __future__ import annotations

import pytest
import torch

from preimage.inversion.solvers.active import moved_up, taken
from preimage.inversion.solvers.anderson import _Past

MASKS = ["11111", "00000", "10110", "01111", "11110", "00001", "10000", "0101010101"]


@pytest.mark.parametrize("mask", MASKS)
def test_who_is_at_work_stays_and_the_last_fill_the_gaps(mask: str):
    running = torch.tensor([bit == "1" for bit in mask])
    rows = moved_up(running)
    assert sorted(rows.tolist()) == running.nonzero()[:, 0].tolist()
    stays = running[: len(rows)]
    assert torch.equal(rows[stays], torch.arange(len(rows))[stays])


@pytest.mark.parametrize("mask", MASKS)
def test_what_is_taken_is_what_an_index_takes_in_the_same_memory(mask: str):
    rows = moved_up(torch.tensor([bit == "1" for bit in mask]))
    x = torch.arange(3.0 * len(mask)).reshape(len(mask), 3)
    expected, memory = x[rows], x.data_ptr()
    found = taken(x, rows)
    assert torch.equal(found, expected)
    assert found.data_ptr() == memory or not len(rows)


class Kept:
    """A problem of which only the order of its images is of interest."""

    def select(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def test_who_stays_keeps_its_own_past():
    running = torch.tensor([False, True, False, True, True])
    tensors = {
        name: torch.randn(5, *size, generator=torch.Generator().manual_seed(i))
        for i, (name, size) in enumerate(
            {"rows": (), "h": (4,), "σ": (4,), "z": (3,), "Δz": (2, 3), "Δe": (3, 4)}
            .items()
        )
    }  # fmt: skip
    tensors["since"] = torch.arange(5)
    rows = moved_up(running)
    expected = {name: x[rows] for name, x in tensors.items()}
    past = _Past(problem=Kept(), **tensors).select(running)  # type: ignore[arg-type]
    assert torch.equal(past.problem, rows)  # type: ignore[arg-type]
    for name, x in expected.items():
        assert torch.equal(getattr(past, name), x), name
