"""A data set that would not fit in memory trains in flat memory: only its batches are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
from preimage.core import ImageSpec
from preimage.data.dataset import Dataset
from preimage.models import build
from preimage.training.recipes import Facts, plan, scaled
from preimage.training.trainer import Trainer

def anonymous_megabytes():
    line = next(l for l in open("/proc/self/status") if l.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

n = 1_000_000  # 3 GB of 32×32 colour, a sparse file
images = np.memmap(sys.argv[1], dtype=np.uint8, mode="w+", shape=(n, 3, 32, 32))
data = Dataset(
    name="large", source="large", spec=ImageSpec(3, 32, 32), images=images, names=range(n),
    hashes=np.arange(n).astype(np.uint64), train=np.arange(1000, n), heldout=np.arange(1000),
    fingerprint="large",
)
planned = scaled(plan("vae-conv", Facts(data.spec, n)), steps=6)
trainer = Trainer(build(planned.model), data, planned.stages, device="cpu", validations=1)
steps = iter(trainer)
next(steps)
before = anonymous_megabytes()
for step in steps:
    pass
print(anonymous_megabytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_is_flat_in_the_number_of_images(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "large.bin")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 600  # of 3,000 MB of images; activations and optimizer take some
