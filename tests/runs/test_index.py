"""An index keeps what was committed, whoever kills, cuts short or reads it; on every backend."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preimage.applications import retrieval
from preimage.applications.filters import Column
from preimage.applications.likeness import Likeness
from preimage.core import InputError
from preimage.runs import index_parts, index_segments
from preimage.runs.index import About, Index, Writer, create
from preimage.runs.index_manifest import MANIFEST, PREVIOUS
from preimage.runs.index_store import Rows

D = 8
WORDS = ("cat", "dog")
Make = Callable[[], Path]


@pytest.fixture(params=["files", "lance"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "lance":
        pytest.importorskip("lancedb")
    return request.param


@pytest.fixture
def path(tmp_path: Path, backend: str) -> Path:
    return made(tmp_path / "index", backend)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return made(tmp_path / "index")


def made(path: Path, backend: str = "files") -> Path:
    plain = Likeness("latent", np.zeros(D, np.float32), np.eye(D, dtype=np.float32))
    create(path, About("0" * 16, None, (D,), "8×8 grey"), plain, backend)
    return path


def rows(first: int, n: int, d: int = D) -> Rows:
    """Images that say by themselves which they are."""
    numbers = np.arange(first, first + n)
    z = np.random.default_rng(0).standard_normal((first + n, d)).astype(np.float32)[first:]
    age = np.where(numbers % 5 == 0, np.nan, numbers).astype(np.float32)
    kind = np.where(numbers % 7 == 0, np.nan, numbers % 2).astype(np.float32)
    return Rows(
        [f"/photos/{'holiday' if i % 3 else 'work'}/{i}.png" for i in numbers],
        (numbers + 1000).astype(np.uint64),
        z,
        z,
        [f"thumbnail {i}".encode() for i in numbers],
        {"age": Column(age), "kind": Column(kind, WORDS)},
    )


def filled(path: Path, *counts: int) -> np.ndarray:
    """Add so many at a time; all vectors."""
    first = 0
    with Writer(path) as writer:
        for n in counts:
            writer.add(rows(first, n))
            first += n
        writer.settle()
    return rows(0, first).vectors


def brute(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = np.sqrt(((queries[:, None].astype(float) - vectors[None]) ** 2).sum(2))
    order = np.argsort(distances, 1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


def same(path: Path, ids: np.ndarray) -> None:
    """The index holds just these images, and everything of each."""
    found = Index(path)
    assert not found.notes
    assert found.ids.tolist() == ids.tolist()
    assert (found.hashes == ids + 1000).all()
    if not len(ids):
        return
    every = rows(0, int(ids.max()) + 1)
    queries = every.vectors[ids][:20]
    distances, numbers = found.search(queries, 5)
    expected, order = brute(queries, every.vectors[ids], 5)
    assert (numbers == ids[order]).all()
    np.testing.assert_allclose(distances, expected, atol=1e-3)
    one = found.entries([int(ids[-1])])[0]
    assert (one.name, one.thumbnail) == (every.names[ids[-1]], every.thumbnails[ids[-1]])
    assert (one.latent == every.latents[ids[-1]]).all()


def test_what_is_added_is_found_as_by_hand(path: Path) -> None:
    vectors = filled(path, 100, 1, 40, 7)
    same(path, np.arange(148))
    assert (Index(path).vectors([3, 120]) == vectors[[3, 120]]).all()


def test_what_is_removed_is_gone_and_no_id_returns(path: Path) -> None:
    filled(path, 50, 50)
    gone = np.arange(0, 100, 3)
    with Writer(path) as writer:
        writer.remove(gone[:20])
        writer.remove(gone[20:])  # and the first stay away
        kept = np.setdiff1d(np.arange(100), gone)
    same(path, kept)
    with Writer(path) as writer:
        writer.settle()  # a third has gone: it is written anew
    same(path, kept)
    with Writer(path) as writer:
        writer.remove(np.arange(90, 100))
        assert writer.add(rows(100, 1)).tolist() == [100]
    with pytest.raises(InputError, match="no image with the id 99"):
        Index(path).entries([99])


def test_conditions_hold_of_what_is_found(path: Path) -> None:
    filled(path, 60, 60)
    everything = {
        int(i): e for i, e in zip(range(120), Index(path).entries(range(120)), strict=True)
    }
    cases = {
        "age > 100": lambda e: e.attributes.get("age", -1) > 100,
        "not age > 100": lambda e: not e.attributes.get("age", -1) > 100,
        "kind = dog and age <= 50": lambda e: (
            e.attributes.get("kind") == "dog" and e.attributes.get("age", 99) <= 50
        ),
        "kind != dog": lambda e: e.attributes.get("kind") == "cat",
        "kind ~ DO or age = 2": lambda e: (
            e.attributes.get("kind") == "dog" or e.attributes.get("age") == 2
        ),
        "path ~ WORK and not (kind = cat or kind = dog)": lambda e: (
            "work" in e.name and "kind" not in e.attributes
        ),
    }
    vectors = rows(0, 120).vectors
    for text, holds in cases.items():
        wanted = np.array([i for i, e in everything.items() if holds(e)])
        assert 0 < len(wanted) < 120
        _, found = Index(path).search(vectors[:3], 200, where=text)
        _, order = brute(vectors[:3], vectors[wanted], 200)
        assert (found == wanted[order]).all(), text


def test_words_that_are_quotes_stay_words(path: Path) -> None:
    few = rows(0, 2)
    odd = Column(np.array([0, 1], np.float32), ("it's; DROP TABLE images --", "b"))
    with Writer(path) as writer:
        writer.add(
            Rows(few.names, few.hashes, few.latents, few.vectors, few.thumbnails, {"x y": odd})
        )
    found = Index(path).search(few.vectors, 5, where='"x y" = "it\'s; DROP TABLE images --"')[1]
    assert found.tolist() == [[0], [0]]


def test_attributes_that_come_later_are_unknown_before(path: Path) -> None:
    few, later = rows(0, 10), rows(10, 10)
    with Writer(path) as writer:
        writer.add(Rows(few.names, few.hashes, few.latents, few.vectors, few.thumbnails, {}))
        writer.add(later)
    assert Index(path).attributes == {"age": (), "kind": WORDS}
    assert set(Index(path).search(few.vectors[:1], 50, where="age >= 0")[1][0]) == {
        i for i in range(10, 20) if i % 5
    }


def test_two_cannot_write_at_once(path: Path) -> None:
    if os.name != "posix":
        pytest.skip("needs locks")
    with Writer(path), pytest.raises(InputError, match="another process"), Writer(path):
        pass


def test_an_index_that_another_process_began_meanwhile_is_not_begun_again(path: Path) -> None:
    """Both began to learn how images are compared when there was none."""
    if os.name != "posix":
        pytest.skip("needs locks")
    with Writer(path), pytest.raises(InputError, match="is being written by another process"):
        made(path)
    with pytest.raises(InputError, match="exists already"):
        made(path)


def test_without_its_likeness_an_index_says_that_it_must_be_made_anew(path: Path) -> None:
    likeness = path / "000000.likeness.safetensors"
    likeness.write_bytes(likeness.read_bytes()[:-10])
    for opened in (Index, Writer):
        with pytest.raises(InputError, match=r"cut short.*make the index anew, in another"):
            opened(path)


def test_a_reader_keeps_what_it_opened(path: Path) -> None:
    vectors = filled(path, 40)
    reader = Index(path)
    with Writer(path) as writer:
        writer.remove(np.arange(30))
        writer.add(rows(40, 100))
        writer.settle()
    distances, found = reader.search(vectors[:5], 3)
    expected, order = brute(vectors[:5], vectors, 3)
    if reader.backend == "files":
        assert (found == order).all()
        np.testing.assert_allclose(distances, expected, atol=1e-3)
        assert reader.entries([5])[0].name == rows(5, 1).names[0]


def test_killed_at_any_write_it_holds_the_state_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write in turn is the last: bytes of it are written, and nothing follows."""

    class Killed(BaseException):
        pass

    write, left = os.fsync, 0

    def fsync(file: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.truncate(file, os.fstat(file).st_size // 2)
            raise Killed
        write(file)

    def change(path: Path) -> None:
        with Writer(path) as writer:
            writer.add(rows(30, 20))  # merged with the 30 before
            writer.remove(np.arange(20))
            writer.settle()  # written anew

    states = [np.arange(30), np.arange(50), np.arange(20, 50)]
    survived = 0
    for survived in range(100):
        path = made(tmp_path / str(survived))
        filled(path, 30)
        with monkeypatch.context() as patch:
            left = survived
            patch.setattr(os, "fsync", fsync)
            try:
                change(path)
                break
            except Killed:
                pass
        found = Index(path).ids
        state = next(state for state in states if found.tolist() == state.tolist())
        same(path, state)
        if state is states[0]:  # what was being added is not there: nothing is in the way of it
            change(path)
            same(path, states[-1])
            files = {file.name for file in path.iterdir()}
            assert len(files) <= 12, files  # what the killed one left is swept up
    assert survived > 8


WRITES = """
import sys
sys.path.insert(0, sys.argv[2])
from test_index import rows, Path, Writer, Index
path = Path(sys.argv[1])
while True:
    with Writer(path) as writer:
        first = len(writer.index)
        writer.add(rows(first, 1 + first % 50))
    print(len(Index(path)), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_random_moments_under_a_readers_eyes(path: Path) -> None:
    chance, committed = random.Random(0), 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITES, str(path), str(Path(__file__).parent)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        committed = int(writer.stdout.readline())
        end = time.monotonic() + chance.uniform(0.1, 0.8)
        while time.monotonic() < end:
            found = Index(path)
            assert (found.hashes == np.arange(len(found)) + 1000).all()
            assert len(found) >= committed
            committed = len(found)
        writer.send_signal(signal.SIGKILL)
        committed = max([committed, *map(int, writer.stdout.read().split())])
        writer.wait()
        found = Index(path)  # a number may have been left out, an image not
        assert len(found) >= committed
        assert (found.hashes == np.arange(len(found)) + 1000).all()
        nearest = found.search(rows(0, len(found)).vectors[-20:], 1)[1][:, 0]
        assert (nearest == found.ids[-20:]).all()


def test_a_file_cut_short_is_named_and_the_rest_is_there(files: Path) -> None:
    filled(files, 100, 20)
    name = sorted(files.glob("*.vectors.safetensors"))[0]
    content = name.read_bytes()
    for broken in (content[:-40], b"", content[:-1] + bytes([content[-1] ^ 1])):
        name.write_bytes(broken)
        found = Index(files)
        assert found.ids.tolist() == list(range(100, 120))
        (note,) = found.notes
        assert str(name) in note
        assert "100 images are left out" in note
        _, numbers = found.search(rows(100, 3).vectors, 1)
        assert numbers[:, 0].tolist() == [100, 101, 102]
        with pytest.raises(InputError, match="vectors"):
            found.check()
    name.unlink()
    assert "100 images are left out" in Index(files).notes[0]
    with Writer(files) as writer:
        writer.add(rows(0, 1))
    assert not Index(files).notes
    assert len(Index(files)) == 21


def test_a_damaged_manifest_gives_way_to_the_one_before(files: Path) -> None:
    filled(files, 10, 10)
    content = (files / MANIFEST).read_text()
    for broken in (content[:50], content.replace('"count": 20', '"count": 21'), "[]", "null"):
        (files / MANIFEST).write_text(broken)
        found = Index(files)
        assert found.ids.tolist() in (list(range(10)), list(range(20)))
        assert "what was committed before it is read" in found.notes[0]
    (files / PREVIOUS).write_text("{")
    with pytest.raises(InputError, match=r"index\.json is not"):
        Index(files)
    (files / MANIFEST).write_text(content.replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="upgrade"):
        Index(files)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lists from 2,000 images on."""
    for module in (retrieval, index_segments):
        monkeypatch.setattr(module, "EXACT", 2000)
    monkeypatch.setattr(index_parts, "FEW", 50)
    lance = pytest.importorskip("preimage.runs.index_lance") if "lancedb" in sys.modules else None
    if lance is not None:
        monkeypatch.setattr(lance, "EXACT", 2000)
    return 2000


def test_lists_find_what_they_promise(path: Path, few: int) -> None:
    vectors = filled(path, 2500, 500)
    found = Index(path)
    assert found.recall is not None
    assert 0.95 < found.recall <= 1
    queries = rows(3000, 200).vectors
    true = brute(queries, vectors, 10)[1]
    distances, numbers = found.search(queries, 10)
    hits = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(numbers, true, strict=True)])
    assert abs(hits - found.recall) < 0.03
    at = np.linalg.norm(queries[:, None] - vectors[numbers], axis=2)
    np.testing.assert_allclose(distances, at, atol=1e-3)
    assert (found.search(queries, 10, exact=True)[1] == true).mean() > 0.99
    assert (found.vectors([7, 2900]) == vectors[[7, 2900]]).all()


def test_lists_know_what_came_and_went_since(path: Path, few: int) -> None:
    filled(path, 3000)
    with Writer(path) as writer:
        writer.add(rows(3000, 100))
        writer.remove(np.arange(0, 3000, 100))
        writer.settle()
    vectors, kept = rows(0, 3100).vectors, np.ones(3100, bool)
    kept[0:3000:100] = False
    found = Index(path)
    assert found.recall is not None
    _, numbers = found.search(vectors[3000:3050], 1)
    assert (numbers[:, 0] == np.arange(3000, 3050)).mean() > 0.95
    assert kept[found.search(vectors[:3000:100], 50)[1]].all()
    ages = found.search(vectors[:5], 20, where="age >= 1500")[1]
    assert (ages >= 1500).all()
    one = found.search(vectors[:5], 20, where="age >= 3098")[1]
    assert one.tolist() == [[3098, 3099]] * 5 or set(one[0]) == {3098, 3099}


def test_lists_that_are_damaged_are_made_of_latents(files: Path, few: int) -> None:
    vectors = filled(files, 2500)
    (name,) = files.glob("*.lists.safetensors")
    name.write_bytes(name.read_bytes()[:-9])
    found = Index(files)
    assert "cut short" in found.notes[0]
    _, numbers = found.search(vectors[:20], 5)
    assert (numbers == brute(vectors[:20], vectors, 5)[1]).all()
    with Writer(files) as writer:
        writer.settle()
    assert not Index(files).notes
    assert Index(files).recall is not None


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Index(tmp_path / "none")
    (tmp_path / "photo.png").touch()
    with pytest.raises(InputError, match=r"no index\.json"):
        Index(tmp_path)
    with pytest.raises(InputError, match="exists already"):
        made(tmp_path)
    with pytest.raises(InputError, match="did you mean 'files'"):
        made(tmp_path / "index", "file")
