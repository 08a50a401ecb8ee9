"""Data sets by name: those that ship, and readers of those that are downloaded."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import types
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from smooth import picture
from test_arrays import GREY, write_mnist

from preimage import data
from preimage.core import InputError
from preimage.data import named


def test_digits_ship():
    found = data.load("digits")
    assert found.images.shape == (1797, 1, 8, 8)
    assert found.images.max() == 255
    assert np.bincount(found.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    again = data.load("digits")
    assert np.array_equal(found.heldout, again.heldout)
    assert 100 < len(found.heldout) < 260
    assert data.cache.entries() == []
    assert data.load("digits", size=32).spec.shape == (1, 32, 32)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    raw = load_digits().images
    assert np.array_equal(np.rint(data.load("digits").images[:, 0] / 255 * 16), raw)


def test_faces_ship_with_every_factor():
    found = data.load("faces:40")
    assert found.images.shape == (40, 3, 64, 64)
    factors = data.faces.sample(40)
    assert np.array_equal(found.images, data.faces.render(factors))
    assert set(found.attributes) == set(factors)
    assert np.allclose(found.attribute("smile"), factors["smile"])
    assert found.categories["glasses"] == ("no", "yes")
    assert len(found.heldout) == 20
    correlated = data.load("faces:40:correlated")
    assert not np.array_equal(correlated.attribute("glasses"), found.attribute("glasses"))


NOT_NAMES = ("faces:none", "faces:0", "faces:3:4", "digits:5", "mnits", "no/such/place")


@pytest.mark.parametrize("name", NOT_NAMES)
def test_names_that_do_not_exist_are_one_line(name):
    with pytest.raises(InputError) as error:
        data.load(name)
    assert "\n" not in str(error.value)


def test_the_nearest_name_is_offered():
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        data.load("mnits")


def test_datasets_are_listed():
    listed = {entry.name: entry for entry in data.datasets()}
    assert set(listed) == {"digits", "faces", "mnist", "fashion-mnist", "kmnist", "cifar10"}
    assert [n for n, entry in listed.items() if entry.ships] == ["digits", "faces"]
    assert all(entry.licence and entry.what for entry in listed.values())
    assert all(len(entry.classes) == 10 for n, entry in listed.items() if n != "faces")


def serve(monkeypatch, name: str, folder, **hashes: str) -> list[str]:
    """Let a named set be downloaded from a folder, with the hashes of the files there."""
    known = named.DATASETS[name]
    content = {file: (folder / file).read_bytes() for file, _ in known.files}
    files = tuple(
        (file, hashes.get("all", f"sha256:{hashlib.sha256(content[file]).hexdigest()}"))
        for file in content
    )
    local = replace(known, files=files)
    monkeypatch.setitem(named.DATASETS, name, local)
    fetched: list[str] = []

    def copy(url, output_file, pooch, **_):
        fetched.append(url)
        source = folder / url.rpartition("/")[2]
        with open(output_file, "wb") as out:
            out.write(source.read_bytes())

    monkeypatch.setattr("pooch.core.choose_downloader", lambda *_, **__: copy)
    return fetched


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_idx_sets_are_downloaded_once(tmp_path, monkeypatch, name):
    fetched = serve(monkeypatch, name, write_mnist(tmp_path / "there"))
    found = data.load(name)
    assert np.array_equal(found.images[:, 0], np.stack(GREY))
    assert found.heldout.tolist() == [7, 8, 9]
    assert found.classes == named.DATASETS[name].classes
    assert len(fetched) == 4
    data.cache.clear()
    data.load(name)
    assert len(fetched) == 4


def cifar(folder, count: int = 4):
    folder.mkdir()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for batch in ("data_batch_1", "data_batch_2", "test_batch"):
            start = {"data_batch_1": 0, "data_batch_2": 1, "test_batch": 2}[batch] * count
            rows = b"".join(
                bytes([seed % 10]) + picture(seed).transpose(2, 0, 1).tobytes()
                for seed in range(start, start + count)
            )
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{batch}.bin")
            member.size = len(rows)
            archive.addfile(member, io.BytesIO(rows))
    return folder


def test_cifar10_is_read_from_its_binary_version(tmp_path, monkeypatch):
    serve(monkeypatch, "cifar10", cifar(tmp_path / "there"))
    found = data.load("cifar10")
    expected = np.stack([picture(seed) for seed in range(12)]).transpose(0, 3, 1, 2)
    assert np.array_equal(found.images, expected)
    assert found.labels.tolist() == [seed % 10 for seed in range(12)]
    assert found.heldout.tolist() == [8, 9, 10, 11]
    assert found.classes[3] == "cat"


def test_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    serve(monkeypatch, "cifar10", cifar(tmp_path / "there"), all="md5:" + "0" * 32)
    with pytest.raises(InputError, match="cifar10 cannot be downloaded") as error:
        data.load("cifar10")
    assert "\n" not in str(error.value)


class Column:
    def __init__(self, kind: str, **fields):
        self.__class__ = type(kind, (Column,), {})
        self.__dict__.update(fields)


class Table(list):
    """As much of `datasets.Dataset` as is used."""

    def __init__(self, rows, features):
        super().__init__(rows)
        self.features = features
        self._fingerprint = str(len(rows))

    def cast_column(self, name, feature):
        assert feature == ("image", False)
        return self


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the library `datasets` that serves two small splits."""
    features = {
        "image": Column("Image"),
        "label": Column("ClassLabel", names=["cat", "dog"]),
        "age": Column("Value", dtype="float32"),
        "remark": Column("Value", dtype="string"),
    }

    def row(seed):
        file = io.BytesIO()
        Image.fromarray(picture(seed)).save(file, "PNG")
        content = b"broken" if seed == 3 else file.getvalue()
        image = {"bytes": content, "path": None}
        return {"image": image, "label": seed % 2, "age": seed, "remark": ""}

    splits = {
        "train": Table([row(seed) for seed in range(6)], features),
        "test": Table([row(seed) for seed in range(6, 9)], features),
    }
    module = types.ModuleType("datasets")
    module.load_dataset = lambda name, configuration: splits
    module.Image = lambda decode: ("image", decode)
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hub_sets_are_read_as_bytes(hub):
    found = data.load("hf:someone/pets")
    seeds = [0, 1, 2, 4, 5, 6, 7, 8]
    expected = np.stack([picture(seed) for seed in seeds]).transpose(0, 3, 1, 2)
    assert np.array_equal(found.images, expected)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [seed % 2 for seed in seeds]
    assert found.attribute("age").tolist() == seeds
    assert found.heldout.tolist() == [5, 6, 7]
    assert found.skipped == [("train/000003", "not an image")]
    assert len(data.load("hf:someone/pets", split="test")) == 3


def test_the_hub_library_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"preimage\[hub\]"):
        data.load("hf:someone/pets")
