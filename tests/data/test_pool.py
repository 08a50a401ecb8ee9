"""Decoding processes may crash, hang or run out of memory; the load goes on."""

from __future__ import annotations

import errno
import os
import sys
from functools import partialmethod
from pathlib import Path

import pytest
from PIL import Image

from preimage import data
from preimage.core import InputError
from preimage.data import pool

TRAP = """
import os, time
from PIL import Image, ImageFile

def accept(prefix):
    return prefix[:4] == b"TRAP"

class TrapImageFile(ImageFile.ImageFile):
    format = "TRAP"
    format_description = "a file that ends or holds its reader"

    def _open(self):
        word = self.fp.read(8)[4:].decode().strip()
        if word == "die":
            os.abort()
        if word == "hang":
            time.sleep(600)
        if word == "eat":
            self.eaten = bytearray(3 << 30)

Image.register_open("TRAP", TrapImageFile, accept)
"""


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teach the decoding processes a format that kills, hangs or overfills them."""
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "TrapImagePlugin.py").write_text(TRAP)
    (tmp_path / "trap" / "sitecustomize.py").write_text("import TrapImagePlugin\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "trap"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "trap"), *sys.path])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a limit on memory")
def test_hostile_files_are_named_and_the_rest_is_read(make_folder, traps, monkeypatch):
    folder = make_folder(seeds=range(70))
    for name, word in {"a": "die", "b": "hang", "0030x": "die", "z": "eat"}.items():
        (folder / f"{name}.png").write_bytes(f"TRAP{word:5}".encode())
    monkeypatch.setattr(pool.Pool, "__init__", partialmethod(pool.Pool.__init__, patience=3.0))
    found = data.load(folder, workers=2)
    assert len(found) == 70
    assert dict(found.skipped) == {
        "0030x.png": "crashed the decoder",
        "a.png": "crashed the decoder",
        "b.png": "took longer than 3 s",
        "z.png": "needs more memory than a decoder may use",
    }


def test_a_decoder_that_cannot_start_is_our_fault(make_folder, monkeypatch):
    monkeypatch.setattr(pool, "_START", "import sys; sys.exit(1)")
    with pytest.raises(RuntimeError, match="could not be started"):
        data.load(make_folder())


def test_truncated_and_foreign_files_are_named_in_a_report(make_folder):
    folder = make_folder(seeds=range(4))
    whole = (folder / "0000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("nothing")
    (folder / ".hidden.png").write_bytes(b"")
    found = data.load(folder)
    assert len(found) == 4
    assert [name for name, _ in found.skipped] == ["cut.png", "empty.png", "notes.txt"]
    assert "truncated" in dict(found.skipped)["cut.png"].lower()
    assert found.report is not None
    assert found.report.read_text().count("\n") == 3
    assert "3 files skipped" in found.summary()


def test_the_pixel_cap_is_checked_before_decoding(make_folder):
    folder = make_folder(seeds=range(3))
    Image.new("L", (3000, 3000)).save(folder / "huge.png")
    found = data.load(folder, max_pixels=10**6)
    assert found.skipped == [("huge.png", "more pixels than the cap of 1000000")]
    with pytest.raises(InputError, match=r"huge\.png cannot be used: more pixels"):
        data.images(folder / "huge.png", found.spec, max_pixels=10**6)


def test_what_was_done_to_files_that_were_left_out_is_not_told(make_folder):
    folder = make_folder(seeds=range(4))
    size = data.load(folder).spec.shape[1:]
    Image.effect_noise((90, 110), 50).convert("RGBA").save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:2000])
    (folder / "whole.png").unlink()
    found = data.load(folder, size=size, channels=1)
    assert [name for name, _ in found.skipped] == ["cut.png"]
    assert not any("fitted" in note or "transparency" in note for note in found.notes)


def test_only_when_all_are_bad_is_it_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"holds no usable image: 1 file skipped, such as a\.png"):
        data.load(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="holds no files"):
        data.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_broken_links_do_not_hold_it_up(make_folder):
    folder = make_folder(seeds=range(3))
    os.mkfifo(folder / "pipe.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "loop").symlink_to(folder)
    found = data.load(folder)
    assert len(found) == 3
    assert [name for name, _ in found.skipped] == ["broken.png", "pipe.png"]


def test_a_folder_that_cannot_be_read_is_named(make_folder, monkeypatch):
    folder = make_folder(seeds=range(3))
    make_folder("photos/closed", seeds=range(3, 6))
    scandir = os.scandir

    def locked(path):  # permissions hold nobody back who runs tests as root
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = data.load(folder)
    assert len(found) == 3
    assert found.skipped == [("closed", "Permission denied")]
