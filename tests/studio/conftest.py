"""Small runs, opened in a studio that has no server around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from settling import settled
from starlette.testclient import TestClient

import preimage as pi
from preimage.studio import mapping
from preimage.studio.app import Studio, create_app
from preimage.studio.workspace import Workspace

TOKEN, PORT = "a-token-of-this-launch", 8642


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, and no better map unless a test wants one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("PREIMAGE_CACHE", str(folder))
        patch.setattr(mapping, "FEWEST", 10**9)
        yield folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained(runs: Path, cache: Path) -> Path:
    """A VAE of digits with 8 latents."""
    options = {"recipe": "vae-mlp", "steps": 60, "latent": 8, "validations": 1}
    return pi.train("digits", out=runs / "digits", **options).path


@pytest.fixture(scope="session")
def flat(runs: Path, cache: Path) -> Path:
    """A VAE of digits with 2 latents, which is told the class."""
    options = {"recipe": "vae-mlp", "steps": 30, "latent": 2, "validations": 1}
    return pi.train("digits", out=runs / "told", conditional=True, **options).path


@pytest.fixture(scope="session")
def gan(runs: Path, cache: Path) -> Path:
    """A GAN of digits: it cannot encode."""
    options = {"recipe": "gan", "steps": 10, "latent": 8, "validations": 1}
    return pi.train("digits", out=runs / "gan", **options).path


@pytest.fixture(scope="session")
def opened(cache: Path) -> Iterator[Callable[[Path], Workspace]]:
    """Workspaces by their runs, each opened once."""
    known: dict[Path, Workspace] = {}

    def get(path: Path) -> Workspace:
        if path not in known:
            known[path] = settled(Workspace(path))
        return known[path]

    yield get
    for workspace in known.values():
        workspace.close()


@pytest.fixture
def workspace(opened: Callable[[Path], Workspace], trained: Path) -> Workspace:
    return opened(trained)


@pytest.fixture(scope="session")
def served(trained: Path, flat: Path) -> Iterator[tuple[Studio, TestClient]]:
    """A studio, and a page of it that has the token."""
    studio = Studio([trained, flat])
    app = create_app(studio, token=TOKEN, hosts=("localhost", "127.0.0.1"), port=PORT)
    settled(studio.workspace)
    base, headers = f"http://localhost:{PORT}", {"X-Preimage-Token": TOKEN}
    with TestClient(app, base_url=base, headers=headers, raise_server_exceptions=False) as page:
        yield studio, page


@pytest.fixture
def studio(served: tuple[Studio, TestClient]) -> Studio:
    return served[0]


@pytest.fixture
def client(served: tuple[Studio, TestClient]) -> TestClient:
    return served[1]


@pytest.fixture
def stranger(served: tuple[Studio, TestClient]) -> TestClient:
    """A page that has no token."""
    app, base = served[1].app, f"http://localhost:{PORT}"
    return TestClient(app, base_url=base, raise_server_exceptions=False)
