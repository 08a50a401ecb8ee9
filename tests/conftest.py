"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does where it is busy
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # there are as many workers as processors


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets and third-party models, or a skip that says so."""
    folder = os.environ.get("PREIMAGE_REAL_DATA")
    if not folder:
        pytest.skip("PREIMAGE_REAL_DATA is not set")
    return Path(folder)
