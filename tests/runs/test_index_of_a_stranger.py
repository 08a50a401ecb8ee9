"""What a stranger's index can do to who opens it: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_index import filled, made

from preimage.core import InputError
from preimage.runs import index_files
from preimage.runs.index import Index
from preimage.runs.index_manifest import commit


def test_a_stranger_s_index_reaches_nothing_outside_of_itself(tmp_path: Path) -> None:
    """Names that lead elsewhere, and arrays that are said to be where they are not."""
    files = made(tmp_path / "index")
    filled(files, 30)
    said = dict(Index(files)._store.manifest)  # type: ignore[attr-defined]
    del said["format"], said["preimage"]
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
