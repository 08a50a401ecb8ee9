"""Images brought to the studio: jobs over HTTP, what they find, and what outlives a reload."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from preimage.studio.app import Studio
from preimage.studio.jobs import latents
from preimage.studio.jobs.asking import ASKED
from preimage.studio.jobs.kinds import KINDS
from preimage.studio.jobs.latents import latent_id

PATIENCE = 180.0
SAMPLE = {"base": {"kind": "sample", "seed": 5}}


def finished(client: TestClient, asked: dict[str, Any]) -> dict[str, Any]:
    """The job, once it has ended."""
    answer = client.post("/api/jobs", json=asked)
    assert answer.status_code == 200, answer.text
    name, deadline = answer.json()["id"], time.monotonic() + PATIENCE
    while (job := client.get(f"/api/jobs/{name}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    assert job["status"] == "done", (job["message"], job["log_tail"])
    return job


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def test_every_kind_that_can_be_asked_for_can_be_done() -> None:
    assert set(ASKED) == set(KINDS)


@pytest.mark.slow
def test_an_image_of_the_model_itself_is_found_again(client: TestClient, studio: Studio) -> None:
    """A planted truth: the latent of a sample draws that sample, to rounding."""
    drawn = client.post("/api/render", json={"args": SAMPLE, "format": "png"}).content
    octets = {"Content-Type": "application/octet-stream"}
    image = client.post("/api/images", content=drawn, headers=octets).json()["id"]
    job = finished(client, {"kind": "invert", "image": image})
    result = job["result"]
    assert result["error"] < 3 * (2 / 255) ** 2 / 12
    assert result["verdict"]["typical"]
    assert "solved" in result["verdict"]["search"]
    assert job["points"][-1]["error"] <= job["points"][0]["error"]
    found = client.get(f"/api/jobs/{job['id']}/files/found.png").content
    assert np.abs(picture(found).astype(int) - picture(drawn).astype(int)).max() <= 2
    # The image, and the latent by its address, show what was found.
    by_image = client.post("/api/render", json={"args": {"base": {"kind": "image", "id": image}}})
    latent = {"kind": "latent", "id": result["latents"][0]}
    by_latent = client.post("/api/render", json={"args": {"base": latent}})
    assert by_image.content == by_latent.content
    spread = picture(client.get(f"/api/jobs/{job['id']}/files/uncertainty.png").content)
    assert spread.shape == (8, 8)
    assert client.get(f"/api/jobs/{job['id']}/preview").headers["content-type"] == "image/png"
    # A reload knows it still; the latent has the same address in another studio.
    assert job["id"] in [one["id"] for one in client.get("/api/jobs").json()]
    places = studio.workspace.folder.glob("jobs*")  # another studio may be at work in the first
    (kept,) = (
        z for place in places if (z := latents.latent(place, result["latents"][0])) is not None
    )
    assert torch.equal(kept[None], studio.workspace.images[image].latent)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"kind": "invret"}, "did you mean 'invert'"),
        ({"kind": "invert"}, "say which picture"),
        ({"kind": "invert", "image": "0123456789abcdef"}, "bring it again"),
        ({"kind": "invert", "args": {"base": {"kind": "nothing"}}}, "no kind of base"),
        ({"kind": "inpaint", "args": SAMPLE, "mask": "AAAA"}, "a byte for each of 8×8"),
        ({"kind": "inpaint", "args": SAMPLE, "mask": "no base64!"}, "a byte for each of 8×8"),
        ({"kind": "inpaint", "args": SAMPLE, "mask": "A" * 86 + "=="}, "nothing is marked"),
        ({"kind": "restore", "args": SAMPLE, "damage": "blurr"}, "did you mean 'blur'"),
        ({"kind": "restore", "args": SAMPLE, "damage": "grey"}, "grey already"),
        ({"kind": "restore", "args": SAMPLE, "damage": "blur", "amount": 7}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_queued(
    client: TestClient, body: dict[str, Any], says: str
) -> None:
    before = client.get("/api/jobs").json()
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert client.get("/api/jobs").json() == before


@pytest.mark.parametrize(
    "path", ["feedfacefeedface", "feedfacefeedface/preview", "..%2f..%2fjobs", "x/files/job.json"]
)
def test_jobs_that_are_none_are_not_there(client: TestClient, path: str) -> None:
    assert client.get(f"/api/jobs/{path}").status_code == 404


def test_addresses_of_latents_lead_to_no_other_file(studio: Studio) -> None:
    folder = studio.workspace.folder / "jobs"
    for odd in (
        "",
        "../../../etc/pass",
        "f" * 17,
        "f" * 19,
        f"{'f' * 16}zz",
        latent_id("f" * 16, 0),
    ):
        assert latents.latent(folder, odd) is None
