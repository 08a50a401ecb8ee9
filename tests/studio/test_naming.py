"""Directions named on the page: planted ones are found, and too few examples are said to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from preimage.studio.app import Studio


def sides(studio: Studio, coordinate: int, n: int = 40) -> dict[str, list[dict[str, Any]]]:
    """The images that lie lowest and highest along one number of the latent."""
    assert studio.workspace.latents is not None
    order = studio.workspace.latents[:, coordinate].argsort().tolist()
    low, high = ([{"kind": "item", "index": i} for i in part] for part in (order[:n], order[-n:]))
    return {"positive": high, "negative": low}


def test_a_planted_difference_is_found_saved_and_moves_what_it_names(
    client: TestClient, studio: Studio
) -> None:
    assert studio.workspace.latents is not None
    widest = int(studio.workspace.latents.std(0).argmax())
    body = {"name": "along it", **sides(studio, widest)}
    made = client.post("/api/directions", json=body)
    assert made.status_code == 200, made.text
    assert made.json()["accuracy"]["value"] > 0.95
    found = studio.workspace.directions()["along it"]
    assert found.vector.abs().argmax() == widest
    assert found.vector[widest] > 0
    z = torch.zeros(1, 8)
    assert found.move(z, 1.0)[0, widest] > 0
    shown = client.get("/api/session").json()["directions"]
    assert shown[0]["name"] == "along it"  # no other was measured
    assert shown[0]["accuracy"] == made.json()["accuracy"]["value"]
    z = studio.workspace.latents
    assert z is not None
    spread = found.read(z).std().item()  # of readings: what its slider covers three times
    assert shown[0]["high"] == pytest.approx(min(max(3, 3 * spread), 6), rel=0.15)
    assert (studio.workspace.path / "directions" / "along it.safetensors").is_file()
    again = client.post("/api/directions", json=body)
    assert again.json()["error"].startswith("there is a direction 'along it' already")
    assert client.delete("/api/directions/along it").status_code == 200
    assert "along it" not in studio.workspace.directions()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"positive": []}, "0 examples on the positive side; at least 5"),
        ({"negative": [{"kind": "item", "index": 1}]}, "1 example on the negative side"),
        ({"name": "  "}, "give the direction a name"),
        ({"name": "../x"}, "cannot name a direction"),
        ({"positive": [{"kind": "item", "index": 10**6}] * 5}, "counted from 0"),
        ({"positive": "all"}, "must be a list"),
    ],
)
def test_what_cannot_be_a_direction_is_said_in_a_line(
    client: TestClient, studio: Studio, change: dict[str, Any], says: str
) -> None:
    answer = client.post("/api/directions", json={"name": "it", **sides(studio, 0, 6), **change})
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_examples_may_be_any_pictures(client: TestClient) -> None:
    near = [{"kind": "sample", "seed": i} for i in range(5)]
    far = [{"kind": "sample", "seed": i} for i in range(5, 10)]
    body = {"name": "some", "positive": near, "negative": [*far, {"kind": "mean"}]}
    made = client.post("/api/directions", json=body)
    assert made.status_code == 200, made.text
    assert made.json()["examples"] == 11
    client.delete("/api/directions/some")
