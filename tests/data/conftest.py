"""Small folders of pictures, and a cache of each test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PREIMAGE_CACHE", str(folder))
    return folder


def picture(seed: int, size: int = 32, channels: int = 3) -> np.ndarray:
    """A smooth random picture (size, size, 3) or (size, size), unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), np.uint8)
    image = Image.fromarray(coarse[:, :, 0] if channels == 1 else coarse)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes pictures of the given seeds as PNGs below a new folder."""

    def make(name: str = "photos", seeds=range(8), size: int = 32, channels: int = 3) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            Image.fromarray(picture(seed, size, channels)).save(folder / f"{seed:04d}.png")
        return folder

    return make
