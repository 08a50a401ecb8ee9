"""The main job in one call: train on images that ship, and leave a report to look at."""

from preimage.demo.run import run_demo

__all__ = ["run_demo"]
