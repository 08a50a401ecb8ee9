"""Odd places on the page: a planted defect is found where it is, and good images pass."""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import preimage as pi
from preimage.studio.app import Studio
from preimage.studio.jobs.folder import JobFolder
from preimage.studio.jobs.kinds import detector
from preimage.studio.jobs.working import Bench, Working


@pytest.fixture
def inspected(studio: Studio, trained) -> Studio:
    """The run has a detector."""
    if "default" not in pi.saved_detectors(trained):
        data = studio.workspace.data
        assert data is not None
        x = data.batch(torch.from_numpy(data.train)[:600])
        pi.save_detector(trained, pi.fit_detector(trained, x, scores="patches"))
    return studio


def test_without_a_detector_the_page_is_told_how_to_have_one(client: TestClient) -> None:
    about = client.get("/api/check").json()
    if not about["ready"]:
        assert about["images"] > 1000
        answer = client.post("/api/check", json={"args": {"base": {"kind": "item", "index": 0}}})
        assert (answer.status_code, "fit one first" in answer.json()["error"]) == (400, True)


def test_what_no_good_image_looks_like_is_odd_and_is_shown(
    client: TestClient, inspected: Studio
) -> None:
    data = inspected.workspace.data
    assert data is not None
    good = data.batch(torch.from_numpy(data.heldout)[:1])[0]
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    bad = (2.0 * ((rows + columns) % 2) - 1)[None]  # a chessboard, as no digit is
    images = inspected.workspace.images
    said = []
    for x in (good, bad):
        answer = client.post("/api/check", json={"image": images.put(x).id})
        assert answer.status_code == 200, answer.text
        said.append(answer.json())
    assert said[1]["score"] > said[0]["score"]
    assert said[1]["p"] < said[0]["p"]
    assert said[1]["anomalous"]
    for x, one in zip((good, bad), said, strict=True):
        plain, heat = (picture(one[name]) for name in ("picture", "heat"))
        assert plain.shape == (8, 8, 3)
        assert heat.shape[:2] == (256, 256)
        expected = np.rint((x[0].numpy() + 1) * 127.5)
        assert np.abs(plain[..., 0] - expected).max() <= 1
    assert client.get("/api/check").json()["ready"]


def test_a_job_learns_a_detector_and_keeps_it_with_the_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(pi.fit_detector, scores="patches")
    monkeypatch.setattr(detector, "fit_detector", quick)
    request = {"run": str(trained)}
    folder = JobFolder.create(tmp_path, "detector", "", request, {})
    result = detector.work(Working(folder, Bench()))
    kept = pi.load_detector(trained)
    assert result == {"detector": "default", "images": 800, "threshold": kept.threshold}


def picture(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), float)
