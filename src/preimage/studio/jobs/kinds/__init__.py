"""What jobs there are, one file a kind."""

from __future__ import annotations

from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.kinds.detector import DETECTOR
from preimage.studio.jobs.kinds.invert import INVERT
from preimage.studio.jobs.kinds.restore import INPAINT, RESTORE
from preimage.studio.jobs.kinds.train import TRAIN

KINDS: dict[str, Kind] = {
    "invert": INVERT,
    "inpaint": INPAINT,
    "restore": RESTORE,
    "detector": DETECTOR,
    "train": TRAIN,
}
