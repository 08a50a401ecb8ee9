"""Damage that a page does to an image: what is left of it, in numbers that are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from preimage.core import DataSpec, InputError
from preimage.studio.damage import KINDS, damaged, operator

DATA = DataSpec("image", (3, 32, 32))


def images(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_shrinking_is_the_mean_of_what_becomes_one_pixel() -> None:
    x = images()
    for amount, factor in ((0.0, 2), (0.5, 4), (1.0, 8)):
        y = damaged(x, operator("shrink", amount, DATA))
        expected = torch.nn.functional.avg_pool2d(x, factor)
        assert torch.allclose(y, expected, atol=1e-5)


def test_noise_has_the_deviation_that_it_says() -> None:
    x = torch.zeros(64, 3, 32, 32)
    through = operator("noise", 0.5, DATA)
    y = damaged(x, through, seed=3)
    assert y.std().item() == pytest.approx(through.noise, rel=0.01)  # type: ignore[attr-defined]
    assert torch.equal(y, damaged(x, through, seed=3))
    assert not torch.equal(y, damaged(x, through, seed=4))


def test_scratches_hide_more_the_more_there_are_and_nothing_else_changes() -> None:
    x = images()
    hidden = []
    for amount in (0.0, 0.5, 1.0):
        through = operator("scratch", amount, DATA, seed=1)
        y = damaged(x, through)
        gone = (y != x).all(1)
        hidden.append(gone.double().mean().item())
        assert torch.equal(y[:, :, ~gone[0]], x[:, :, ~gone[0]])
        again = damaged(x, operator("scratch", amount, DATA, seed=1))
        assert torch.equal(y, again)
    assert 0 < hidden[0] < hidden[1] < hidden[2] < 0.9


def test_blur_keeps_the_mean_and_lowers_the_contrast_by_degrees() -> None:
    x = images().clamp(-0.5, 0.5)
    spread = [damaged(x, operator("blur", a, DATA)).std().item() for a in (0.0, 0.5, 1.0)]
    assert x.std() > spread[0] > spread[1] > spread[2]
    flat = torch.full((1, 3, 32, 32), 0.3)
    assert torch.allclose(damaged(flat, operator("blur", 1.0, DATA)), flat, atol=1e-5)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(InputError, match="did you mean 'noise'"):
        operator("noize", 0.5, DATA)
    with pytest.raises(InputError, match="too small to be shrunk"):
        operator("shrink", 0.5, DataSpec("image", (1, 6, 6)))
    for kind in KINDS:
        operator(kind, 0.5, DATA)


def test_the_page_sees_the_picture_and_what_is_left_of_it(client: TestClient) -> None:
    args = {"base": {"kind": "item", "index": 3}}
    whole = client.post("/api/subject", json={"args": args})
    seen = np.asarray(Image.open(io.BytesIO(whole.content)).convert("L"), float)
    item = client.get("/api/items/3/image").content
    assert np.array_equal(seen, np.asarray(Image.open(io.BytesIO(item)).convert("L"), float))
    answer = client.post("/api/damage", json={"args": args, "damage": "shrink", "amount": 0})
    small = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"), float)
    assert np.abs(small - seen.reshape(4, 2, 4, 2).mean((1, 3))).max() <= 1
    refused = client.post("/api/damage", json={"args": args, "damage": "grey"})
    assert (refused.status_code, refused.json()["error"]) == (400, "these images are grey already")
