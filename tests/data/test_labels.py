"""Labels from folders and from files beside the images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from smooth import picture

from preimage import data
from preimage.core import InputError
from preimage.data import folders


def test_subfolders_are_classes_in_natural_order(make_folder):
    for i in (1, 2, 10):
        folder = make_folder(f"set/s{i}/deeper", range(i, i + 3)).parent.parent
    found = data.load(folder)
    assert found.classes == ("s1", "s2", "s10")
    assert [found.classes[i] for i in found.labels] == [n.split("/")[0] for n in found.names]


def test_train_and_test_folders_are_the_split(make_folder):
    for side, first in {"train": 0, "val": 20}.items():
        for kind in ("cat", "dog"):
            make_folder(f"set/{side}/{kind}", range(first, first + 4 + first // 10))
            first += 10
    folder = make_folder("set/train/cat").parents[1]
    (folder / "README.md").write_text("words")
    found = data.load(folder)
    assert found.classes == ("cat", "dog")
    assert {found.names[i].split("/")[0] for i in found.heldout} == {"val"}
    assert {found.names[i].split("/")[0] for i in found.train} == {"train"}
    only = data.load(folder, split="test")
    assert {name.split("/")[0] for name in only.names} == {"val"}
    with pytest.raises(InputError, match="split='test' is not possible"):
        data.load(folder / "train", split="test")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a.png", "b.png"], ()),
        (["all/cat/1.png", "all/cat/2.png", "all/dog/1.png", "all/dog/2.png"], ("cat", "dog")),
        (["cat/1.png", "cat/2.png", "loose.png"], ()),
        (["1/a.png", "2/a.png", "3/a.png"], ()),
    ],
)
def test_structure(names, classes):
    assert folders.structure(names).classes == classes


CSV = """file,label,age,hair
0000.png,cat,3,red
0001.png,dog,,blond
0002,cat,5.5,red
0003.png,cat,1,red
"""


def test_csv_labels_and_attributes(make_folder, tmp_path):
    (tmp_path / "labels.csv").write_text(CSV)
    found = data.load(make_folder(seeds=range(4)), labels=tmp_path / "labels.csv")
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 1, 0, 0]
    assert np.isnan(found.attribute("age")[1])
    assert found.attribute("age")[[0, 2, 3]].tolist() == [3, 5.5, 1]
    assert found.categories["hair"] == ("blond", "red")
    assert found.attribute("hair").tolist() == [1, 0, 1, 1]


def test_json_lines_and_paths(make_folder, tmp_path):
    folder = make_folder("set/a", range(2)).parent
    make_folder("set/b", range(2, 4))
    rows = [{"path": f"{'ab'[i // 2]}/{i:04d}.png", "class": i % 2, "score": i} for i in range(4)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = data.load(folder, labels=tmp_path / "labels.jsonl")
    assert found.classes == ("0", "1")
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.attribute("score").tolist() == [0, 1, 2, 3]


def test_missing_rows_and_files_are_told(make_folder, tmp_path):
    (tmp_path / "labels.csv").write_text(CSV + "gone.png,cat,1,red\n")
    found = data.load(make_folder(seeds=range(6)), labels=tmp_path / "labels.csv")
    assert found.classes == ("cat", "dog", "unlabelled")
    assert found.labels.tolist() == [0, 1, 0, 0, 2, 2]
    assert any("1 row without an image here, such as gone.png" in note for note in found.notes)
    assert any("2 images without a row, such as 0004.png" in note for note in found.notes)


def test_rows_that_contradict_each_other_are_told(make_folder, tmp_path):
    (tmp_path / "labels.csv").write_text(CSV + "0001.png,cat,1,red\n0003.png,cat,1,red\n")
    found = data.load(make_folder(seeds=range(4)), labels=tmp_path / "labels.csv")
    assert found.classes == ("cat",)
    assert [note for note in found.notes if "the last one counts" in note] == [
        "labels.csv: 1 row in the place of another of the same image, such as 0001.png; "
        "the last one counts."
    ]


def test_blanks_after_a_comma_and_lines_within_quotes(make_folder, tmp_path):
    text = 'file, label, remark\n0000.png, a, "two\nlines"\n0001.png, b, "two\nlines"\n'
    (tmp_path / "labels.csv").write_text(text)
    found = data.load(make_folder(seeds=range(2)), labels=tmp_path / "labels.csv")
    assert found.classes == ("a", "b")
    assert found.categories["remark"] == ("two\nlines",)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_than_utf_8_says_how_to_save(make_folder, tmp_path, encoding):
    (tmp_path / "labels.csv").write_text("file,label\n0000.png,café\n", encoding)
    with pytest.raises(InputError, match="save it as UTF-8") as error:
        data.load(make_folder(), labels=tmp_path / "labels.csv")
    assert "\n" not in str(error.value)


def test_a_name_that_two_images_share_matches_neither(make_folder, tmp_path):
    folder = make_folder("set/a", range(2)).parent
    make_folder("set/b", range(1, 3))
    (tmp_path / "labels.csv").write_text("file,label\n0000.png,x\n0001.png,y\nb/0001.png,z\n")
    found = data.load(folder, labels=tmp_path / "labels.csv")
    named = {n: found.classes[i] for n, i in zip(found.names, found.labels, strict=True)}
    assert named == {
        "a/0000.png": "x",
        "a/0001.png": "unlabelled",
        "b/0001.png": "z",
        "b/0002.png": "unlabelled",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "file,label\nnone.png,a\n", "no row matches an image"),
        ("l.csv", "", "no rows"),
        ("l.jsonl", "{not json", "not JSON lines"),
        ("l.jsonl", "[1]\n", "one JSON object"),
        ("l.jsonl", "[" * 200_000, "nested too deeply"),
        ("l.json", "[" * 200_000, "nested too deeply"),
        ("absent.csv", None, "cannot be read"),
    ],
)
def test_labels_that_do_not_fit_are_one_line(make_folder, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        data.load(make_folder(), labels=tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_labels_file_among_the_images_is_no_bad_image(make_folder):
    folder = make_folder(seeds=range(4))
    (folder / "labels.csv").write_text(CSV)
    assert data.load(folder).skipped == [("labels.csv", "not an image")]
    assert data.load(folder, labels=folder / "labels.csv").skipped == []


def test_labels_may_change_without_decoding_again(make_folder, tmp_path, monkeypatch):
    folder = make_folder(seeds=range(4))
    data.load(folder)
    monkeypatch.setattr("preimage.data.pool.Pool.run", None)
    (tmp_path / "labels.csv").write_text(CSV)
    assert data.load(folder, labels=tmp_path / "labels.csv").classes == ("cat", "dog")


def test_one_image_is_a_data_set(tmp_path):
    Image.fromarray(picture(1, 50)).save(tmp_path / "me.jpg")
    found = data.load(tmp_path / "me.jpg")
    assert len(found) == len(found.train) == 1
    assert found.spec.shape == (3, 64, 64)


def test_integers_beyond_any_float_are_names(make_folder, tmp_path):
    vast = 10**400
    rows = [{"file": f"{i:04d}.png", "label": vast + i % 2, "code": vast} for i in range(4)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = data.load(make_folder(seeds=range(4)), labels=tmp_path / "labels.jsonl")
    assert found.classes == (str(vast), str(vast + 1))
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.categories["code"] == (str(vast),)
