"""What a stranger's index can do to who opens it: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_index import D, filled, made

from preimage.core import InputError
from preimage.runs import index_files, index_parts, index_segments
from preimage.runs.index import Index
from preimage.runs.index_manifest import MANIFEST, Manifest, commit

Change = Callable[[dict[str, np.ndarray], dict[str, Any]], object]


def manifest(index: Path) -> Manifest:
    said = dict(Index(index)._store.manifest)  # type: ignore[attr-defined]
    del said["format"], said["preimage"]
    return said


def changed(index: Path, file: dict[str, Any], change: Change) -> None:
    """Write a file of the index again with other arrays, under a checksum that is right."""
    path = index / file["name"]
    there = index_files.Arrays.open(path)
    arrays, said = {name: np.array(a) for name, a in there.maps.items()}, dict(there.said)
    change(arrays, said)
    file.update(index_files.write_arrays(path, arrays, said).to_json())


def test_a_stranger_s_index_reaches_nothing_outside_of_itself(tmp_path: Path) -> None:
    """Names that lead elsewhere, and arrays that are said to be where they are not."""
    files = made(tmp_path / "index")
    filled(files, 30)
    said = manifest(files)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 100)
    for name in ("../secret", str(secret), "..", ".lock"):
        evil = {**said, "parts": [{**said["parts"][0], "images": {
            "name": name, "bytes": 100, "hash": index_files.hashed(secret)}}]}  # fmt: skip
        commit(files, evil)
        with pytest.raises(InputError):
            Index(files)
    commit(files, said)
    part = files / said["parts"][0]["vectors"]["name"]
    whole = part.read_bytes()
    for old, new in (
        (b'"data_offsets": [0, 960]', b'"data_offsets": [0, 999]'),
        (b'"shape": [30, 8]', b'"shape": [39, 8]'),
        (b'"shape": [30, 8]', b'"shape": [-1,8]'),
        (b'"F32"', b'"O64"'),
    ):
        assert old in whole
        part.write_bytes(whole.replace(old, new))
        facts = index_files.File(part.name, len(whole), index_files.hashed(part)).to_json()
        commit(files, {**said, "parts": [{**said["parts"][0], "vectors": facts}]})
        assert len(Index(files)) == 0
        assert "30 images are left out" in Index(files).notes[-1]


WRONG: dict[str, Change] = {
    "a code of no word": lambda a, _: a["attribute-1"].fill(77),
    "a code below all": lambda a, _: a["attribute-1"].fill(-1),
    "no attributes": lambda _, said: said.pop("attributes"),
    "names only": lambda _, said: said.update(attributes=[["age"], ["kind"]]),
    "words that are none": lambda _, said: said.update(attributes=[["age", []], ["kind", 5]]),
    "numbers for words": lambda _, said: said.update(attributes=[["age", []], ["kind", [1, 2]]]),
    "ids of another kind": lambda a, _: a.update(ids=a["ids"].astype(np.float32)),
    "no names": lambda a, _: a.pop("names"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_part_that_is_not_what_it_says_is_left_out_in_a_line(tmp_path: Path, what: str) -> None:
    files = made(tmp_path / "index")
    filled(files, 30)
    said = manifest(files)
    changed(files, said["parts"][0]["images"], WRONG[what])
    commit(files, said)
    found = Index(files)
    assert len(found) == 0
    assert not found.attributes
    with pytest.raises(InputError, match="does not hold what the index says; its 30 images"):
        found.check()


def test_lists_that_would_lead_outside_of_their_file_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not index_parts.lists_possible():
        pytest.skip("faiss cannot map lists here")
    monkeypatch.setattr(index_segments, "EXACT", 500)
    files = made(tmp_path / "index")
    vectors = filled(files, 600)
    said, whole = manifest(files), (files / MANIFEST).read_bytes()
    lists = (files / said["lists"]["name"]).read_bytes()

    def wrapped(arrays: dict[str, np.ndarray], _: object) -> None:
        sizes = arrays["sizes"]
        sizes[:] = 0
        sizes[:3] = 2**63 - 1, 2**63 - 1, len(arrays["places"]) + 2
        assert sizes.sum() == len(arrays["places"])

    def elsewhere(arrays: dict[str, np.ndarray], _: object) -> None:
        arrays["places"][0] = 2**40

    for change in (wrapped, elsewhere):
        (files / MANIFEST).write_bytes(whole)
        (files / said["lists"]["name"]).write_bytes(lists)
        evil = manifest(files)
        changed(files, evil["lists"], change)
        commit(files, evil)
        found = Index(files)
        assert found.search(vectors[:5], 1)[1][:, 0].tolist() == [0, 1, 2, 3, 4]
        with pytest.raises(InputError, match="does not hold what the index says"):
            found.check()


def test_how_a_stranger_compares_is_checked(tmp_path: Path) -> None:
    files = made(tmp_path / "index")
    filled(files, 30)
    said = manifest(files)
    commit(files, {**said, "run": -1})
    assert Index(files).about.run == "-1"
    for shape in ((3, 3), (D,)):
        changed(files, said["likeness"], lambda a, _, s=shape: a.update(matrix=np.zeros(s, "f4")))
        commit(files, said)
        with pytest.raises(InputError, match="does not hold what the index says"):
            Index(files)
    changed(files, said["likeness"], lambda _, said: said.update(kind="taste"))
    commit(files, said)
    with pytest.raises(InputError, match="'taste'; upgrade preimage"):
        Index(files)
