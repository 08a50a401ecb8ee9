"""Whether other programs want the processors as well."""

from __future__ import annotations

import os
from pathlib import Path

LOAD = Path("/proc/loadavg")  # of Linux; elsewhere nothing is known


def busy() -> bool:
    """Whether half the processors or more were wanted in the last minute, and still are."""
    try:
        minute, _, _, running, _ = LOAD.read_text().split()
        others = int(running.partition("/")[0]) - 1  # this program is one of them
        half = (os.cpu_count() or 1) / 2
        return float(minute) > half and others >= half
    except (OSError, ValueError):
        return False
