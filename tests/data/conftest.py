"""Small folders of pictures, and a cache of each test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from smooth import picture


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PREIMAGE_CACHE", str(folder))
    return folder


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
