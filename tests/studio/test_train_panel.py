"""Training from the page: paths that are confined, archives that are checked, runs that go on."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from starlette.testclient import TestClient

import preimage as pi
from preimage.core import InputError
from preimage.studio import guard, training
from preimage.studio.app import Studio, create_app
from preimage.studio.jobs.folder import ENDED
from preimage.studio.jobs.queue import Queue
from preimage.studio.training import below, listing

OCTETS = {"Content-Type": "application/octet-stream"}
PATIENCE = 240.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """root/inside/a.png, root/inside/more.zip, root/out → elsewhere, elsewhere/secret.png."""
    root, elsewhere = tmp_path / "root", tmp_path / "root-elsewhere"
    (root / "inside" / "deeper").mkdir(parents=True)
    elsewhere.mkdir()
    Image.new("L", (8, 8)).save(root / "inside" / "a.png")
    Image.new("L", (8, 8)).save(root / "inside" / "deeper" / "b.JPG", "jpeg")
    Image.new("L", (8, 8)).save(elsewhere / "secret.png")
    (root / "inside" / "more.zip").write_bytes(b"")
    (root / "inside" / ".hidden").mkdir()
    (root / "out").symlink_to(elsewhere)
    return root


@pytest.mark.parametrize("path", ["", "inside", "inside/deeper", "inside/../inside", "./inside"])
def test_what_is_below_the_folder_is_found(tree: Path, path: str) -> None:
    assert below((tree,), 0, path).is_relative_to(tree)


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../root-elsewhere",
        "inside/../../root-elsewhere",
        "/etc",
        "out",
        "out/secret.png",
        "..\\root-elsewhere",
        "inside\0",
        "nothing",
        7,
        None,
    ],
)
def test_what_leads_elsewhere_is_refused(tree: Path, path: Any) -> None:
    with pytest.raises(InputError):
        below((tree,), 0, path)


@pytest.mark.parametrize("root", [1, -1, True, "0", None])
def test_folders_that_were_not_named_are_refused(tree: Path, root: Any) -> None:
    with pytest.raises(InputError, match="no such folder"):
        below((tree,), root, "")


def test_a_folder_is_listed_with_its_images_counted(tree: Path) -> None:
    assert listing(tree) == {"folders": ["inside", "out"], "archives": [], "images": 2}
    inside = listing(tree / "inside")
    assert inside == {"folders": ["deeper"], "archives": ["more.zip"], "images": 2}


def test_the_page_names_no_folder_where_none_was_named(client: TestClient) -> None:
    assert client.get("/api/train").json()["folders"] == []
    asked = client.get("/api/train/folders", params={"root": 0, "path": ""})
    assert asked.status_code == 400
    for source in ({"root": 0, "path": "/etc"}, "/etc", {"set": "/etc"}, {"archive": "../x"}, {}):
        answer = client.post("/api/jobs", json={"kind": "train", "source": source})
        assert answer.status_code == 400, source


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": "vae-cnov"}, "did you mean 'vae-conv'"),
        ({"minutes": 0}, "minutes must be a number from"),
        ({"minutes": "5"}, "minutes must be a number from"),
        ({"size": 100_000}, "size must be a number from"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    client: TestClient, change: dict[str, Any], says: str
) -> None:
    answer = client.post("/api/jobs", json={"kind": "train", "source": {"own": True}, **change})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_only_archives_are_taken_and_only_as_many_bytes(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = studio.workspace.folder / "archives"
    refused = client.post("/api/archives", content=b"no zip", headers=OCTETS)
    assert (refused.status_code, "zip or tar" in refused.json()["error"]) == (400, True)
    taken = client.post("/api/archives", content=zipped(3), headers=OCTETS)
    name = taken.json()["id"]
    assert [file.name for file in place.iterdir()] == [f"{name}.zip"]
    monkeypatch.setitem(guard.RAW, "/api/archives", 100)
    assert client.post("/api/archives", content=zipped(3), headers=OCTETS).status_code == 413
    assert len(list(place.iterdir())) == 1


def test_only_so_many_archives_come_at_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "COMING", 1)
    for content, status in ((b"no zip", 400), (zipped(3), 200), (zipped(3), 200)):
        assert client.post("/api/archives", content=content, headers=OCTETS).status_code == status
    answers = []

    def looked_at(path: Path) -> bool:
        """Another archive comes while the first is looked at."""
        if not answers:
            answers.append(None)
            answers[0] = client.post("/api/archives", content=zipped(3), headers=OCTETS)
        return True

    monkeypatch.setattr(training, "is_archive", looked_at)
    assert client.post("/api/archives", content=zipped(3), headers=OCTETS).status_code == 200
    assert (answers[0].status_code, "on their way" in answers[0].json()["error"]) == (400, True)


def zipped(n: int) -> bytes:
    """An archive of small images of noise."""
    rng, content = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for i in range(n):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(file, "png")
            archive.writestr(f"{i}.png", file.getvalue())
    return content.getvalue()


def ended(queue: Queue, name: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while (job := queue.job(name)).record.status not in ENDED or job.stopping:
        assert time.monotonic() < deadline, job.public(whole=True)
        time.sleep(0.05)
    return job


@pytest.mark.slow
def test_a_training_that_is_killed_and_stopped_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed once, stopped once, gone on twice: the weights are those of a run left alone."""
    monkeypatch.chdir(tmp_path)
    asked = {"recipe": "vae-mlp", "steps": 240, "minutes": None, "size": None, "seed": 3}
    asked |= {"source": "digits", "name": "digits", "conditional": False}
    queue = Queue(tmp_path / "jobs")
    queue.start()
    try:
        name = queue.submit("train", asked, title="digits").record.id
        reached(queue, name, 60)
        os.killpg(queue._workers["training"].process.pid, signal.SIGKILL)
        job = ended(queue, name)
        assert job.record.status == "failed"
        assert "SIGKILL" in job.record.message
        queue.again(name)
        reached(queue, name, 120)
        queue.cancel(name)
        job = ended(queue, name)
        assert job.record.status == "cancelled"
        assert not job.result["finished"]
        queue.again(name)
        job = ended(queue, name)
        assert (job.record.status, job.result["finished"]) == ("done", True)
    finally:
        queue.close()
    assert job.folder.file("preview.png").is_file()
    losses = [point["loss"] for point in job.points if "loss" in point]
    assert losses[-1] < losses[0]
    alone = pi.train("digits", recipe="vae-mlp", steps=240, seed=3, out=tmp_path / "alone")
    weights = load_file(Path(job.result["run"]) / "weights.safetensors")
    for key, value in load_file(alone.weights).items():
        assert torch.equal(weights[key], value), key


def reached(queue: Queue, name: str, step: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        job = queue.job(name)
        trains = job.record.status == "running" and "loss" in job.state.get("metrics", {})
        if trains and job.state["step"] >= step:
            return
        assert time.monotonic() < deadline, job.public(whole=True)
        time.sleep(0.01)


@pytest.mark.slow
def test_an_uploaded_archive_is_trained_on_and_opened(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = Studio([trained])
    app = create_app(studio, token="t", hosts=("localhost",), port=80)
    headers = {"X-Preimage-Token": "t"}
    with TestClient(app, base_url="http://localhost", headers=headers) as page:
        archive = page.post("/api/archives", content=zipped(40), headers=OCTETS).json()["id"]
        asked = {"kind": "train", "source": {"archive": archive}, "name": "my images"}
        job = page.post("/api/jobs", json={**asked, "recipe": "vae-mlp", "steps": 20}).json()
        deadline = time.monotonic() + PATIENCE
        while (now := page.get(f"/api/jobs/{job['id']}").json())["status"] not in ENDED:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        assert now["status"] == "done", now["log_tail"]
        assert Path(now["result"]["run"]).parent == tmp_path / "runs"
        page.post(f"/api/jobs/{job['id']}/open", json={})
        assert page.get("/api/session").json()["name"] == "my-images-vae-mlp"
