"""Features on the disk score as the same features in memory, and are never held as a whole."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import preimage as pi
from preimage.core import InputError
from preimage.metrics.stored import stored

NAMES = ("fid", "fid-infinity", "kid", "precision", "coverage", "support")

CAPPED = """
import resource, sys
import preimage as pi
pi.evaluate("few-made.npy", "few-real.npy", metrics=["fid"])  # what is imported is not the question
used = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")][0]
resource.setrlimit(resource.RLIMIT_DATA, (1024 * used + CAP,) * 2)
print(pi.evaluate("made.npy", "real.npy", metrics=["fid"])["fid"].measure.value)
"""


def rows(n, d, *, seed):
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def test_the_scores_are_those_of_the_arrays(tmp_path):
    made, real = rows(700, 12, seed=0) + 0.3, rows(1500, 12, seed=1)
    for name, array in {"made": made, "real": real}.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = pi.evaluate(tmp_path / "made.npy", str(tmp_path / "real.npy"), metrics=NAMES)
    held = pi.evaluate(made, real, metrics=NAMES)
    for name in NAMES:
        assert found[name].measure.value == pytest.approx(held[name].measure.value, rel=1e-6)
        assert found[name].stamp == held[name].stamp
    mixed = pi.evaluate(tmp_path / "made.npy", real, metrics=("fid",))
    assert mixed["fid"].measure.value == pytest.approx(held["fid"].measure.value, rel=1e-6)


def test_of_many_pairs_are_told_by_some_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["preimage.metrics.quality"], "NEIGHBOURS", 200)
    for name, seed in {"made": 0, "real": 1}.items():
        np.save(tmp_path / f"{name}.npy", rows(900, 5, seed=seed))
    found = pi.evaluate(tmp_path / "made.npy", tmp_path / "real.npy", metrics=("fid", "kid"))
    assert (found["fid"].measure.n, found["kid"].measure.n) == (450, 200)
    assert "200 images of each kind" in found["kid"].note


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is capped as Linux does")
def test_arrays_larger_than_the_memory_allowed_are_judged(tmp_path):
    n, d, cap = 120_000, 128, 40 * 2**20  # 61 MB each, of which copies would be made
    for name, seed in {"made": 0, "real": 1}.items():
        np.save(tmp_path / f"{name}.npy", rows(n, d, seed=seed))
        np.save(tmp_path / f"few-{name}.npy", rows(300, d, seed=seed))
    code = CAPPED.replace("CAP", str(cap))
    alone = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}  # threads take room too
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = d * (d + 1) / 4 / (n / 2) * 2  # of equal Gaussians, about: it is all bias
    assert 0 < float(done.stdout) < 4 * expected


def test_rows_are_read_where_they_are_asked_for(tmp_path):
    array = rows(5000, 3, seed=0)
    np.save(tmp_path / "a.npy", array.astype(np.float16))
    found = stored(tmp_path / "a.npy")
    assert found is not None
    some = found.of(torch.tensor([4, 9, 2])).of(torch.tensor([2, 0]))
    assert some[:].dtype == torch.float32
    assert torch.equal(some[:], torch.from_numpy(array.astype(np.float16)[[2, 4]]).float())
    assert torch.equal(torch.cat([*found.split(777)]), found[:])


def test_what_holds_no_features_is_said_or_left_to_others(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"broken\.npy cannot be read as an array"):
        stored(tmp_path / "broken.npy")
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    with pytest.raises(InputError, match="not numbers"):
        stored(tmp_path / "words.npy")
    np.save(tmp_path / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    assert stored(tmp_path / "images.npy") is None
    bad = rows(100, 4, seed=0)
    bad[7, 2] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    np.save(tmp_path / "fine.npy", rows(100, 4, seed=1))
    with pytest.raises(InputError, match="1 row holds NaN"):
        pi.evaluate(tmp_path / "fine.npy", tmp_path / "nan.npy", metrics=("fid",))
