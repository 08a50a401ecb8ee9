"""Zips and tars nobody vouches for."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preimage import data
from preimage.core import InputError
from preimage.data import archives


def bundle(folder: Path, kind: str) -> Path:
    """The folder as a zip or tar beside it."""
    path = folder.with_name(f"bundle.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, f"w:{kind.removeprefix('tar').lstrip('.')}") as archive:
            archive.add(folder, folder.name)
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_an_archive_reads_as_the_folder_in_it(make_folder, kind):
    for name, seeds in {"set/cat": range(5), "set/dog": range(5, 9)}.items():
        folder = make_folder(name, seeds).parent
    plain, packed = data.load(folder), data.load(bundle(folder, kind))
    assert np.array_equal(plain.images, packed.images)
    assert packed.classes == ("cat", "dog")
    assert packed.labels.tolist() == plain.labels.tolist() == [0] * 5 + [1] * 4
    assert (packed.hashes == plain.hashes).all()


def add(archive: tarfile.TarFile, name: str, content: bytes = b"x", **fields) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


CLIMBING = ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png"]


@pytest.mark.parametrize("name", CLIMBING)
def test_paths_that_climb_out_are_refused_and_nothing_is_written(tmp_path, name, make_folder):
    before = set(os.listdir(tmp_path))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.write(make_folder() / "0000.png", "0000.png")
        archive.writestr(name, b"x")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        add(archive, name)
    for bad in ("bad.zip", "bad.tar.gz"):
        with pytest.raises(InputError, match="climbs out") as error:
            data.load(tmp_path / bad)
        assert "\n" not in str(error.value)
    assert set(os.listdir(tmp_path)) - before == {"bad.zip", "bad.tar.gz", "photos", "cache"}
    assert data.cache.entries() == []
    assert list((tmp_path / "cache" / "data").iterdir()) == []


def test_links_and_devices_are_left_out_and_named(tmp_path, make_folder):
    folder = make_folder()
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        archive.add(folder, "photos")
        add(archive, "photos/link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)
        add(archive, "photos/hard.png", type=tarfile.LNKTYPE, linkname="photos/0000.png", size=0)
        add(archive, "photos/device.png", type=tarfile.CHRTYPE, size=0)
    found = data.load(tmp_path / "odd.tar")
    assert len(found) == 8
    assert [name for name, _ in found.skipped] == [
        f"photos/{n}.png" for n in ("device", "hard", "link")
    ]


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "BOMB_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(8 << 20))
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        add(archive, ".passed-over.png", bytes(8 << 20))
    for bomb in ("bomb.zip", "bomb.tar.gz"):
        with pytest.raises(InputError, match="looks like a bomb"):
            data.load(tmp_path / bomb)


def test_a_header_that_names_a_huge_size_is_not_read_to_its_end(tmp_path):
    """Of a name, say: what looks whether this is an archive would hold it all in memory."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(64 << 20)))
    tracemalloc.start()
    assert archives.is_archive(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_member_that_lies_about_its_size_unpacks_no_further(tmp_path):
    path = tmp_path / "lie.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1 << 20))
    raw = path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 10))
    path.write_bytes(raw)
    with pytest.raises(InputError, match="no usable image"):
        data.load(path)


def test_too_many_members_are_refused(tmp_path, make_folder, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS", 5)
    with pytest.raises(InputError, match="more than 5 files"):
        data.load(bundle(make_folder(), "zip"))


def test_a_large_member_is_left_out(make_folder, monkeypatch):
    folder = make_folder()
    (folder / "large.png").write_bytes(bytes(1 << 16))
    monkeypatch.setattr(archives, "MEMBER_BYTES", 1 << 14)
    found = data.load(bundle(folder, "zip"))
    assert len(found) == 8
    assert found.skipped[0][0] == "large.png"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_damaged_archive_is_one_line(make_folder, kind):
    path = bundle(make_folder(), kind)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError) as error:
        data.load(path)
    assert "\n" not in str(error.value)


def test_a_damaged_member_is_left_out(make_folder):
    path = bundle(make_folder(), "zip")
    raw = bytearray(path.read_bytes())
    raw[200:210] = b"0123456789"  # inside the first member
    path.write_bytes(raw)
    found = data.load(path)
    assert len(found) == 7
    assert found.skipped[0][0] == "0000.png"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("length", [0, 50, 200])
def test_a_cut_archive_is_said_to_be_damaged(make_folder, kind, length):
    path = bundle(make_folder(), kind)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=rf"bundle\.{kind} is a damaged") as error:
        data.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_empty_archive_is_said_to_be_empty(tmp_path, kind):
    path = tmp_path / f"bundle.{kind}"
    if kind == "zip":
        zipfile.ZipFile(path, "w").close()
    else:
        tarfile.open(path, f"w:{kind.removeprefix('tar').lstrip('.')}").close()
    with pytest.raises(InputError, match=rf"bundle\.{kind} is an empty archive"):
        data.load(path)


def test_a_tar_that_turns_to_noise_half_way_is_damaged(make_folder):
    path = bundle(make_folder(), "tar")
    raw = path.read_bytes()
    noisy = path.with_name("noisy.tar.gz")
    noisy.write_bytes(gzip.compress(raw[: len(raw) // 2]) + b"noise")
    with pytest.raises(InputError, match=r"noisy\.tar\.gz is a damaged archive"):
        data.load(noisy)


ENTRY, END = b"PK\x01\x02", b"PK\x05\x06"  # how they begin in a zip's directory
DAMAGES = {  # where, and what stands there then
    "version": (ENTRY, 6, b"\xff\x00"),
    "name of no letters": (ENTRY, 46, b"\x00"),
    "name in no encoding": (ENTRY, 46, b"\xbc"),
    "offset before the file": (END, 16, b"\xff\xff\x00\x00"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_zip_whose_directory_makes_no_sense_is_damaged(make_folder, damage):
    path = bundle(make_folder(), "zip")
    begin, at, content = DAMAGES[damage]
    raw = bytearray(path.read_bytes())
    raw[raw.index(ENTRY) + 9] |= 8  # names are UTF-8
    place = raw.index(begin) + at
    raw[place : place + len(content)] = content
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"bundle\.zip is a damaged archive"):
        data.load(path)
