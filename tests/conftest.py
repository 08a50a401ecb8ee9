"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # at these sizes a second thread saves nothing


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets and third-party models, or a skip that says so."""
    folder = os.environ.get("PREIMAGE_REAL_DATA")
    if not folder:
        pytest.skip("PREIMAGE_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test works in, and beside it a cache of its own."""
    monkeypatch.setenv("PREIMAGE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
