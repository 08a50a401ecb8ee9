"""Train the demo's models one after another, and put what they do on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from preimage.api import basics
from preimage.core import Step
from preimage.demo.jobs import FACES, JOBS
from preimage.demo.material import Material
from preimage.demo.sections import SECTIONS, cover
from preimage.pictures import page
from preimage.runs.files import check_free, write_bytes
from preimage.runs.run import Run

PathLike = basics.PathLike
VALIDATIONS = 6  # of each stage of training


def run_demo(
    out: PathLike,
    *,
    seed: int = 0,
    effort: float = 1.0,
    progress: Callable[[Step], None] | None = None,
) -> Path:
    """Train on the digits and faces that ship, and write `out/report.html`; returns its path.

    The runs are kept below `out/runs`. `effort` scales the length of training: 1 takes about a
    minute and a half on two processors. `progress` is called with the Steps of one job after
    another, each named by its stage.

    Raises InputError where `out` holds something already.
    """
    began = last = time.perf_counter()
    shares: dict[str, float] = {}  # of the seconds, by what took them

    def took(name: str) -> None:
        nonlocal last
        last, before = time.perf_counter(), last
        shares[name] = last - before

    show = progress or (lambda step: None)
    out = Path(out)
    check_free(out)
    runs: dict[str, Run] = {}
    for job in JOBS:
        training = job.training(
            out / "runs",
            effort=effort,
            seed=seed,
            device="cpu",
            validations=VALIDATIONS,
            progress=progress,
        )
        show(Step(0, training.trainer.total, stage=job.title))
        with threads(job.threads):
            for step in training:
                show(replace(step, stage=job.title))
        runs[job.name] = training.run
        took(job.title)
    material = Material(
        data={"digits": basics.dataset("digits"), "faces": basics.dataset(FACES)},
        models={name: basics.load(run.path) for name, run in runs.items()},
        runs=runs,
        seed=seed,
        effort=effort,
    )
    sections = []
    for done, section in enumerate(SECTIONS):
        show(Step(done, len(SECTIONS), stage="report"))
        sections.append(section(material))
        took(f"“{sections[-1].title}”")
    show(Step(len(SECTIONS), len(SECTIONS), stage="report"))
    seconds = time.perf_counter() - began
    text = page(
        "What a latent space is",
        "Four small models were trained on this machine, on images that come with the package. "
        "Each turns a short list of numbers, the latent code, into an image; those with an "
        "encoder also find the code behind an image.",
        sections,
        cover=cover(material),
        facts=(
            (f"{len(material.data['digits']):,}", "handwritten digits"),
            (f"{len(material.data['faces']):,}", "drawn faces"),
            (str(len(JOBS)), "models trained"),
            (f"{seconds:.0f} s", "from start to report"),
        ),
        footer="Made by preimage demo. Every picture is of held-out images or of random samples, "
        f"none of them chosen. {_in_words(shares)}",
    )
    write_bytes(out / "report.html", text.encode())
    return out / "report.html"


def _in_words(shares: dict[str, float]) -> str:
    """Where the time went, in a sentence; what took less than a second is not named."""
    named = [f"{name} {seconds:.0f} s" for name, seconds in shares.items() if seconds >= 1]
    return f"Of the time took {', '.join(named)}." if named else ""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with no more than so many threads; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(count or before, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
