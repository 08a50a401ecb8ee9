"""A command run in this process, in a folder and with a cache of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import preimage as pi
from preimage.cli.main import run


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """All of standard output as one object."""
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def here(working_folder: Path) -> Path:
    return working_folder


@pytest.fixture
def preimage(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`preimage("train", "digits")` as it would be typed."""

    def command(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a VAE, hardly trained."""
    return _trained(tmp_path_factory, "vae-mlp")


@pytest.fixture(scope="session")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a GAN, hardly trained."""
    return _trained(tmp_path_factory, "gan-mlp")


@pytest.fixture(scope="session")
def cvae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a conditional VAE, hardly trained."""
    return _trained(tmp_path_factory, "cvae")


def _trained(factory: pytest.TempPathFactory, recipe: str) -> Path:
    out = factory.mktemp("runs") / recipe
    pi.train("digits", recipe=recipe, out=out, steps=6, validations=1, device="cpu")
    return out
