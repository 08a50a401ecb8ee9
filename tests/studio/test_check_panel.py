"""Odd places on the page: a planted defect is found where it is, and good images pass."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import preimage as pi
from preimage.studio.app import Studio


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


def test_what_no_good_image_looks_like_is_odd_and_is_shown(client: TestClient, inspected: Studio) -> None:
    data = inspected.workspace.data
    assert data is not None
    good = data.batch(torch.from_numpy(data.heldout)[:1])[0]
    bad = -good  # white where every digit is black
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


def picture(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), float)
