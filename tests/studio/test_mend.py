"""Mending and restoring by jobs: what was known stays, what was hidden comes back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from test_bring import finished

pytestmark = pytest.mark.slow
SAMPLE = {"base": {"kind": "sample", "seed": 5}}


def shown(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"), float)


def test_fillings_keep_what_is_known_and_find_what_the_model_had_drawn(client: TestClient) -> None:
    truth = shown(client.post("/api/render", json={"args": SAMPLE, "format": "png"}).content)
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 3:6] = 1
    text = base64.b64encode(mask.tobytes()).decode()
    job = finished(client, {"kind": "inpaint", "args": SAMPLE, "mask": text})
    files = [name for name in job["result"]["files"].values() if name.startswith("filling-")]
    assert len(files) > 1
    path = f"/api/jobs/{job['id']}"
    for name in files:
        filling = shown(client.get(f"{path}/files/{name}").content)
        assert np.abs(filling - truth)[mask == 0].max() <= 1
    # One of them is taken, and goes on as an image with its latent.
    taken = client.post(f"{path}/use", json={"file": files[0], "row": 0}).json()["id"]
    drawn = client.post("/api/render", json={"args": {"base": {"kind": "image", "id": taken}}})
    assert np.abs(shown(drawn.content) - truth).mean() < 20
    assert client.post(f"{path}/use", json={"file": "../../x.png"}).status_code == 404


def test_a_shrunk_image_comes_back_nearer_than_it_was(client: TestClient) -> None:
    truth = shown(client.post("/api/render", json={"args": SAMPLE, "format": "png"}).content)
    asked = {"kind": "restore", "args": SAMPLE, "damage": "shrink", "amount": 0}
    job = finished(client, asked)
    files, path = job["result"]["files"], f"/api/jobs/{job['id']}/files"
    given = shown(client.get(f"{path}/{files['given']}").content)
    assert given.shape == (4, 4)
    restored = shown(client.get(f"{path}/{files['restored']}").content)
    enlarged = np.kron(given, np.ones((2, 2)))
    assert np.square(restored - truth).mean() < np.square(enlarged - truth).mean()
    assert 0.5 < job["result"]["inside"] <= 1
