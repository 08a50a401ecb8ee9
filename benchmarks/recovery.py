"""Finding the latent behind an image: how often, how exactly, how quickly, and beside what.

    PREIMAGE_REAL_DATA=… python benchmarks/recovery.py             # what is not measured yet
    python benchmarks/recovery.py --only mnist-dcgan --rows ours   # one row anew
    python benchmarks/recovery.py --quick                          # a few images, nothing written

Without an oracle: targets are the generator's own samples, and real images that it has not seen;
BatchNorm is frozen; every method stops by a rule that never sees the true latent, which serves to
judge and for nothing else. One thread, process CPU seconds, starts included. What is prepared once
for a generator (a pool, a cascade, an encoder) is timed by itself. Slow methods are given fewer
images, and their rate is what counts. `pip install pypose` adds a peer's Levenberg–Marquardt.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

import generators
import inversion_baselines as baselines
import machine
import preimage as pi
import recovery_ours as ours
from generators import Generator
from inversion_baselines import errors
from preimage.pictures import pairs, png
from recovery_page import FEW, STARTS

RECOVERED = 1e-2  # relative error of z
CONDITION = 1e-3  # σmin/σmax above which latents are held to be determined by the image
ROOMS = (*machine.DECIDING, "inversion")
MEMORY_OF = "other-mnist-vae"
SHOWN = 6  # targets on the picture


@dataclass(frozen=True)
class Counts:
    """How many images each kind of method is given."""

    targets: int = 256  # ours
    batched: int = 64  # batched Adam
    choice: int = 32  # other targets, for choosing its rate
    slow: int = 16  # one image at a time
    slowest: int = 4  # one at a time, and minutes for each
    real: int = 256  # real images, for ours and for encoders
    starts: int = 64  # of them, that Adam is given eight starts on
    first: int = 128  # other images of either kind that ours is given beforehand
    jacobians: int = 32
    streamed: tuple[int, ...] = (10, 1_000, 10_000)


SMALL = Counts(batched=32, choice=16, slow=8, slowest=1, starts=16)  # for the largest generator
QUICK = Counts(8, 4, 4, 2, 1, 8, 1, 0, 4, (10, 300))

Row = dict[str, Any]
Found = Callable[[pi.LatentModel, Tensor], Tensor]


def timed(find: Found, g: Generator, z: Tensor | None, x: Tensor) -> Row:
    """One method on targets x, whose latents z, if any are known, judge it afterwards."""
    start = time.process_time()
    found = find(g.model, x)
    seconds = time.process_time() - start
    error = errors(g.model, found, x)
    row = {
        "n": len(x),
        "cpu_seconds": seconds,
        "images_a_second": len(x) / seconds,
        "median": error.median().item(),
        "p90": error.quantile(0.9).item(),
        "mean": error.mean().item(),
    }
    if z is not None:
        off = (found - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
        row["recovered"] = (off < RECOVERED).float().mean().item()
    return row


def generated(find: Found, g: Generator, n: int, **more: Any) -> Row:
    """One method on the generator's own samples."""
    return {**timed(find, g, *g.targets(n)), **more}


def conditioning(g: Generator, counts: Counts, _: Row) -> Row:
    """σmin/σmax of the Jacobian at the true latents."""
    z, _ = g.targets(counts.jacobians)
    parts = [torch.linalg.svdvals(baselines.jacobians(g.model, part)) for part in z.split(8)]
    ratio = torch.cat([s[:, -1] / s[:, 0] for s in parts])
    above = (ratio > CONDITION).float().mean().item()
    return {"n": len(z), "median": ratio.median().item(), "above": above}


def rate(g: Generator, counts: Counts, _: Row) -> Row:
    """The learning rate at which batched Adam does best on other targets."""
    _, x = g.targets(counts.choice, first=10_000)
    medians = {r: _median(g, partial(baselines.batched_adam, rate=r), x) for r in baselines.RATES}
    best = min(medians, key=medians.__getitem__)
    return {"n": len(x), "rate": best, "medians": {f"{r:g}": m for r, m in medians.items()}}


def _median(g: Generator, find: Found, x: Tensor) -> float:
    return errors(g.model, find(g.model, x), x).median().item()


def batched_adam(g: Generator, counts: Counts, rows: Row) -> Row:
    """Batched Adam at the best rate."""
    find = partial(baselines.batched_adam, rate=rows["rate"]["rate"])
    return generated(find, g, counts.batched)


def peer(g: Generator, counts: Counts, _: Row) -> Row | None:
    """PyPose, where it is installed and the image is small enough for it."""
    if importlib.util.find_spec("pypose") is None or g.model.data.size > 1024:
        return None
    return generated(baselines.pypose_lm, g, counts.slowest)


def own(g: Generator, counts: Counts, _: Row, *, fold: bool, **options: Any) -> Row:
    """Ours, on the generator's samples."""
    ready = ours.prepared(g, fold=fold, first=counts.first, **options)
    return generated(ready.find, g, counts.targets, **facts(ready))


def thorough(g: Generator, counts: Counts, _: Row) -> Row | None:
    """The same prepared thoroughly, where that is better, beside the textbook loop in this run."""
    rows: Row = {}
    for key, fold in {"ours": False, "ours, folded": True}.items():
        ready = ours.prepared(g, fold=fold, cascade="thorough", first=counts.first)
        if ready.thorough:
            rows[key] = generated(ready.find, g, counts.targets, **facts(ready))
    if not rows:
        return None
    rows["textbook"] = generated(baselines.textbook, g, counts.slow)
    return {**rows, "machine": machine.machine(), "commit": machine.commit(ROOMS)}


def facts(ready: ours.Ready) -> Row:
    return {"prepared_cpu_seconds": ready.cpu_seconds, "folded": ready.folded}


def best_of_starts(g: Generator, counts: Counts, rows: Row) -> Row | None:
    """On real images: Adam × 2,000 from 8 starts on each, the best kept."""
    if g.domain == generators.ORL:
        return None
    find = partial(baselines.best_of_starts, rate=rows["rate"]["rate"])
    x = g.real[: counts.starts]
    z = find(g.model, x)
    return {"n": len(x), "errors": errors(g.model, z, x).tolist()}


def own_real(
    g: Generator, counts: Counts, rows: Row, *, steps: int | None = None, starts: int = 1
) -> Row:
    """Ours on real images; and against the best of Adam's starts, on the images that had them."""
    ready = ours.prepared(g, fold=True, steps=steps, starts=starts, first=counts.first)
    x = g.real[: counts.real]
    row = {**timed(ready.find, g, None, x), **facts(ready)}
    if "best of 8 starts, real" in rows:
        best = torch.tensor(rows["best of 8 starts, real"]["errors"])
        mine = errors(g.model, ready.find(g.model, x[: len(best)]), x[: len(best)])
        row["against_best"] = (mine.mean() / best.mean()).item()
        row["against_best_interval"] = ratio_interval(mine, best)
        row["no_worse"] = (mine <= best * 1.001).float().mean().item()
    return row


def several(g: Generator, counts: Counts, rows: Row) -> Row:
    """Ours on real images from one start and from more, beside the textbook loop, in this run.

    Adam has its eight starts on all of them where a decoding is cheap: the differences are small.
    """
    if not g.convolutional:
        counts = replace(counts, starts=counts.real)
    best = best_of_starts(g, counts, rows)
    beside = {} if best is None else {"best of 8 starts, real": best}
    return {
        "reference": None if best is None else {"n": best["n"]},
        "textbook": generated(baselines.textbook, g, counts.slow),
        **{str(k): own_real(g, counts, beside, starts=k) for k in STARTS},
        "machine": machine.machine(),
        "commit": machine.commit(ROOMS),
    }


def ratio_interval(a: Tensor, b: Tensor, *, samples: int = 2000) -> list[float]:
    """95 % of the ratio of means of paired values (N,), by the bootstrap."""
    rows = torch.randint(len(a), (samples, len(a)), generator=torch.Generator().manual_seed(0))
    ratio = a[rows].mean(1) / b[rows].mean(1)
    return [ratio.quantile(q).item() for q in (0.025, 0.975)]


def own_encoder(g: Generator, counts: Counts, _: Row) -> Row | None:
    """The encoder that the model was trained with, alone, on real images."""
    if not g.model.can("encode"):
        return None

    def find(model: pi.LatentModel, x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model.encode(part).mean for part in x.split(64)])

    return _encoded(find, g, counts)


def encoders(g: Generator, counts: Counts, rows: Row) -> Row | None:
    """Of ours: encoders alone, beside a search and the textbook loop, all in this run."""
    if not g.ours:
        return None
    ready = ours.prepared(g, fold=True, first=counts.first)
    learned = ours.encoder(g) if g.name in ours.ENCODERS else None
    return {
        "textbook": generated(baselines.textbook, g, counts.slow),
        "search": {**timed(ready.find, g, None, g.real[: counts.real]), **facts(ready)},
        "own": own_encoder(g, counts, rows),
        "learned": learned and {**_encoded(learned.find, g, counts), **facts(learned)},
        "machine": machine.machine(),
        "commit": machine.commit(ROOMS),
    }


def _encoded(find: Found, g: Generator, counts: Counts) -> Row:
    """Its error on the images that ours is given, and its speed on more, after a first call."""
    row = timed(find, g, None, g.real[: counts.real])
    speed = timed(find, g, None, g.real[: 4 * counts.real])
    return {**row, "images_a_second": speed["images_a_second"]}


def verdict(g: Generator, _: Counts, rows: Row) -> Row | None:
    """How well the verdict tells digits from Fashion-MNIST: the area under its ROC curve."""
    if g.model.data.shape != (1, 28, 28):
        return None
    return ours.verdict(g, generators.digits("fashion-mnist", 256))


def memory(g: Generator, counts: Counts, _: Row) -> Row | None:
    """Peak memory of a process that inverts so many samples."""
    if g.name != MEMORY_OF:
        return None
    peaks = {}
    for n in counts.streamed:
        command = [sys.executable, __file__, "--stream", str(n), "--only", g.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[str(n)] = float(done.stdout.split()[-1])
    return {"peak_mib": peaks}


def picture(g: Generator, counts: Counts, rows: Row) -> Row:
    """Samples, and what each method makes of them; errors below. No image of others is kept."""
    x = g.targets(min(SHOWN, counts.slow))[1]
    methods = {
        "textbook": baselines.textbook,
        "batched Adam": partial(baselines.batched_adam, rate=rows["rate"]["rate"]),
        "ours": ours.prepared(g, fold=True, first=0).find,
    }
    found = {name: find(g.model, x) for name, find in methods.items()}
    error = {name: errors(g.model, z, x) for name, z in found.items()}
    under = ["\n".join(f"{name} {error[name][i]:.0e}" for name in methods) for i in range(len(x))]
    shown = {name: generators.decoded(g.model, z) for name, z in found.items()}
    image = pairs({"target": x, **shown}, under=under)
    name = f"{file_of(g.name)}.png"
    machine.RESULTS.mkdir(exist_ok=True)
    (machine.RESULTS / name).write_bytes(png(image))
    return {"file": name}


def _slow(find: Found) -> Callable[[Generator, Counts, Row], Row]:
    return lambda g, counts, rows: generated(find, g, counts.slow)


ROWS: dict[str, Callable[[Generator, Counts, Row], Row | None]] = {
    "conditioning": conditioning,
    "rate": rate,
    "best of 8 starts, real": best_of_starts,
    "batched Adam": batched_adam,
    "textbook": _slow(baselines.textbook),
    "projector": _slow(baselines.projector),
    "SciPy L-BFGS": _slow(baselines.scipy_lbfgs),
    "SciPy LM": lambda g, counts, rows: generated(baselines.scipy_lm, g, counts.slowest),
    "PyPose LM": peer,
    "ours": partial(own, fold=False),
    "ours, folded": partial(own, fold=True),
    "thorough": thorough,
    "ours, few": partial(own, fold=True, steps=FEW),
    "ours, real": own_real,
    "several starts, real": several,
    "ours, few, real": partial(own_real, steps=FEW),
    "own encoder, real": own_encoder,
    "encoders": encoders,
    "verdict": verdict,
    "memory": memory,
    "picture": picture,
}
"""Everything that is measured of a generator, in this order."""


def measured(
    g: Generator, counts: Counts, rows: Row, names: list[str]
) -> Iterator[tuple[str, Row]]:
    """Those rows of `ROWS` that there are for this generator, one after another."""
    for name in names:
        row = ROWS[name](g, counts, rows)
        if row is not None:
            rows = {**rows, name: row}
            print(f"  {name}: { {k: v for k, v in row.items() if k != 'errors'} }", flush=True)
            yield name, row


def written(name: str) -> Row:
    """The rows of a generator that have been written down."""
    return (machine.read(file_of(name)) or {"rows": {}})["rows"]


def result(g: Generator, rows: Row) -> Row:
    """What is written down of a generator."""
    return {
        "benchmark": "recovery",
        "generator": g.name,
        "what": g.what,
        "domain": g.domain,
        "d": g.d,
        "convolutional": g.convolutional,
        "ours": g.ours,
        "cpu_minutes": g.cpu_minutes,
        "unit": "process CPU seconds; squared error per pixel on [−1, 1]",
        "seeds": {"targets": generators.TARGETS, "starts": baselines.SEED},
        "rows": rows,
    }


def file_of(name: str) -> str:
    return f"recovery-{name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=generators.GENERATORS)
    parser.add_argument("--rows", nargs="*", metavar="ROW", choices=ROWS, help="these rows alone")
    parser.add_argument("--again", action="store_true", help="everything anew")
    parser.add_argument("--quick", action="store_true", help="a few images, nothing written")
    parser.add_argument("--stream", type=int, metavar="N", help="invert N samples; peak MiB")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only or generators.GENERATORS:
        g = generators.generator(name)
        if options.stream:
            ours.stream(g, options.stream)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            continue
        print(f"{name}: {g.what}", flush=True)
        before = {} if options.quick else written(name)
        wanted = options.rows or [row for row in ROWS if options.again or row not in before]
        wanted = [row for row in wanted if not (options.quick and row == "picture")]
        counts = QUICK if options.quick else SMALL if g.d * g.model.data.size > 1e6 else Counts()
        for key, row in measured(g, counts, before, wanted):
            if not options.quick:  # another process may have written other rows meanwhile
                rows = {**written(name), key: row}
                machine.write(file_of(name), result(g, rows), rooms=ROOMS)


if __name__ == "__main__":
    main()
