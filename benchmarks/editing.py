"""How well edits do what they say, and nothing else: measured on faces of which all is known.

    python benchmarks/editing.py                  # trains its model and its judge once, then edits
    python benchmarks/editing.py --model RUN      # any model of 64×64 colour faces
    python benchmarks/editing.py --quick          # a few faces, nothing written

The model learns from drawn faces in which age goes with glasses and grey hair, and hair with
beards. Every method learns from latents of training faces and their labels, and sees nothing else.
Faces to edit are fresh ones of the same kind. The truth is the face drawn again with the one factor
changed, seen through the model's own reconstruction: what the best edit could give. It stands in
the table as a method, since the judge has a slope of its own where a factor hides another. The
judge (factor_regressor.py) is shown to no method; what it is worth on originals and on
reconstructions is printed. Slopes, strengths and intervals are defined in editing_measures.py.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import editing_methods as methods
import machine
import preimage as pi
from editing_arithmetic import arithmetic
from editing_measures import Edits, edits, outcome, pictures_of
from factor_regressor import Regressor, ceiling, of_faces, tensor
from preimage.core import LatentModel
from preimage.data import faces
from preimage.data.faces import FACTORS
from preimage.nets import Gated
from preimage.pictures import pairs, png

WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "editing"
SOURCE, LABELLED, FACES, SHOWN = "faces:60000:correlated", 40_000, 400, 8
FRESH = 4  # seed of the faces that are edited: not one that anything was chosen on
ROOMS = (*machine.DECIDING, "exploration")
TRUTH = "*the truth*"
PICTURED = ("smile", "glasses", "pose", "hair_style", "beard", "gaze", "eye_colour", "age")


@dataclass(frozen=True)
class Bench:
    """A model, and what passes through it."""

    model: LatentModel

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return torch.cat([pi.latents(self.model, part, method="encoder") for part in x.split(500)])

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        return torch.cat([self.model.decode(part) for part in z.split(500)])


def trained(folder: Path) -> LatentModel:
    """The model that is edited: `vae-pca`, fine enough for eyes, and of few latents.

    Few, since each is then nearer to something that varies: 128 latents drew faces no better, and
    what a factor does to them was far more crooked (19 % linear, against 43 % of 40 latents).
    """
    if not (folder / "weights.safetensors").exists():
        options = {"recipe": "vae-pca", "axes": 1024, "sigma": 0.07, "latent": 40, "steps": 5000}
        options |= {"net": Gated(1024), "learning_rate": 2e-3, "flip": False}
        for step in pi.training(SOURCE, out=folder, device="cpu", **options):
            if step.step % 500 == 0:
                print(f"  model: {step.step}/{step.total}", flush=True)
    return pi.load(folder)


def measured(
    bench: Bench, judge: Regressor, n: int, labelled_on: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Every method on every factor; and rows of pictures."""
    known_of = faces.sample(labelled_on, seed=1, correlated=True)
    known = methods.labelled(
        bench.model, bench.encode(tensor(faces.render(known_of))), known_of, FACTORS
    )
    start = time.process_time()
    ways = methods.editors(known)
    print(f"  methods learned in {time.process_time() - start:.0f} CPU s", flush=True)
    truth = faces.sample(n, seed=FRESH, correlated=True)
    originals = tensor(faces.render(truth))
    z = bench.encode(originals)
    plain = bench.decode(z)
    before = judge.read(plain)
    result: dict[str, Any] = {
        "n": n,
        "labelled": labelled_on,
        "ceiling": {
            "originals": ceiling(judge.read(originals), truth, FACTORS),
            "reconstructions": ceiling(before, truth, FACTORS),
        },
        "error": (plain - originals).square().mean().sqrt().item(),
        "methods": {name: {} for name in (TRUTH, *ways)},
    }
    for factor in FACTORS:
        wanted = edits(factor, truth)
        ought = bench.decode(bench.encode(tensor(pictures_of(wanted))))
        unedited = _distance(plain[wanted.rows], ought)
        after = judge.read(ought)
        result["methods"][TRUTH][factor.name] = _row(wanted, before, after, None)
        for name, way in ways.items():
            edited = bench.decode(way(z[wanted.rows], wanted))
            distances = (_distance(edited, ought), unedited)
            row = _row(wanted, before, judge.read(edited), distances)
            result["methods"][name][factor.name] = row
        _show(factor.name, result)
    rows, shown = arithmetic(
        bench.encode,
        bench.decode,
        judge,
        lambda z: ways["counterfactual"](z, _bearding(len(z))),
    )
    result["arithmetic"] = rows
    return result, {"arithmetic": shown} | _pictures(bench, ways, z, truth)


def _row(wanted: Edits, before: Any, after: Any, distances: Any) -> dict[str, Any]:
    return asdict(outcome(wanted, FACTORS, before, after, distances))


def _bearding(n: int) -> Edits:
    bare = faces.change(faces.sample(n), beard="none")
    rows = torch.arange(n)
    (factor,) = (f for f in FACTORS if f.name == "beard")
    zeros = torch.zeros(n, dtype=torch.int64)
    return Edits(factor, rows, zeros.double(), zeros, zeros + 2, bare)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).flatten(1).norm(dim=1)


def _show(name: str, result: dict[str, Any]) -> None:
    print(name)
    for method, rows in result["methods"].items():
        row = rows[name]
        print(
            f"  {method:30} wanted {row['wanted'][0]:.2f}, others {row['others'][0]:.3f} "
            f"({row['most'][0]} {row['most'][1]:.2f}), nearer {row['nearer'][0]:.3f}, "
            f"faces {row['faces'][0]:.3f}, "
            f"left {row['left']:.2f}",
            flush=True,
        )


def _pictures(bench: Bench, ways: Any, z: Tensor, truth: Any) -> dict[str, Tensor]:
    """The unedited, then each edit: the truth, the plain mean difference's, the counterfactual."""
    rows = {"reconstruction": bench.decode(z[:SHOWN])}
    some = {name: values[:SHOWN] for name, values in truth.items()}
    for name in PICTURED:
        (factor,) = (f for f in FACTORS if f.name == name)
        every = edits(factor, some)
        last = torch.stack([(every.rows == i).nonzero()[-1, 0] for i in range(SHOWN)])
        chosen = {k: v[last.numpy()] for k, v in every.truth.items()}
        numbers = (every.rows[last], every.strength[last], every.now[last], every.to[last])
        wanted = Edits(factor, *numbers, chosen)
        drawn = tensor(pictures_of(wanted))
        rows[f"{name}: the truth"] = bench.decode(bench.encode(drawn))
        for method in ("mean difference", "counterfactual"):
            rows[f"{name}: {method}"] = bench.decode(ways[method](z[:SHOWN], wanted))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a run; unset, one is trained")
    parser.add_argument("--name", default="faces", help="of the result")
    parser.add_argument("--quick", action="store_true", help="a few faces, nothing written")
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = f"editing-{options.name}"
    found = machine.read(file)
    if found and found["commit"] == machine.commit(ROOMS) and not (options.again or options.quick):
        print(f"{file}: measured at this commit")
        return
    judge = of_faces(WORK / "judge.pt")
    start = time.process_time()
    model = pi.load(options.model) if options.model else trained(WORK / "model")
    spent = (time.process_time() - start) / 60
    n, labelled_on = (60, 4000) if options.quick else (FACES, LABELLED)
    result, rows = measured(Bench(model), judge, n, labelled_on)
    if options.quick:
        return
    shown = rows.pop("arithmetic")
    quads = dict(
        zip(
            ("z1: beard, glasses", "z2: glasses", "z3: neither", "z1 - z2 + z3"),
            shown.split(SHOWN),
            strict=True,
        )
    )
    machine.RESULTS.mkdir(exist_ok=True)
    (machine.RESULTS / f"{file}.png").write_bytes(png(pairs(rows)))
    (machine.RESULTS / f"{file}-arithmetic.png").write_bytes(png(pairs(quads)))
    head = {"benchmark": "editing", "data": options.name, "cpu_minutes": spent}
    machine.write(file, head | result, rooms=ROOMS)


if __name__ == "__main__":
    main()
