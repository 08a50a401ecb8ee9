"""Which images are found: by latents, by pixels, by PCA; and a million latents in milliseconds.

    python benchmarks/retrieval.py [--only fashion-mnist|orl|million] [--quick]

Fashion-MNIST: `vae-gan` learns from the 60,000 training images; each of 2,000 test images asks for
the other 9,999, and those of its class are right. ORL: `vae-pca` learns from people 1 to 20, and
each of the 200 images of people 21 to 40 asks for the other 199. No model and no metric sees a
label. Latents stand by the default metric, settled on training images: 6,000 of Fashion-MNIST, and
people 1 to 20. PCA is of the training images, of as many numbers as the model has.

Beside them, the index with 1,000,000 vectors: posterior means of the training images of MNIST and
Fashion-MNIST, each moved, turned, scaled and lit otherwise eight times or more, by a `vae-pca` of
128 latents. Queries are changed test images. Each part writes results/retrieval_PART.json, and is
not made again where it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from PIL import Image
from torch import Tensor

import machine
import preimage as pi
from preimage.api.indexes import in_batches
from preimage.applications.filters import Column
from preimage.applications.likeness import (
    DEFAULT,
    KINDS,
    Likeness,
    decoder_gram,
    fit,
    slightly_changed,
)
from preimage.applications.retrieval import nearest
from preimage.core import LatentModel
from preimage.core.neighbours import squared_distances
from preimage.runs.index import About, Index, Writer, create
from preimage.runs.index_store import Rows

ROOMS = ("core", "data", "nets", "models", "training", "applications", "runs", "api")
PARTS = ("fashion-mnist", "orl", "million")
FITTED, CHANGES = 4000, 8  # images and changes of each that a metric is fitted to
DRAWS = 2000  # of the bootstrap
MILLION, ASKED, K = 1_000_000, 1000, 10


def npz(name: str) -> dict[str, np.ndarray]:
    with np.load(machine.real_data() / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def floats(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().div_(127.5).sub_(1)[:, None]


def trained(
    name: str, images: np.ndarray, folder: Path, **options: Any
) -> tuple[LatentModel, float]:
    """A model of images (N, H, W), and the CPU seconds that it took."""
    np.save(folder / f"{name}.npy", images)
    begun = time.process_time()
    run = pi.train(folder / f"{name}.npy", out=folder / name, seed=0, validations=1, **options)
    return pi.load(run.path), time.process_time() - begun


def faces(people: range, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """ORL's images of these people, cut square and made smaller."""
    images, labels = [], []
    for person in people:
        for number in range(1, 11):
            path = machine.real_data() / f"orl-faces/s{person}/{number}.pgm"
            with Image.open(path) as image:
                width, height = image.size
                top = (height - width) // 2
                square = image.convert("L").crop((0, top, width, top + width))
                images.append(np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)))
            labels.append(person)
    return np.stack(images), np.array(labels)


def per_query(vectors: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """R-precision and average precision of each query, (Q, 2); a query is not found itself."""
    v, y, scores = torch.from_numpy(vectors), torch.from_numpy(labels), []
    for rows in torch.from_numpy(asked).split(250):
        d = squared_distances(v[rows], v)
        d[torch.arange(len(rows)), rows] = torch.inf
        right = (y[d.argsort(dim=1, stable=True)[:, :-1]] == y[rows][:, None]).double()
        R = right.sum(1)
        hits = right.cumsum(1)
        at = torch.arange(1, right.shape[1] + 1)
        r_precision = hits.gather(1, R.long()[:, None] - 1)[:, 0] / R
        scores.append(torch.stack([r_precision, (hits / at * right).sum(1) / R], 1))
    return torch.cat(scores).numpy()


def interval(scores: np.ndarray, groups: np.ndarray) -> list[float]:
    """Mean and 95 % interval of the bootstrap over groups of queries."""
    g = np.random.default_rng(0)
    names, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, scores)
    counts = np.bincount(codes)
    drawn = g.integers(len(names), size=(DRAWS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return [float(scores.mean()), *map(float, np.quantile(means, [0.025, 0.975]))]


def likenesses(model: LatentModel, learned: Tensor) -> dict[str, Likeness]:
    """Every metric, fitted to training images."""
    g = torch.Generator().manual_seed(0)
    x = learned[torch.randperm(len(learned), generator=g)[:FITTED]]
    changes = [slightly_changed(x, g) for _ in range(CHANGES * max(1, 1000 // len(x)))]
    found = {}
    for kind in KINDS:
        own = torch.from_numpy(described(model, kind, x))
        gram, changed = None, []
        if kind == "decoder":
            gram = decoder_gram(model.decode, own[:64].reshape(-1, *model.space.shape), g)
        if kind in ("steady", "features"):
            changed = [torch.from_numpy(described(model, kind, other)) for other in changes]
        found[kind] = fit(kind, own, changed, gram)
    return found


def described(model: LatentModel, kind: str, x: Tensor) -> np.ndarray:
    if kind == "features":
        return in_batches(model, True, torch.empty(0), x, None)
    with torch.no_grad():
        return np.concatenate([model.encode(part).mean.flatten(1).numpy() for part in x.split(500)])


def judged(
    model: LatentModel,
    learned: Tensor,
    settings: tuple[Tensor, np.ndarray, np.ndarray],  # images, labels, which ask
    test: tuple[Tensor, np.ndarray, np.ndarray],
    groups: np.ndarray,  # of the test's queries, drawn together
) -> dict[str, Any]:
    """Scores of every metric on test images, and on those by which the default was settled."""
    d = model.space.size
    few = learned[:10_000].flatten(1)
    centre = few.mean(0)
    axes = torch.linalg.svd(few - centre, full_matrices=False)[2][:d].T
    ways = {
        "pixels": lambda x: x.flatten(1).numpy(),
        f"PCA, {d} numbers": lambda x: ((x.flatten(1) - centre) @ axes).numpy(),
        f"PCA, {d} numbers, angle": lambda x: unit(((x.flatten(1) - centre) @ axes).numpy()),
    }
    for kind, likeness in likenesses(model, learned).items():
        ways[kind] = lambda x, k=kind, like=likeness: like(described(model, k, x))
    x, labels, asked = settings
    chosen_on = {name: per_query(way(x), labels, asked)[:, 1].mean() for name, way in ways.items()}
    x, labels, asked = test
    scores = {name: per_query(way(x), labels, asked) for name, way in ways.items()}
    rows = [
        {
            "way": name,
            "settings": float(chosen_on[name]),
            "r_precision": interval(found[:, 0], groups),
            "map": interval(found[:, 1], groups),
        }
        for name, found in scores.items()
    ]
    margins = {
        f"{mine} over {name}": [
            interval(scores[mine][:, i] - scores[name][:, i], groups) for i in (0, 1)
        ]
        for mine in (DEFAULT, "features")
        for name in ways
        if name.startswith(("pixels", "PCA"))
    }
    return {"latents": d, "ours": DEFAULT, "rows": rows, "margins": margins}


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def fashion(folder: Path, quick: bool) -> dict[str, Any]:
    data = npz("fashion-mnist")
    images, labels = data["train_images"], data["train_labels"].astype(np.int64)
    model, seconds = trained(
        "fashion", images, folder, recipe="vae-gan", steps=100 if quick else 1200
    )
    asked = np.random.default_rng(0).permutation(10_000)[: 100 if quick else 2000]
    found = judged(
        model,
        floats(images[:50_000:5]),
        (floats(images[50_000:56_000]), labels[50_000:56_000], np.arange(800)),
        (floats(data["test_images"]), data["test_labels"].astype(np.int64), asked),
        np.arange(len(asked)),
    )
    return {"train_seconds": seconds, "recipe": "vae-gan", "queries": len(asked), **found}


def orl(folder: Path, quick: bool) -> dict[str, Any]:
    images, people = faces(range(1, 21))
    model, seconds = trained("orl", images, folder, recipe="vae-pca", steps=20 if quick else 300)
    others, strangers = faces(range(21, 41))
    every = np.arange(200)
    found = judged(
        model, floats(images), (floats(images), people, every), (floats(others), strangers, every),
        strangers,
    )  # fmt: skip
    return {"train_seconds": seconds, "recipe": "vae-pca", "queries": 200, **found}


def embedded(n: int, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents of n changed training images, of changed test ones, and of a few to learn by."""
    sets = [npz(name) for name in ("mnist", "fashion-mnist")]
    train = np.concatenate([s["train_images"] for s in sets])
    test = np.concatenate([s["test_images"] for s in sets])
    model, _ = trained("both", train, folder, recipe="vae-pca", steps=400)
    g = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def means(images: np.ndarray, rows: Tensor) -> np.ndarray:
        parts = []
        for some in rows.split(4096):
            x = slightly_changed(floats(images[some.numpy()]), g)
            parts.append(model.encode(x).mean.numpy())
        return np.concatenate(parts)

    rows = torch.cat([torch.randperm(len(train), generator=g) for _ in range(-(-n // len(train)))])
    asked = torch.randperm(len(test), generator=g)[:ASKED]
    z = means(train, rows[:n])
    return z, means(test, asked), z[:FITTED]


def kept(folder: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors to search among and to ask by, made once."""
    path = folder / f"vectors-{n}.npz"
    if not path.exists():
        z, asked, few = embedded(n, folder)
        like = fit("cosine", torch.from_numpy(few))
        np.savez(path, vectors=like(z), asked=like(asked))
    with np.load(path) as file:
        return file["vectors"], file["asked"]


def recalled(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, true, strict=True)]))


def one_by_one(search: Any, asked: np.ndarray) -> tuple[np.ndarray, float]:
    """What each query finds, and milliseconds of a query by itself."""
    search(asked[:1])
    begun = time.process_time()
    found = [search(asked[i : i + 1])[0] for i in range(len(asked))]
    return np.stack(found), 1000 * (time.process_time() - begun) / len(asked)


def million(folder: Path, n: int = MILLION) -> dict[str, Any]:
    """The index itself: made, opened by another process, and asked."""
    x, _ = kept(folder, n)
    path, d = folder / f"index-{n}", x.shape[1]
    if not path.exists():
        plain = Likeness("latent", np.zeros(d, np.float32), np.eye(d, dtype=np.float32))
        create(path, About("0" * 16, None, (d,), "28×28 grey"), plain)
        begun = time.process_time()
        with Writer(path) as writer:
            for first in range(0, n, 100_000):
                z = x[first : first + 100_000]
                numbers = np.arange(first, first + len(z))
                values = {"number": Column(numbers.astype(np.float32))}
                writer.add(
                    Rows([""] * len(z), numbers.astype(np.uint64), z, z, [b""] * len(z), values)
                )
            added, begun = time.process_time() - begun, time.process_time()
            writer.settle()
        built = {"add_seconds": added, "lists_seconds": time.process_time() - begun}
        (path / "built.json").write_text(json.dumps(built))
    done = subprocess.run(
        [sys.executable, __file__, "--ask", str(folder), "--vectors", str(n)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    sizes = {p.name: p.stat().st_size for p in path.glob("*.safetensors")}
    lists = sum(size for name, size in sizes.items() if "lists" in name)
    return {
        "n": n, "d": d, **json.loads((path / "built.json").read_text()),
        "size": sum(sizes.values()), "lists_size": lists,
        **json.loads(done.stdout.splitlines()[-1]),
    }  # fmt: skip


def ask(folder: Path, n: int) -> dict[str, Any]:
    """In a process of its own, whose memory is an index's and nothing else."""
    asked = np.load(folder / f"vectors-{n}.npz")["asked"]
    before = private()
    begun = time.perf_counter()
    index = Index(folder / f"index-{n}")
    opened = time.perf_counter() - begun
    found, ms = one_by_one(lambda q: index.search(q, K)[1], asked)
    memory = private() - before
    where = one_by_one(lambda q: index.search(q, K, where=f"number < {n // 2}")[1], asked[:50])[1]
    x = np.load(folder / f"vectors-{n}.npz")["vectors"]
    exact = one_by_one(lambda q: nearest(q, x, K)[1], asked[:200])[1]
    true = nearest(asked, x, K)[1]
    return {
        "open_ms": 1000 * opened, "ms": ms, "filtered_ms": where, "exact_ms": exact,
        "ratio": exact / ms, "recall": recalled(found, true), "said": index.recall,
        "memory": memory, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "queries": len(asked),
    }  # fmt: skip


def private() -> int:
    """Bytes of this process that no file stands behind."""
    said = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(said.split("Private_Dirty:")[1].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument(
        "--quick", action="store_true", help="little of everything, nothing written"
    )
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help="folder for what can be used again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    if options.ask:
        print(json.dumps(ask(options.ask, options.vectors)))
        return
    folder = options.work or Path(tempfile.gettempdir()) / f"preimage-retrieval-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    n = 20_000 if options.quick else None
    made = {
        "fashion-mnist": lambda at: fashion(at, options.quick),
        "orl": lambda at: orl(at, options.quick),
        "million": lambda _: million(folder, n or MILLION),
    }
    for part in [options.only] if options.only else PARTS:
        name = f"retrieval_{part}"
        if options.quick or machine.read(name) is None:
            begun = time.process_time()
            with tempfile.TemporaryDirectory() as own:
                result = {"benchmark": "retrieval", "part": part, **made[part](Path(own))}
            result["cpu_seconds"] = time.process_time() - begun
            if not options.quick:
                machine.write(name, result, rooms=ROOMS)
            print(json.dumps(result, indent=1), flush=True)


if __name__ == "__main__":
    main()
