"""Real data sets: hostile files, every mode and orientation, archives, splits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preimage import data
from preimage.core import ImageSpec

pytestmark = pytest.mark.real_data


def test_all_orientations_look_alike(real_data: Path):
    found = data.load(real_data / "exif-orientation", fit="pad")
    upright = found.batch([i for i, name in enumerate(found.names) if name != "Landscape_0.jpg"])
    assert len(upright) == 8
    assert (upright - upright[:1]).abs().mean(dim=(1, 2, 3)).max() < 0.03
    turned = upright[:1].rot90(2, (2, 3))
    assert (turned - upright[:1]).abs().mean() > 0.3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
def test_hostile_images_pass_under_two_gigabytes(real_data: Path, cache_folder: Path):
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from preimage import data; found = data.load(sys.argv[1])\n"
        "print(len(found), len(found.skipped))"
    )
    folder = real_data / "pillow-test-images"
    out = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    usable, skipped = map(int, out.stdout.split())
    found = data.load(folder)  # from the cache that the limited process filled
    assert (usable, skipped) == (len(found), len(found.skipped))
    assert usable > 700
    reasons = dict(found.skipped)
    assert "truncated" in reasons["Tests/images/truncated_image.png"]
    assert "cap" in reasons["Tests/images/decompression_bomb.ico"]
    assert not any("crashed" in reason or "longer" in reason for reason in reasons.values())
    assert not any("shape" in reason or "attribute" in reason for reason in reasons.values())
    assert "Tests/images/hopper.jpg" in found.names
    assert found.report is not None
    assert found.report.read_text().count("\n") == skipped


def test_one_scene_in_every_mode_looks_alike(real_data: Path):
    folder = real_data / "pillow-test-images" / "Tests" / "images"
    spec = ImageSpec(1, 64, 64)
    names = ("hopper.jpg", "hopper.png", "hopper.gif", "hopper.bmp", "hopper.ppm", "hopper.webp")
    names += ("hopper.tif", "hopper.j2k" if (folder / "hopper.j2k").exists() else "hopper.ras")
    kinds = [folder / name for name in names if (folder / name).exists()]
    assert len(kinds) >= 5
    seen = data.images(kinds, spec)
    assert (seen - seen[:1]).abs().mean(dim=(1, 2, 3)).max() < 0.08


def test_emoji_of_every_mode(real_data: Path):
    found = data.load(real_data / "emojione-2.2.7")
    assert len(found) == 1832
    assert found.spec == ImageSpec(3, 64, 64)
    assert [name for name, _ in found.skipped] == ["LICENSE.md", "emoji.json"]
    corners = found.images[:, :, 0, 0]
    assert np.mean((corners == 255).all(1)) > 0.9  # transparent corners lie over white
    blue = data.load(real_data / "emojione-2.2.7", background="#0000ff", size=32)
    assert np.mean((blue.images[:, :, 0, 0] == (0, 0, 255)).all(1)) > 0.9


def test_omniglot_in_its_zip(real_data: Path):
    found = data.load(real_data / "omniglot" / "python" / "images_background_small1.zip")
    assert len(found) == 2720
    assert found.spec == ImageSpec(1, 64, 64)
    assert len(found.classes) == 5


def test_orl_faces_are_forty_people(real_data: Path):
    found = data.load(real_data / "orl-faces")
    assert found.spec.channels == 1
    assert len(found.classes) == 40
    assert np.bincount(found.labels).tolist() == [10] * 40
    assert len(found.heldout) >= 32


def test_lpc_sprites_have_factors(real_data: Path):
    found = data.load(real_data / "lpc-sprites-rendered" / "lpc_factors_dev.npz")
    assert found.spec == ImageSpec(3, 64, 64)
    assert {"body", "hair", "action", "direction"} <= set(found.attributes)


def test_mnist_keeps_its_split(real_data: Path):
    found = data.load(real_data / "mnist.npz")
    assert found.images.shape == (70_000, 1, 28, 28)
    assert found.heldout.tolist() == list(range(60_000, 70_000))
    assert found.classes == tuple("0123456789")
    raw = np.load(real_data / "mnist.npz")["train_images"][123]
    assert np.array_equal(found.images[123, 0], raw)


@pytest.mark.slow
def test_cifar10_as_folders(real_data: Path):
    found = data.load(real_data / "cifar10-jpg")
    assert found.images.shape == (60_000, 3, 32, 32)
    assert (len(found.train), len(found.heldout)) == (50_000, 10_000)
    assert len(found.classes) == 10
    assert np.bincount(found.labels).tolist() == [6000] * 10
    assert {found.names[i].split("/")[0] for i in found.heldout[::97]} == {"test"}
    assert found.skipped == [("README.md", "not an image")]
