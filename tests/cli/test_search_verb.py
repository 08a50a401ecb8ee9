"""`index` and `search`: what is found, what is kept, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import preimage as pi

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 digits, with labels beside it; number 7 stands there twice."""
    folder = tmp_path_factory.mktemp("digits") / "photos"
    (folder / "odd").mkdir(parents=True)
    (folder / "even").mkdir()
    data = pi.dataset("digits")
    assert data.labels is not None
    lines = ["file,ink,kind"]
    for i in range(60):
        side = "odd" if data.labels[i] % 2 else "even"
        Image.fromarray(data.images[i, 0]).save(folder / side / f"{i}.png")
        lines.append(f"{side}/{i}.png,{data.images[i].mean() / 255:.4f},{side}")
    shutil.copy(folder / "odd/7.png", folder / "odd/again.png")
    (folder.parent / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def index(preimage, vae: Path, digits: Path, here: Path) -> Path:
    labels = digits.parent / "labels.csv"
    options = ("--labels", labels, "--metric", "features", "--out", "index", "--json")
    made = preimage("index", vae, digits, *options)
    assert made.status == 0, made.err
    assert (made.json["added"], made.json["known"], made.json["images"]) == (60, 1, 60)
    return here / "index"


def test_an_image_finds_itself_and_then_the_like(preimage, vae, digits, index, here) -> None:
    image = digits / "odd/9.png"
    found = preimage("search", index, image, "-k", 5, "--out", "sheet.png", "--json").json
    (query,) = found["queries"]
    assert query["query"] == "9.png"
    assert query["found"][0]["name"] == str(image)
    assert query["found"][0]["distance"] < 1e-3
    distances = [hit["distance"] for hit in query["found"]]
    assert distances == sorted(distances)
    assert len(distances) == 5
    model = pi.load(vae)
    data = pi.dataset("digits")
    opened = pi.open_index(index, model=model)
    with torch.no_grad():
        seen = opened.likeness(model.features(data.batch(range(60))).numpy())
    by_hand = np.linalg.norm(seen - seen[9], axis=1).argsort()[:5]
    assert [Path(hit["name"]).stem for hit in query["found"]] == [str(i) for i in by_hand]
    assert Image.open(here / "sheet.png").width > 200
    several = preimage("search", index, image, digits / "even/0.png", "-k", 2)
    assert "0.png:" in several.out
    assert several.out.count("distance") == 2


def test_it_is_brought_up_to_date(preimage, vae, digits, index, here) -> None:
    folder = here / "photos"
    shutil.copytree(digits, folder)
    again = preimage("index", vae, folder, "--out", index, "--json").json
    assert (again["added"], again["known"], again["images"]) == (0, 61, 60)
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(folder / "odd/new.png")
    more = preimage("index", vae, folder, "--out", index, "--json").json
    assert (more["added"], more["updated"], more["images"]) == (1, 0, 61)
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(folder / "odd/new.png")
    changed = preimage("index", vae, folder, "--out", index, "--json").json
    assert (changed["added"], changed["updated"], changed["images"]) == (1, 1, 61)
    gone = preimage("index", vae, "--out", index, "--remove", "odd/new.png", "--json").json
    assert (gone["removed"], gone["images"]) == (1, 60)
    gone = preimage("index", vae, "--out", index, "--remove", digits / "even", "--json").json
    assert gone["images"] == len([*(digits / "odd").iterdir()]) - 1
    assert preimage("index", vae, "--out", index, "--remove", 60).status == 2
    assert "whole" in preimage("index", vae, "--out", index, "--check").out


def test_a_number_is_an_id_unless_a_folder_is_called_so(preimage, vae, index, here) -> None:
    for i in (77, 99):
        (here / "photos" / "3").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(here / "photos" / "3" / f"{i}.png")
    before = preimage("index", vae, here / "photos", "--out", index, "--json").json["images"]

    def left(remove: object) -> int:
        return preimage("index", vae, "--out", index, "--remove", remove, "--json").json["images"]

    unclear = preimage("index", vae, "--out", index, "--remove", 3)
    assert unclear.status == 2
    assert f"{here / 'photos' / '3'} is called so too; give id:3" in unclear.err
    assert left("id:3") == before - 1
    assert 3 not in pi.open_index(index).ids
    assert left(here / "photos" / "3") == before - 3
    assert left(4) == before - 4


def test_a_path_that_is_not_there_is_answered_by_one_that_is(preimage, vae, digits, index) -> None:
    for typed, meant in (
        ("odd/99.png", "did you mean 'odd/9.png'?"),
        ("nothing at all", "give a path such as"),
    ):
        said = preimage("index", vae, "--out", index, "--remove", typed)
        assert said.status == 2
        assert meant in said.err
        assert len(said.err) < 300 + len(str(digits)) + len(str(index))


def test_it_stands_when_the_images_and_the_run_have_moved(preimage, vae, digits, here) -> None:
    folder, run = here / "photos", here / "run"
    shutil.copytree(digits, folder)
    shutil.copytree(vae, run)
    assert preimage("index", run, folder).status == 0
    shutil.rmtree(folder)
    found = preimage("search", run / "index", "--id", 5, "-k", 3, "--out", "sheet.png", "--json")
    hits = found.json["queries"][0]["found"]
    assert len(hits) == 3
    assert 5 not in [hit["id"] for hit in hits]
    thumbnail = pi.open_index(run / "index").entries([5])[0].thumbnail
    assert Image.open(here / "sheet.png").size[1] > 40
    assert thumbnail[1:4] == b"PNG"
    run.rename(here / "moved")
    image = digits / "odd/9.png"
    lost = preimage("search", here / "moved/index", image)
    assert lost.status == 2
    assert "give --run" in lost.err
    assert preimage("search", here / "moved/index", image, "--run", here / "moved").status == 0


def test_conditions(preimage, digits, index) -> None:
    image = digits / "odd/9.png"
    where = "kind = even and ink > 0.3 and path ~ even/"
    found = preimage("search", index, image, "-k", 60, "--where", where, "--json").json
    hits = found["queries"][0]["found"]
    assert 0 < len(hits) < 40
    assert all(hit["attributes"]["kind"] == "even" for hit in hits)
    assert all(hit["attributes"]["ink"] > 0.3 for hit in hits)
    none = preimage("search", index, image, "--where", "ink > 2")
    assert (none.status, none.out.strip()) == (0, "nothing was found")


def test_images_without_a_row_in_the_labels_are_not_known(preimage, vae, digits, here) -> None:
    (here / "some.csv").write_text("file,smile\nodd/9.png,yes\neven/0.png,no\n")
    options = ("--labels", "some.csv", "--metric", "latent", "--out", "some")
    assert preimage("index", vae, digits, *options).status == 0
    where = "smile != yes or smile = no"
    found = preimage("search", "some", "--id", 3, "-k", 60, "--where", where, "--json").json
    (hit,) = found["queries"][0]["found"]
    assert (Path(hit["name"]).name, hit["attributes"]["smile"]) == ("0.png", "no")
    others = preimage("search", "some", "--id", 3, "-k", 60, "--json").json["queries"][0]["found"]
    assert sum("smile" in one["attributes"] for one in others) == 2


@pytest.mark.parametrize("metric", ["latent", "features"])
def test_like_this_but_changed(preimage, vae, digits, here, metric: str) -> None:
    """The latent goes along the direction, and what lies there is found."""
    run = here / "run"
    shutil.copytree(vae, run)
    model = pi.load(run)
    made = next(iter(pi.directions(run, n=500).values()))
    pi.save_direction(run, made)
    assert preimage("index", run, digits, "--metric", metric).status == 0
    index = pi.open_index(run / "index")
    image = digits / "odd/9.png"
    x = pi.images(image, model.data)
    with torch.no_grad():
        z = model.encode(x).mean
        moved = made.move(z, 3.0)
        seen = moved
        if metric == "features":
            drawn = [model.features(model.decode(one)) for one in (z, moved)]
            seen = model.features(x) + drawn[1] - drawn[0]
    expected = index.search(index.likeness(seen.numpy()), 4)[1][0].tolist()
    by = f"{made.name}=3"
    found = preimage("search", run / "index", image, "--by", by, "-k", 4, "--json").json
    assert [hit["id"] for hit in found["queries"][0]["found"]] == expected
    one = preimage("search", run / "index", "--id", 9, "--by", by, "-k", 4, "--json").json
    assert len(one["queries"][0]["found"]) == 4
    wrong = preimage("search", run / "index", image, "--by", "smlie=2")
    assert wrong.status == 2
    assert "no direction 'smlie'" in wrong.err


def test_saved_latents_ask_too(preimage, vae, digits, here) -> None:
    assert preimage("index", vae, digits, "--out", "index", "--metric", "latent").status == 0
    assert preimage("sample", vae, "-n", 4, "--out", "samples").status == 0
    (saved,) = [*(here / "samples").glob("*.npz"), *(here / "samples").glob("*.safetensors")]
    found = preimage("search", "index", f"{saved}[2]", "-k", 3, "--json").json
    z = pi.load(vae).space.sample(4, seed=0)[2:3]
    expected = pi.search(here / "index", z=z, k=3)
    assert [hit["id"] for hit in found["queries"][0]["found"]] == [h.id for h in expected.hits[0]]


def test_a_gan_and_a_conditional_model_have_indexes(preimage, gan, digits, here) -> None:
    made = preimage("index", gan, digits, "-n", 6, "--out", "gan", "--method", "search", "--json")
    assert made.status == 0, made.err
    assert made.json["images"] == 6
    found = preimage("search", "gan", "--id", 0, "-k", 2, "--json").json
    assert len(found["queries"][0]["found"]) == 2


def test_what_is_refused(preimage, vae, gan, digits, index, here) -> None:
    image = digits / "odd/9.png"
    (here / "mine").mkdir()
    (here / "mine/precious").touch()
    manifest = json.loads((index / "index.json").read_text())
    cases = [
        (("index", gan, digits, "--out", index), ("was made with model", manifest["model"])),
        (("search", index, image, "--run", gan), ("was made with model", manifest["model"])),
        (("index", vae, digits, "--out", "mine"), ("mine exists already",)),
        (("index", vae, digits, "--out", index, "--metric", "latent"), ("features, not latent",)),
        (("index", vae, digits, "--out", index, "--backend", "lance"), ("kept by files",)),
        (("index", vae, digits, "--out", "new", "--metric", "stedy"), ("did you mean 'steady'",)),
        (("index", vae, digits, "--out", "new", "--backend", "lanse"), ("did you mean 'lance'",)),
        (("index", vae, "--out", index, "--remove", "odd/61.png"), ("has no image 'odd/61.png'",)),
        (("index", vae, "--out", "new", "--remove", "1"), ("new is no index",)),
        (("index", vae, here / "none", "--out", "new"), ("none",)),
        (("search", here, image), ("no index.json",)),
        (("search", "none", image), ("no such folder",)),
        (("search", index), ("give one of: an image, latents, or --id",)),
        (("search", index, image, "--id", 3), ("give one of: an image, latents, or --id",)),
        (("search", index, "--id", 99), ("no image with the id 99",)),
        (("search", index, image, "--where", "ink >"), ("a value is missing", "character 6")),
        (("search", index, image, "--where", "inc > 1"), ("did you mean 'ink'", "character 1")),
        (("search", index, here / "none.png"), ("none.png",)),
        (("search", index, image, "-k", 0), ("greater than or equal to 1",)),
        (("search", index, image, "--out", here), ("is a folder",)),
        (("search", index, image, "--by", "ink"), ("'ink' is not DIRECTION=VALUE",)),
    ]
    before = {path.name: path.read_bytes() for path in index.iterdir()}
    for arguments, said in cases:
        outcome = preimage(*arguments)
        assert outcome.status == 2, arguments
        assert len(outcome.err.splitlines()) == 1, outcome.err
        assert all(words in outcome.err for words in said), outcome.err
    assert {path.name: path.read_bytes() for path in index.iterdir()} == before
    assert not (here / "new").exists()


def test_a_damaged_part_is_said_and_mended(preimage, vae, digits, index, here) -> None:
    (part,) = index.glob("*.images.safetensors")
    part.write_bytes(part.read_bytes()[:-100])
    found = preimage("search", index, digits / "odd/9.png")
    assert found.status == 0
    assert "is cut short" in found.err
    assert "60 images are left out" in found.err
    assert preimage("index", vae, "--out", index, "--check").status == 2
    again = preimage("index", vae, digits, "--out", index, "--json").json
    assert again["added"] == 60
    assert preimage("index", vae, "--out", index, "--check").status == 0


def test_a_new_index_is_refused_before_anything_is_learned(
    preimage, vae, digits, here, monkeypatch
) -> None:
    def learned(*_: object) -> None:
        raise AssertionError("images are looked at first")

    monkeypatch.setattr("preimage.api.indexes._fitted", learned)
    said = preimage("index", vae, digits, "--out", "new", "--backend", "lanse")
    assert (said.status, "did you mean 'lance'?" in said.err) == (2, True)
    said = preimage("index", vae, digits, "--out", digits)
    assert (said.status, "exists already" in said.err) == (2, True)
    assert not (here / "new").exists()
