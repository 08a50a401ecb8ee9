"""Decoded once, opened instantly, never half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from smooth import picture

from preimage import data
from preimage.core import InputError, Step
from preimage.data import pool


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The files that were handed to decoding processes."""
    seen: list[str] = []
    run = pool.Pool.run

    def spy(self, jobs, settings):
        if "target" in settings:
            seen.extend(Path(job["path"]).name for job in jobs)
        return run(self, jobs, settings)

    monkeypatch.setattr(pool.Pool, "run", spy)
    return seen


def same(a: data.Dataset, b: data.Dataset) -> bool:
    return bool(
        np.array_equal(a.images, b.images)
        and list(a.names) == list(b.names)
        and a.fingerprint == b.fingerprint
        and (a.classes, a.skipped, a.duplicates) == (b.classes, b.skipped, b.duplicates)
    )


def test_a_second_opening_decodes_nothing(make_folder, decoded):
    folder = make_folder()
    (folder / "bad.txt").write_text("no")
    first = data.load(folder)
    assert len(decoded) == 8
    second = data.load(folder)
    assert len(decoded) == 8
    assert same(first, second)
    assert np.array_equal(first.heldout, second.heldout)
    assert isinstance(second.images, np.memmap)
    assert not second.images.flags.writeable


def test_only_new_and_changed_files_are_decoded(make_folder, decoded):
    folder = make_folder()
    data.load(folder)
    decoded.clear()
    make_folder(seeds=range(100, 103))
    Image.fromarray(picture(55)).save(folder / "0003.png")
    (folder / "0005.png").unlink()
    grown = data.load(folder)
    assert sorted(decoded) == ["0003.png", "0100.png", "0101.png", "0102.png"]
    assert len(data.cache.entries()) == 1
    assert same(grown, data.load(folder, cache=folder.parent / "elsewhere"))


def test_grey_rows_are_kept_when_colour_arrives(make_folder, decoded):
    folder = make_folder(channels=1)
    data.load(folder)
    decoded.clear()
    Image.fromarray(picture(55)).save(folder / "colour.png")
    grown = data.load(folder)
    assert decoded == ["colour.png"]
    assert same(grown, data.load(folder, cache=folder.parent / "elsewhere"))


def test_options_have_entries_of_their_own(make_folder):
    folder = make_folder()
    assert data.load(folder, size=16).spec.height == 16
    assert data.load(folder).spec.height == 32
    assert len(data.cache.entries()) == 2


def test_entries_and_clear(make_folder, cache_folder):
    data.load(make_folder())
    (entry,) = data.cache.entries()
    assert (entry.name, entry.images, entry.shape) == ("photos", 8, (3, 32, 32))
    assert entry.bytes > 8 * 3 * 32 * 32
    assert data.cache.clear() >= entry.bytes
    assert data.cache.entries() == []
    assert not any(file.is_file() for file in cache_folder.rglob("*"))


def test_clearing_leaves_what_is_not_of_the_cache(make_folder, cache_folder):
    data.load(make_folder())
    theirs = [
        cache_folder / kind / "mine" / "meta.json"
        for kind in ("data", "splits", "statistics", "studio", "downloads")
    ]
    theirs += [cache_folder / "data/meta.json", cache_folder / "splits/folds.json"]
    theirs += [cache_folder / "downloads/mnist/mine.txt"]
    ours = cache_folder / "downloads/mnist/train-images-idx3-ubyte.gz"
    for file in (*theirs, ours):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    (cache_folder / "data" / "staging-here-12-0123abcd").mkdir()
    data.cache.clear(downloads=True)
    assert {file for file in cache_folder.rglob("*") if file.is_file()} == {*theirs}
    assert not list(cache_folder.glob("data/staging-*"))


def test_progress_comes_in_steps(make_folder):
    steps: list[Step] = []
    data.load(make_folder(seeds=range(70)), progress=steps.append)
    assert [s.stage for s in steps] == ["look", "look", "decode", "decode"]
    assert (steps[-1].step, steps[-1].total) == (70, 70)


SCRIPT = "import sys; from preimage import data; data.load(sys.argv[1], workers=1)"


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_decode_leaves_nothing_that_looks_whole(make_folder, cache_folder):
    folder = make_folder(seeds=range(600), size=64)
    process = start(folder)
    deadline = time.monotonic() + 60
    while not list(cache_folder.glob("data/staging-*/decoded.npy")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert data.cache.entries() == []
    assert list(cache_folder.glob("data/staging-*"))
    assert len(data.load(folder)) == 600
    assert not list(cache_folder.glob("data/staging-*"))


@pytest.mark.slow
def test_two_processes_at_once_agree(make_folder):
    folder = make_folder(seeds=range(100))
    processes = [start(folder), start(folder)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(data.cache.entries()) == 1
    assert len(data.load(folder)) == 100


def test_an_entry_with_a_missing_part_is_made_again(make_folder):
    folder = make_folder()
    data.load(folder)
    (entry,) = data.cache.entries()
    (entry.path / "images.npy").write_bytes(b"cut")
    assert data.load(folder).batch([0]).shape == (1, 3, 32, 32)


def test_an_unwritable_cache_is_one_line(make_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="PREIMAGE_CACHE") as error:
        data.load(make_folder(), cache=tmp_path / "file" / "cache")
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a limit on file sizes")
def test_a_full_disk_is_one_line(make_folder, cache_folder):
    folder = make_folder(seeds=range(40))
    script = (
        "import resource, sys; from preimage import data; from preimage.core import InputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: data.load(sys.argv[1])\n"
        "except InputError as error: print(error)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    ).stdout
    assert out.count("\n") == 1
    assert "free some space" in out
    assert data.cache.entries() == []
    assert not list(cache_folder.glob("data/*"))
