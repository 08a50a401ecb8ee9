"""`preimage invert --resume` where a part of what was found has been damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

import preimage as pi

Rows = dict[str, Tensor]


@pytest.fixture
def found(preimage, vae: Path, here: Path) -> tuple[object, ...]:
    """The command that has inverted four images, two at a time, and can go on."""
    photos = pi.save_images(pi.load(vae).sample(4, seed=3), here / "photos")
    options = ("--out", "found", "--calibration", 0, "--batch-size", 2, "--steps", 3)
    assert preimage("invert", vae, photos, *options).status == 0
    return ("invert", vae, photos, *options, "--resume")


DAMAGES: dict[str, Callable[[Rows], Rows]] = {
    "fewer numbers in z": lambda rows: {"z": rows["z"][:, :5]},
    "fewer in z and start": lambda rows: {name: rows[name][:, :5] for name in ("z", "start")},
    "z not finite": lambda rows: {"z": rows["z"] * torch.nan},
    "one error for two images": lambda rows: {"error": rows["error"][:1]},
    "no trace": lambda rows: {"trace": rows["trace"][:, :0]},
    "no status": lambda rows: {"status": rows["status"] + 50},
    "before the first image": lambda rows: {"index": rows["index"] - 1},
    "behind the last image": lambda rows: {"index": rows["index"] * 9},
    "the other part's images": lambda rows: {"index": rows["index"] + 2},
    "one image twice": lambda rows: {"index": rows["index"] * 0},
    "no whole numbers": lambda rows: {"index": rows["index"].float()},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_named_and_nothing_is_written(
    preimage, found, here: Path, damage: str
) -> None:
    part = here / "found/parts/00000000.safetensors"
    rows = load_file(part)
    part.write_bytes(save({n: t.contiguous() for n, t in (rows | DAMAGES[damage](rows)).items()}))
    refused(preimage, found, part, here / "found/latents.npz")


def test_a_part_that_lacks_something(preimage, found, here: Path) -> None:
    part = here / "found/parts/00000000.safetensors"
    rows = load_file(part)
    del rows["error"]
    part.write_bytes(save(rows))
    refused(preimage, found, part, here / "found/latents.npz")


@pytest.mark.parametrize("sentences", ["no JSON", '{"0": 3}', '{"3": {"search": "solved"}}'])
def test_sentences_that_are_not_ours(preimage, found, here: Path, sentences: str) -> None:
    part = here / "found/parts/00000000.safetensors"
    part.write_bytes(save(load_file(part), metadata={"sentences": sentences}))
    refused(preimage, found, part, here / "found/latents.npz")


def test_a_part_that_was_copied(preimage, found, here: Path) -> None:
    part = here / "found/parts/00000001.safetensors"
    shutil.copyfile(here / "found/parts/00000000.safetensors", part)
    refused(preimage, found, part, here / "found/latents.npz")


def refused(preimage, command: tuple[object, ...], part: Path, written: Path) -> None:
    """One line that names the part and the mend, which then helps."""
    before = written.read_bytes()
    done = preimage(*command)
    assert done.status == 2
    assert f"parts/{part.name} is broken" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert written.read_bytes() == before
    part.unlink()
    again = preimage(*command, "--json")
    assert again.status == 0, again.err
    assert [row["index"] for row in again.json["images"]] == [0, 1, 2, 3]
