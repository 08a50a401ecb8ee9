"""The runs that ship: small, whole, and good enough to be shown first."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA

import preimage as pi
from preimage import starters
from preimage.data import faces


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setenv("PREIMAGE_CACHE", str(tmp_path))
    return starters.runs()


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_they_are_under_five_megabytes_together() -> None:
    assert sum(file.stat().st_size for file in starters.SHIPPED.rglob("*")) < 5_000_000


def test_copies_are_whole_and_what_is_written_to_them_stays(runs: dict[str, Path]) -> None:
    for name, run in runs.items():
        assert contents(run) == contents(starters.SHIPPED / name)
        assert not run.is_relative_to(starters.SHIPPED)
    (runs["faces"] / "note").write_text("mine")
    assert starters.runs() == runs
    assert (runs["faces"] / "note").read_text() == "mine"


def test_others_that_ship_later_are_not_hidden_by_older_copies(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = tmp_path / "later"
    shutil.copytree(starters.SHIPPED, later)
    (later / "digits" / "config.json").write_text("{}")
    monkeypatch.setattr(starters, "SHIPPED", later)
    found = starters.runs()
    assert found["faces"] == runs["faces"]
    assert (found["digits"] / "config.json").read_text() == "{}"


def test_faces_are_nearer_than_principal_components_of_as_many_numbers() -> None:
    run = starters.SHIPPED / "faces"
    model = pi.load(run)
    learned, fresh = (
        torch.from_numpy(faces.render(faces.sample(n, seed=seed))).float() / 127.5 - 1
        for n, seed in ((600, 5), (60, 6))
    )
    (latent,) = model.space.shape
    with torch.no_grad():
        drawn = model.decode(model.encode(fresh).mean)
    components = PCA(latent).fit(learned.flatten(1).numpy())
    flat = fresh.flatten(1).numpy()
    theirs = components.inverse_transform(components.transform(flat))
    ours = (drawn - fresh).square().mean()
    assert ours < 0.6 * ((theirs - flat) ** 2).mean()


def test_the_directions_are_of_this_model() -> None:
    run = starters.SHIPPED / "faces"
    model = pi.load(run)
    names = pi.saved_directions(run)
    assert {"smile", "glasses", "age"} <= set(names)
    for name in names:
        pi.load_direction(run, name).check(model)


def test_the_digits_have_a_plane_for_their_latent_space() -> None:
    assert pi.load(starters.SHIPPED / "digits").space.shape == (2,)
