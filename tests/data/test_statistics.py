"""What was computed is found again where it fits, and nowhere else."""

import torch
from safetensors.torch import save_file

from preimage.data.statistics import kept


def counted(cache, of, value=1.0):
    """What is kept of these, and how often it was computed."""
    computed = []

    def compute():
        computed.append(1)
        return {"x": torch.full((3, 2), value)}

    return kept(of, compute, cache=cache)["x"], len(computed)


def test_the_same_is_computed_once_and_anything_else_anew(tmp_path):
    of = {"content": "00ff", "extractor": "net 0a"}
    assert counted(tmp_path, of)[1] == 1
    found, computed = counted(tmp_path, dict(reversed(of.items())), 2.0)
    assert computed == 0
    assert (found == 1).all()
    assert counted(tmp_path, of | {"resize": "299"})[1] == 1


def test_an_entry_that_was_damaged_or_put_there_is_computed_anew(tmp_path):
    of, other = {"content": "a"}, {"content": "b"}
    counted(tmp_path, of)
    (file,) = (tmp_path / "statistics").iterdir()
    whole = file.read_bytes()
    counted(tmp_path, other, 2.0)
    (foreign,) = {*(tmp_path / "statistics").iterdir()} - {file}
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for content in (b"", b"broken", whole[:-4], bytes(flipped), foreign.read_bytes()):
        file.write_bytes(content)
        found, computed = counted(tmp_path, of)
        assert computed == 1
        assert (found == 1).all()
    save_file({"y": torch.ones(1)}, file)
    assert counted(tmp_path, of)[1] == 1
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_left_alone(tmp_path):
    (tmp_path / "statistics").write_text("a file where a folder should be")
    assert (counted(tmp_path, {"a": 1})[0] == 1).all()
