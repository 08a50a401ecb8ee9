"""The main job in one call: train on images that ship, and leave a report to look at."""

import os

# Threads that wait for each other should sleep. Where other programs want the processors too, the
# usual spinning makes two threads forty times slower than one. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from preimage.demo.run import run_demo

__all__ = ["run_demo"]
