"""`preimage interpolate` and `arithmetic`: from files to files, on every kind of model."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import preimage as pi


@pytest.fixture
def photos(vae: Path, here: Path) -> Path:
    """Four images of the model's own, as files."""
    return pi.save_images(pi.load(vae).sample(4, seed=3), here / "photos")


def stills(folder: Path) -> torch.Tensor:
    """The frames that were written one by one, in [−1, 1]."""
    arrays = [np.asarray(Image.open(path).convert("L")) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(arrays))[:, None] / 127.5 - 1


def latents_of(path: Path, name: str = "latents") -> torch.Tensor:
    with np.load(path) as arrays:
        return torch.from_numpy(arrays[name])


def test_a_walk_from_image_to_image_shows_both_as_the_encoder_sees_them(
    preimage, vae, photos, here: Path
) -> None:
    ends = photos / "00000.png", photos / "00001.png"
    done = preimage(
        *("interpolate", vae, *ends, "--frames", 9, "--method", "lerp"),
        *("--format", "gif, webp, png", "--out", "walk", "--json"),
    )
    assert done.status == 0, done.err
    model = pi.load(vae)
    z = torch.cat([pi.latents(model, end) for end in ends])
    walked = latents_of(here / "walk/latents.npz")
    t = torch.linspace(0, 1, 9)[:, None]
    assert torch.allclose(walked, torch.lerp(z[:1], z[1:], t), atol=1e-5)
    shown = stills(here / "walk/frames")
    assert torch.allclose(shown, model.decode(walked).detach(), atol=1 / 127)
    for name, frames in (("interpolation.gif", 9), ("interpolation.webp", 9)):
        with Image.open(here / "walk" / name) as file:
            assert (file.n_frames, file.height) == (frames, 256)
    assert done.json == json.loads((here / "walk/interpolation.json").read_text())
    assert (done.json["frames"], done.json["points"]) == (9, 2)
    shorter = ("interpolate", vae, *ends, "--frames", 4, "--format", "png", "--out", "walk")
    refused = preimage(*shorter)
    assert (refused.status, "00004.png and on of a longer walk" in refused.err) == (2, True)
    assert len(stills(here / "walk/frames")) == 9


def test_a_geodesic_says_what_it_saves_and_loops_through_a_folder(
    preimage, vae, photos, here: Path
) -> None:
    done = preimage(
        *("interpolate", vae, photos, "--method", "geodesic", "--even", "--loop"),
        *("--frames", 12, "--out", "walk", "--json"),
    )
    assert done.status == 0, done.err
    legs = done.json["geodesics"]
    assert len(legs) == done.json["points"] == 4
    assert all(leg["length"] <= leg["straight_length"] for leg in legs)
    assert done.json["unevenness"] < 1.1


def test_samples_and_saved_latents_are_places_too(preimage, gan, here: Path) -> None:
    model = pi.load(gan)
    drawn = pi.sample(model, 3, seed=9)
    pi.save_latents(here / "drawn.npz", model=model, latents=drawn.latents)
    save_file({"latents": drawn.latents}, here / "drawn.safetensors")
    places = ("random:5", "drawn.npz[1]", "drawn.safetensors[-1]", "drawn.npz")
    done = preimage("interpolate", gan, *places, "--frames", 8, "--out", "walk")
    assert done.status == 0, done.err
    points = latents_of(here / "walk/latents.npz", "points")
    z = drawn.latents
    expected = torch.cat([model.space.sample(1, seed=5), z[1:2], z[2:], z])
    assert torch.allclose(points, expected)
    again = preimage("interpolate", gan, "walk/latents.npz", "--frames", 8, "--out", "again")
    assert again.status == 0, again.err  # what a walk leaves is a place to walk through


def test_without_an_encoder_images_are_searched_for(preimage, gan, here: Path) -> None:
    model = pi.load(gan)
    photos = pi.save_images(model.sample(2, seed=1), here / "photos")
    done = preimage("interpolate", gan, photos, "--frames", 5, "--format", "png", "--out", "walk")
    assert done.status == 0, done.err
    off = stills(here / "walk/frames")[[0, -1]] - stills(photos)
    assert off.square().mean() < 1e-3


def test_a_conditional_model_walks_within_a_class(preimage, cvae, here: Path) -> None:
    done = preimage(
        *("interpolate", cvae, "random:1", "random:2", "--label", "7", "--frames", 5),
        *("--format", "png", "--out", "walk", "--json"),
    )
    assert done.status == 0, done.err
    assert done.json["label"] == "7"
    model = pi.load(cvae)
    z = latents_of(here / "walk/latents.npz")
    images = model.decode(z, torch.full((5,), 7)).detach()
    assert torch.allclose(stills(here / "walk/frames"), images, atol=1 / 127)
    summed = preimage("arithmetic", cvae, "random:1 - random:2", "--label", "7", "--out", "sum")
    assert summed.status == 0, summed.err


def test_a_sum_of_images_is_the_sum_of_their_latents(preimage, vae, photos, here: Path) -> None:
    shutil.copy(photos / "00002.png", here / "a photo-2.png")
    expression = "photos/00000.png - 0.5*photos + 'a photo-2.png' - random:3"
    done = preimage("arithmetic", vae, expression, "--out", "sum", "--json")
    assert done.status == 0, done.err
    model = pi.load(vae)
    z = pi.latents(model, photos)
    expected = z[0] - 0.5 * z.mean(0) + z[2] - model.space.sample(1, seed=3)[0]
    found = latents_of(here / "sum/latents.npz")
    assert torch.allclose(found[0], expected, atol=1e-5)
    image = torch.from_numpy(np.asarray(Image.open(here / "sum/sum.png").convert("L")))
    decoded = model.decode(found).detach()[0, 0]
    assert torch.allclose(image / 127.5 - 1, decoded, atol=1 / 127)
    assert [term["images"] for term in done.json["terms"]] == [1, 4, 1, 1]
    assert Image.open(here / "sum/sheet.png").width > 100


def test_images_are_fitted_as_the_runs_own_were(preimage, vae, here: Path) -> None:
    run = here / "run"
    shutil.copytree(vae, run)
    config = json.loads((run / "config.json").read_text())
    config["data"]["options"]["fit"] = "stretch"
    (run / "config.json").write_text(json.dumps(config))
    Image.linear_gradient("L").resize((32, 16)).rotate(90).save(here / "wide.png")
    done = preimage("arithmetic", run, "wide.png", "--out", "sum", "--json")
    assert done.status == 0, done.err
    z = latents_of(here / "sum/latents.npz")
    assert torch.allclose(z.flatten(), pi.latents(run, "wide.png").flatten(), atol=1e-5)
    assert not torch.allclose(z.flatten(), pi.latents(vae, "wide.png").flatten(), atol=1e-3)


def test_a_plus_b_minus_b_is_a(vae, photos) -> None:
    model = pi.load(vae)
    made = pi.arithmetic(
        model, "a + b - b", places={"a": photos / "00000.png", "b": torch.ones(model.space.shape)}
    )
    assert torch.allclose(made.latent, pi.latents(model, photos / "00000.png")[0], atol=1e-6)
    assert torch.allclose(made.image, made.images[0], atol=1e-6)


def test_spatial_latents_walk_and_sum() -> None:
    net = torch.nn.Sequential(torch.nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1))
    model = pi.wrap(net, data=pi.ImageSpec(1, 8, 8), space=pi.LatentSpace((2, 4, 4)))
    made = pi.interpolate(model, "random:1", torch.zeros(2, 4, 4), frames=5, method="geodesic")
    assert made.latents.shape == (5, 2, 4, 4)
    total = pi.arithmetic(model, "random:1 + random:2")
    expected = model.space.sample(1, seed=1) + model.space.sample(1, seed=2)
    assert torch.allclose(total.latent, expected[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png", "random:1"], "none.png"),
        (["random:one", "random:1"], "the seed is a whole number"),
        (["random:1"], "1 point to walk between"),
        (["random:1", "random:2", "random:3", "--frames", 2], "give at least 3"),
        (["random:1", "random:2", "--method", "slrp"], "did you mean 'slerp'"),
        (["random:1", "random:2", "--format", "gif,avi"], "no animation format 'avi'"),
        (["random:1", "random:2", "--fps", 0], "at 0.01 and"),
        (["random:1", "random:2", "--invert", "serch"], "did you mean 'search'"),
        (["random:1", "random:2", "--label", "3"], "without classes"),
        (["short.npz", "random:2"], "latents of shape (3,); this model's are (20,)"),
        (["other.npz", "random:2"], "holds latents of model abc"),
        (["empty.npz", "random:2"], "holds no latents"),
        (["words.npz", "random:2"], "no numbers"),
        (["good.npz[7]", "random:2"], "holds 2 latents, counted from 0; it has no [7]"),
        (["none.npz[1]", "random:2"], "none.npz[1]"),
        (["images.npz[1]", "random:2"], "holds no 'latents'"),
    ],
)
def test_what_cannot_be_walked_is_refused_in_a_line_and_nothing_is_written(
    preimage, vae: Path, here: Path, arguments: list[object], message: str
) -> None:
    np.savez(here / "short.npz", latents=np.zeros((2, 3), np.float32))
    np.savez(here / "good.npz", latents=np.zeros((2, 20), np.float32))
    np.savez(here / "other.npz", latents=np.zeros((2, 20), np.float32), model=np.array("abc"))
    np.savez(here / "empty.npz", latents=np.zeros((0, 20), np.float32))
    np.savez(here / "words.npz", latents=np.array(["a"] * 20))
    np.savez(here / "images.npz", images=np.zeros((2, 8, 8), np.uint8))
    done = preimage("interpolate", vae, *arguments, "--out", "walk")
    assert (done.status, message in done.err) == (2, True), done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "walk").exists()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "is empty"),
        ("2 * 3", "names no image"),
        ("random:1 + * random:2", "(at character 12)"),
        ("random:1 - none.png", "none.png"),
        ("random:1 - none.png", "(at character 12)"),
        ("random:1 random:2", "'+' or '-' is missing before 'random:2'"),
    ],
)
def test_what_cannot_be_summed_is_pointed_at(
    preimage, vae: Path, here: Path, expression: str, message: str
) -> None:
    done = preimage("arithmetic", vae, expression, "--out", "sum")
    assert (done.status, message in done.err) == (2, True), done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "sum").exists()


def test_a_conditional_model_asks_for_its_label(preimage, cvae, here: Path) -> None:
    for verb, places in (("interpolate", ["random:1", "random:2"]), ("arithmetic", ["random:1"])):
        done = preimage(verb, cvae, *places, "--out", "out")
        assert (done.status, "give a label" in done.err) == (2, True), done.err


def test_mp4_without_its_extra_is_refused_before_any_work(
    preimage, vae, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = preimage("interpolate", vae, "random:1", "random:2", "--format", "mp4", "--out", "walk")
    assert (done.status, "preimage[video]" in done.err) == (2, True)
    assert not (here / "walk").exists()
