"""`map`, `manifold`, `explain`: what they write, of models of every kind, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import preimage as pi
from preimage.exploration.direction import Direction, owner
from preimage.runs.directions import save_direction

pytestmark = pytest.mark.slow


def test_a_map_and_its_data(preimage, vae: Path, here: Path) -> None:
    made = preimage("map", vae, "-n", 300, "--out", "map", "--json").json
    assert 0.5 < made["trustworthiness"]["value"] <= 1
    about = json.loads((here / "map/map.json").read_text())
    positions = np.fromfile(here / "map/positions.f32", "<f4").reshape(-1, 2)
    expected = pi.latent_map(vae, n=300)
    assert np.array_equal(positions, expected.positions.numpy())
    labels = np.fromfile(here / "map/labels.i32", "<i4")
    data = pi.dataset("digits")
    row = list(data.names).index(about["names"][7])
    assert data.labels is not None
    assert labels[7] == data.labels[row]
    page = Image.open(here / "map" / about["thumbnails"]["pages"][0])
    assert np.array_equal(np.asarray(page)[:8, 56:64, 0], data.images[row, 0])
    assert Image.open(here / "map/map.png").width > 1000


def test_a_map_is_replaced_and_nothing_else_is(preimage, vae: Path, here: Path) -> None:
    assert preimage("map", vae, "-n", 60, "--out", "map").status == 0
    assert preimage("map", vae, "-n", 50, "--out", "map").status == 0
    assert json.loads((here / "map/map.json").read_text())["points"] == 50
    (here / "mine").mkdir()
    (here / "mine/precious").touch()
    refused = preimage("map", vae, "-n", 50, "--out", "mine")
    assert refused.status == 2
    assert "exists already" in refused.err
    assert [file.name for file in (here / "mine").iterdir()] == ["precious"]


def test_the_manifold_of_numbers_and_of_saved_directions(preimage, vae: Path, here: Path) -> None:
    made = preimage("manifold", vae, "--across", 3, "--size", 4, "--out", "a.png", "--json").json
    assert made["axes"][0] == "z3"
    assert made["axes"][1] != "z3"
    assert Image.open(here / "a.png").size == (560, 560)  # enlarged, with gaps between
    run = Path(shutil.copytree(vae, here / "run"))
    model = pi.load(run)
    smile = Direction("smile", torch.ones(model.space.shape), owner(model), "planted")
    save_direction(run, smile)
    data = pi.dataset("digits")
    found = pi.manifold(run, ("smile", 0), centre=data.batch([5]), size=3)
    middle = model.encode(data.batch([5])).mean[0]
    assert torch.allclose(found.latents[4, 1:], middle[1:], atol=1e-5)


def test_the_page_of_a_vae(preimage, vae: Path, here: Path) -> None:
    run = Path(shutil.copytree(vae, here / "run"))
    model = pi.load(run)
    save_direction(run, Direction("tilt", torch.ones(model.space.shape), owner(model), "planted"))
    made = preimage("explain", run, "-n", 200, "--out", "page.html", "--json").json
    assert made["latent"] == len(made["dimensions"]) == model.space.size
    assert made["attributes"] == ["class"]
    assert "tilt" in made["directions"]
    data = pi.dataset("digits")
    rows = pi.latent_map(vae, n=200).names
    q = model.encode(data.batch([list(data.names).index(name) for name in rows]))
    kl = sum(d["kl"] for d in made["dimensions"])
    assert kl == pytest.approx(q.kl().mean().item(), rel=1e-3)
    text = (here / "page.html").read_text()
    assert text.count("<section") == 6
    assert "tilt" in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("http-equiv", "")


@pytest.mark.parametrize("kind", ["gan", "cvae"])
def test_the_page_of_others(kind: str, request, preimage, here: Path) -> None:
    run = request.getfixturevalue(kind)
    made = preimage("explain", run, "-n", 100, "--out", "page.html", "--json").json
    assert made["of"] == ("samples" if kind == "gan" else "images")
    assert (made["dimensions"][0]["kl"] is None) == (kind == "gan")
    assert made["rank"]["value"] > 0


@pytest.mark.parametrize("shape", [(2,), (1,), (2, 2, 2)])
def test_the_page_of_any_module(shape: tuple[int, ...]) -> None:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(torch.Size(shape).numel(), 75)

        def forward(self, z):
            return self.layer(z.flatten(1)).tanh()

    torch.manual_seed(0)
    model = pi.wrap(Net(), data=pi.ImageSpec(3, 5, 5), space=pi.LatentSpace(shape))
    found = pi.explain(model, n=100, device="cpu")
    assert len(found.understanding.dimensions) == torch.Size(shape).numel()
    assert ("The manifold" in found.page) == (shape != (1,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("map", "--by", "clas"), "did you mean 'class'"),
        (("map", "--method", "tsne"), "did you mean 't-sne'"),
        (("map", "-n", 5), "5 points make no map; give at least 12"),
        (("manifold", "--up", 99), "no dimension 99; the latents have 0 to"),
        (("manifold", "--up", "wink"), "wink"),
        (("manifold", "--edges", "0,1"), "both lie between 0 and 1"),
        (("manifold", "--edges", "half"), "'--edges': 'half' is no range; give one like 0.05,0.95"),
        (("manifold", "--centre", "digits"), "--centre is several images"),
        (("map", "-n", 20, "--neighbours", 10), "at least 22 images, or at most 9 neighbours"),
        (("explain", "-n", 30), "30 different images tell too little; give at least 42"),
        (("explain", "--out", "."), "is a folder"),
    ],
)
def test_bad_input(preimage, vae: Path, here: Path, arguments, message: str) -> None:
    verb, *options = arguments
    outcome = preimage(verb, vae, *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.strip().count("\n") <= 1
    assert not any(here.iterdir())


def test_a_model_alone_has_no_saved_directions(vae: Path) -> None:
    with pytest.raises(pi.InputError, match="no saved direction 'smile'"):
        pi.manifold(pi.load(vae), ("smile", 0))


def test_a_grid_of_a_conditional_model_says_its_class(preimage, cvae: Path, here: Path) -> None:
    said = preimage("manifold", cvae, "--label", "7", "--size", 2, "--out", "c.png")
    assert "of class '7'" in said.out
