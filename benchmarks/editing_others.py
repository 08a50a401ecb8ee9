"""Edits on pictures that others drew: pixel-art characters, and the skin tones of emoji.

    PREIMAGE_REAL_DATA=… python benchmarks/editing_others.py          # sprites and emoji
    python benchmarks/editing_others.py --only emoji --quick          # fewer steps, nothing written

Sprites (LPC, 9 true factors): 4,500 train the model and are the labelled examples, 3,000 others the
judge, and 500 more are edited: hair, topwear, direction. Of 2.8 million combinations 8,000 are
there, so there is no counterfactual to be near to: the judge alone says what an edit did.

Emoji (EmojiOne): the model learns from nine in ten of all 1,832, which are few, and reconstructs
others poorly. Of the 84 that come in six skin tones, half teach the tone, and the other half, in
neutral, are given each of the five. An edited picture counts as nearer when its distance to the
reconstruction of the true toned emoji is less than that of the unedited reconstruction; the same
share, of distances to the emoji itself, stands beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import editing_methods as methods
import machine
import preimage as pi
from editing import ROOMS, WORK, Bench
from editing_measures import Edits, outcome
from factor_regressor import ceiling, deviation, tensor, trained
from preimage.core import LatentModel
from preimage.data.faces import Factor
from preimage.metrics.measure import of_mean
from preimage.nets import Gated
from preimage.pictures import pairs, png

EDITED = ("hair", "topwear", "direction")
TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
SHOWN = 8


def on_white(rgba: np.ndarray) -> np.ndarray:
    """(N, H, W, 4) → (N, 3, H, W), uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    flat = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return np.ascontiguousarray(flat.round().astype(np.uint8).transpose(0, 3, 1, 2))


def model_of(name: str, images: np.ndarray, steps: int, **options: Any) -> LatentModel:
    """`vae-pca` trained on these images, once."""
    folder, source = WORK / f"{name}-{steps}", WORK / f"{name}.npz"
    if not (folder / "weights.safetensors").exists():
        WORK.mkdir(parents=True, exist_ok=True)
        np.savez(source, images=images.transpose(0, 2, 3, 1))
        options = {"recipe": "vae-pca", "flip": False, "learning_rate": 2e-3} | options
        pi.train(source, out=folder, device="cpu", steps=steps, **options)
    return pi.load(folder)


def sprites(quick: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(machine.real_data() / "lpc-sprites-rendered" / "lpc_factors_dev.npz") as arrays:
        images, names = on_white(arrays["images"]), [str(n) for n in arrays["factor_names"]]
        codes = {n: arrays["factors"][:, i].astype(np.int64) for i, n in enumerate(names)}
    factors, truth = [], {}
    for name, column in codes.items():
        values, truth[name] = np.unique(column, return_inverse=True)
        factors.append(Factor(name, name, values=tuple(f"{name} {v}" for v in values)))
    factors = tuple(factors)
    parts = np.split(np.random.default_rng(0).permutation(len(images)), [4500, 7500])
    learn, judging, test = ({n: v[part] for n, v in truth.items()} for part in parts)
    judge = trained(
        WORK / "judge-sprites.pt", images[parts[1]], judging, factors, epochs=5 if quick else 20
    )
    steps = 300 if quick else 1500
    model = model_of("sprites", images[parts[0]], steps, axes=768, sigma=0.1, latent=40)
    bench = Bench(model)
    known = methods.labelled(model, bench.encode(tensor(images[parts[0]])), learn, factors)
    ways = methods.editors(known)
    originals = tensor(images[parts[2]])
    z = bench.encode(originals)
    plain = bench.decode(z)
    before = judge.read(plain)
    result: dict[str, Any] = {
        "n": len(originals),
        "labelled": len(parts[0]),
        "ceiling": {
            "originals": ceiling(judge.read(originals), test, factors),
            "reconstructions": ceiling(before, test, factors),
        },
        "methods": {name: {} for name in ways},
    }
    rows = {"reconstruction": plain[:SHOWN]}
    rng = np.random.default_rng(1)
    for factor in factors:
        if factor.name not in EDITED:
            continue
        now, k = test[factor.name], len(factor.values)
        to = (now + rng.integers(1, k, len(now))) % k
        strength = np.full(len(now), 2**0.5 / deviation(factor))
        numbers = (np.arange(len(now)), strength, now, to)
        wanted = Edits(factor, *map(torch.from_numpy, numbers), test)
        for name, way in ways.items():
            edited = bench.decode(way(z, wanted))
            row = outcome(wanted, factors, before, judge.read(edited), None)
            result["methods"][name][factor.name] = asdict(row)
            print(f"{factor.name:10} {name:30} {row.wanted[0]:.3f} {row.others[0]:.3f}", flush=True)
            if name in ("mean difference", "counterfactual"):
                rows[f"{factor.name}: {name}"] = edited[:SHOWN]
    return result, rows


def emoji(quick: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder = machine.real_data() / "emojione-2.2.7" / "assets" / "png"
    files = sorted(folder.glob("*.png"))
    images = on_white(np.stack([_rgba(file) for file in files]))
    index = {file.stem: i for i, file in enumerate(files)}
    stems = [s for s in index if all(_toned(s, tone) in index for tone in TONES)]
    table = np.array([[index[s], *(index[_toned(s, tone)] for tone in TONES)] for s in stems])
    table = table[np.random.default_rng(0).permutation(len(table))]  # (84, 6)
    learn, test = np.split(table, [len(table) // 2])
    steps = 300 if quick else 2000
    model = model_of("emoji", images, steps, axes=768, sigma=0.1, latent=64, net=Gated(1024))
    bench = Bench(model)
    tone = Factor("tone", "skin tone", values=("neutral", *TONES))
    codes = {"tone": np.tile(np.arange(6), len(learn))}
    known = methods.labelled(model, bench.encode(tensor(images[learn.ravel()])), codes, (tone,))
    ways = {
        "mean difference": methods.by_directions(methods.mean_difference(known), known),
        "joint": methods.by_directions(methods.joint(known), known),
        "counterfactual": methods.by_counterfactual(
            methods.fit_counterfactual(
                known.latents, known.columns, model=methods.owner(known.model)
            )
        ),
    }
    z = bench.encode(tensor(images[test[:, 0]])).repeat_interleave(5, 0)
    real = tensor(images[test[:, 1:].ravel()])
    ought, unedited = bench.decode(bench.encode(real)), bench.decode(z)
    zeros = torch.zeros(len(z), dtype=torch.int64)
    to = 1 + torch.arange(5).repeat(len(test))
    wanted = Edits(tone, torch.arange(len(z)), zeros.double(), zeros, to, {})
    result: dict[str, Any] = {"n": len(test), "labelled": len(learn), "methods": {}}
    chosen = torch.arange(SHOWN) * 26 % len(z)  # every tone, many emoji
    rows = {"reconstruction": unedited[chosen], "the truth": ought[chosen]}
    for name, way in ways.items():
        edited = bench.decode(way(z, wanted))
        rows[name] = edited[chosen]
        near = {
            key: _distance(edited, target) < _distance(unedited, target)
            for key, target in {"nearer": ought, "nearer_to_the_emoji": real}.items()
        }
        by_emoji = {k: of_mean(v.double().view(len(test), 5).mean(1)) for k, v in near.items()}
        row = {k: (m.value, m.low, min(m.high, 1.0)) for k, m in by_emoji.items()}
        left = _distance(edited, ought).mean() / _distance(unedited, ought).mean()
        result["methods"][name] = {"tone": row | {"left": left.item()}}
        print(name, result["methods"][name], flush=True)
    return result, rows


def _rgba(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGBA").resize((64, 64), Image.Resampling.LANCZOS))


def _toned(stem: str, tone: str) -> str:
    """`1f44b` → `1f44b-1f3fb`, and before what joins two emoji: `1f3c3-1f3fb-2642`."""
    first, *rest = stem.split("-")
    return "-".join([first, tone, *rest])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).flatten(1).norm(dim=1)


SETS = {"lpc-sprites": sprites, "emoji": emoji}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--quick", action="store_true", help="fewer steps, nothing written")
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        file = f"editing-{name}"
        found = machine.read(file)
        if found and found["commit"] == machine.commit(ROOMS) and not options.again:
            print(f"{file}: measured at this commit")
            continue
        result, rows = SETS[name](options.quick)
        if not options.quick:
            machine.RESULTS.mkdir(exist_ok=True)
            (machine.RESULTS / f"{file}.png").write_bytes(png(pairs(rows)))
            machine.write(file, {"benchmark": "editing", "data": name} | result, rooms=ROOMS)


if __name__ == "__main__":
    main()
