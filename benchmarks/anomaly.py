"""Anomalies found by what only good images have taught.

    PREIMAGE_REAL_DATA=… python benchmarks/anomaly.py          # each part that is missing
    PREIMAGE_REAL_DATA=… python benchmarks/anomaly.py --quick  # two classes, one half, in minutes
    … --only mnist | fashion-mnist | magnetic-tile | magnetic-tile-patches
    … --only mnist-model | fashion-mnist-model

One class as the only normal one, ten times: a detector learns from the training images of the class
and judges all test images. Beside it, in the same run, on the same images: scikit-learn's Isolation
Forest, PCA reconstruction and pixel nearest neighbours, and each of the detector's own parts alone.
With -model, on three classes: a `vae-pca` of a few hundred steps on three quarters of the training
images of the class takes part, and its scores and the threshold come from the rest. Magnetic tiles:
half of the tiles' good photographs teach, the other half and all defective photographs are judged,
and the halves are swapped; with -patches, without the net that is taught planted defects. Every
class and half is a file in results/anomaly, which a second call does not make again;
results/anomaly-DATA.json is the sum.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from torch import Tensor

import anomaly_tiles
import machine
import preimage as pi
from preimage.applications.anomaly import Detector, Explanation
from preimage.core.neighbours import nearest
from preimage.metrics.detection import PixelCounts, image_scores, levels_of
from preimage.metrics.ranks import ranks, share

ROOMS = ("core", "models", "inversion", "metrics", "applications")
SETS = ("mnist", "fashion-mnist")
STEPS = 400  # of the model
RATE = 0.05  # of false alarms


def split(name: str, label: int, quick: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Good images to learn from, images to judge, and which of these are of another class."""
    images, labels, tests, truth = loaded(name)
    good = images[labels == label]
    if quick:
        good, tests, truth = good[:1500], tests[:2000], truth[:2000]
    return good, tests, torch.from_numpy(truth != label)


def one_class(name: str, label: int, quick: bool) -> dict[str, Any]:
    """One class as the only normal one."""
    good, tests, bad = split(name, label, quick)
    start = time.process_time()
    detector = Detector(false_alarms=RATE).fit(good)
    fitted = time.process_time()
    found = detector.explain(tests)
    spent = {"fit": fitted - start, "judge": time.process_time() - fitted}
    rows = {"auto": found.scores, **others(good, tests)}
    return {**judged(label, detector, found, rows, bad), "seconds": spent}


def with_model(name: str, label: int, quick: bool) -> dict[str, Any]:
    """The same, with a model that has learnt from part of the good images."""
    good, tests, bad = split(name, label, quick)
    known, kept = good[: len(good) * 3 // 4], good[len(good) * 3 // 4 :]
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "good.npy", ((known[:, 0] + 1) * 127.5).round().byte().numpy())
        run = pi.train(
            Path(folder) / "good.npy",
            recipe="vae-pca",
            steps=100 if quick else STEPS,
            out=Path(folder) / "run",
        )
        model = pi.load(run.path)
    trained = time.process_time()
    detector = Detector(false_alarms=RATE).fit(known, model=model, validation=kept)
    fitted = time.process_time()
    found = detector.explain(tests)
    now = time.process_time()
    alone = Detector(false_alarms=RATE).fit(known, validation=kept).decision_function(tests)
    rows = {"auto": found.scores, "auto, without the model": alone}
    spent = {"model": trained - start, "fit": fitted - trained, "judge": now - fitted}
    return {**judged(label, detector, found, rows, bad), "seconds": spent}


def judged(
    label: int, detector: Detector, found: Explanation, rows: dict[str, Tensor], bad: Tensor
) -> dict[str, Any]:
    alarms = found.scores[~bad] > detector.threshold
    return {
        "label": label,
        "auroc": {key: measured(values, bad) for key, values in rows.items()},
        "parts": {key: measured(values, bad) for key, values in found.parts.items()},
        "weights": found.weights,
        "false_alarms": share(int(alarms.sum()), len(alarms)).to_json(),
        "suspects": len(detector.suspects),
    }


def others(good: Tensor, tests: Tensor) -> dict[str, Tensor]:
    """What is in use, on pixels."""
    x, y = good.flatten(1), tests.flatten(1)
    forest = IsolationForest(random_state=0).fit(x.numpy())
    pca = PCA(0.95, svd_solver="full").fit(x.numpy())
    left = y.numpy() - pca.inverse_transform(pca.transform(y.numpy()))
    return {
        "Isolation Forest": torch.from_numpy(-forest.score_samples(y.numpy())),
        "PCA reconstruction": torch.from_numpy(np.square(left).sum(1)),
        "pixel nearest neighbours": nearest(y, x, k=5)[0].mean(1),
    }


def measured(scores: Tensor, bad: Tensor) -> dict[str, Any]:
    return ranks(scores[bad], scores[~bad]).probability.to_json()


def loaded(name: str) -> tuple[Tensor, np.ndarray, Tensor, np.ndarray]:
    data = np.load(machine.real_data() / f"{name}.npz")

    def images(part: str) -> Tensor:
        return torch.from_numpy(data[f"{part}_images"]).float()[:, None] / 127.5 - 1

    return images("train"), data["train_labels"], images("test"), data["test_labels"]


def half(scores: str, which: int, quick: bool) -> dict[str, Any]:
    """One half of the magnetic tiles as teacher."""
    folder = machine.real_data()
    free = anomaly_tiles.photographs(folder, "Free")
    tile = anomaly_tiles.tiles(free)
    halves = anomaly_tiles.halves(tile)
    taught, fresh = halves[which], halves[1 - which]
    kinds = np.unique(tile[taught])
    kept = np.isin(tile[taught], kinds[np.random.default_rng(0).permutation(len(kinds))][::3])
    start = time.process_time()
    detector = Detector(scores=scores, false_alarms=RATE)
    detector.fit(
        [free[i].image for i in taught[~kept]], validation=[free[i].image for i in taught[kept]]
    )
    fitted = time.process_time()
    good = detector.explain([free[i].image for i in fresh])
    counts = PixelCounts(levels_of(np.concatenate([m.numpy().ravel()[::7] for m in good.maps])))
    for m in good.maps:
        counts.add(m.numpy(), np.zeros(m.shape, bool))
    scores_of, f1 = {}, {}
    for kind in ("Blowhole", "Crack"):
        photos = anomaly_tiles.photographs(folder, kind)
        seen = detector.explain([photo.image for photo in photos])
        for photo, m in zip(photos, seen.maps, strict=True):
            counts.add(m.numpy(), photo.mask)
        found = image_scores(
            good.scores.numpy(),
            seen.scores.numpy(),
            threshold=detector.threshold,
            false_alarms=RATE,
        )
        scores_of[kind], f1[kind] = (
            found[k].measure.to_json() for k in ("image_auroc", "image_f1")
        )
    alarms = good.scores > detector.threshold
    pixels = counts.scores(0.0)
    return {
        "half": which,
        "auroc": scores_of,
        "f1": f1,
        "pixel_auroc": pixels["pixel_auroc"].measure.to_json(),
        "pro": pixels["pro"].measure.to_json(),
        "false_alarms": share(int(alarms.sum()), len(alarms)).to_json(),
        "weights": good.weights,
        "map_weights": dict(detector.parts.weights),
        "seconds": {"fit": fitted - start, "judge": time.process_time() - fitted},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, (measure, keys) in PARTS.items():
        if asked.only not in (None, name):
            continue
        rows = []
        for key in keys if not asked.quick else keys[:2]:
            path = machine.RESULTS / "anomaly" / f"{name}-{key}{'-quick' * asked.quick}.json"
            if not path.exists():
                made = measure(key, asked.quick)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(made, indent=1) + "\n")
            rows.append(json.loads(path.read_text()))
            print(name, key, json.dumps(rows[-1]["auroc"]), flush=True)
        if not asked.quick:
            found = {"benchmark": "anomaly", "data": name, "rows": rows}
            machine.write(f"anomaly-{name}", found, rooms=ROOMS)


# Each part of the benchmark: what measures a row of it, and the rows.
PARTS = {
    **{name: (partial(one_class, name), tuple(range(10))) for name in SETS},
    "magnetic-tile": (partial(half, "auto"), (0, 1)),
    "magnetic-tile-patches": (partial(half, "patches"), (0, 1)),
    **{f"{name}-model": (partial(with_model, name), (3, 8, 6)) for name in SETS},
}


if __name__ == "__main__":
    main()
