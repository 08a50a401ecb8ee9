"""Similar images on the page: the image itself first, conditions that hold, and moved queries."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from preimage.studio.app import Studio


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_latent_of_an_image_finds_that_image(client: TestClient, studio: Studio) -> None:
    assert studio.workspace.latents is not None
    for index in (0, 17, 400):
        kept = studio.workspace.keep(studio.workspace.latents[index][None])
        found = search(client, args={"base": {"kind": "latent", "id": kept}}, k=5)["found"]
        assert found[0]["index"] == index
        assert found[0]["distance"] == pytest.approx(0, abs=1e-3)
        distances = [one["distance"] for one in found]
        assert distances == sorted(distances)


def test_an_image_of_the_map_does_not_find_itself(client: TestClient) -> None:
    found = search(client, args={"base": {"kind": "item", "index": 17}}, k=50)["found"]
    assert 17 not in [one["index"] for one in found]


def test_neighbours_are_of_the_same_digit_more_often_than_chance(client: TestClient) -> None:
    right = 0
    for index in range(0, 1000, 50):
        args = {"base": {"kind": "item", "index": index}}
        own = client.get(f"/api/items/{index}").json()["label"]
        found = search(client, args=args, k=5)["found"]
        right += sum(one["attributes"]["class"] == own for one in found)
    assert right > 50  # of 100; 10 by chance


def test_only_those_are_found_of_which_the_condition_holds(client: TestClient) -> None:
    args = {"base": {"kind": "item", "index": 0}}
    answer = search(client, args=args, k=20, where="class = 3")
    assert {one["attributes"]["class"] for one in answer["found"]} == {"3"}
    assert 100 < answer["held"] < 300
    both = search(client, args=args, k=200, where="class = 3 or class = 7")
    assert {one["attributes"]["class"] for one in both["found"]} == {"3", "7"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"where": "clas = 3"}, "did you mean 'class'"),
        ({"where": "class = 33"}, "never '33'"),
        ({"where": "class ="}, "a value is missing"),
        ({"k": 0}, "from 1 to 200"),
        ({"k": 1e9}, "from 1 to 200"),
        ({"where": "x" * 2000}, "too long"),
        ({"args": {"base": {"kind": "item", "index": 10**9}}}, "counted from 0"),
    ],
)
def test_what_cannot_be_searched_for_is_said(
    client: TestClient, change: dict[str, Any], says: str
) -> None:
    body = {"args": {"base": {"kind": "item", "index": 0}}, "k": 5} | change
    answer = client.post("/api/search", json=body)
    assert answer.status_code in (200, 400)  # what is still being written is no failure
    assert says in answer.json()["error"]
    assert "--where" not in answer.json()["error"]
