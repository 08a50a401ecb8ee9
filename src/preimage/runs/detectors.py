"""Anomaly detectors beside their run: RUN/detectors/NAME, a folder that is whole or not there.

NAME/detector.safetensors  what was learned of good images; read without pickle
NAME/detector.json         how photographs are looked at, and whose weights of the model it goes by
"""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

import preimage
from preimage.applications.anomaly import Detector, suite
from preimage.applications.anomaly.framing import Framing
from preimage.applications.anomaly.inspection import Inspector
from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.data.decode import FITS
from preimage.inversion.fingerprint import fingerprint
from preimage.runs.files import read_json, readable_errors, write_bytes, write_json

FOLDER, DEFAULT = "detectors", "default"
FORMAT = 3
NAMES = re.compile(r"\w[\w+-]{0,99}")
TENSORS, FACTS = "detector.safetensors", "detector.json"
CHANNELS = 64  # of a photograph, at most
LARGEST = 1 << 14  # pixels of a side of what a detector is shown at once
OF_DETECTOR = "detector/"  # before the names of its tensors
WIDE = {"good": torch.float64, "levels": torch.float64}  # what is not of single precision
OF_ONE_SIZE = ("hog-neighbours", "hog-distance", "hog-residual", *suite.OF_MODEL)
TRIED = 64  # pixels of a side of an image by which scores are tried that take any size


def check_new(run: Path, name: str, *, replace: bool = False) -> None:
    """Raises InputError for a name that is odd, or of a detector that is to stay."""
    if not NAMES.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a detector; use letters, digits, '-' and '_', at most 100"
        )
    if (run / FOLDER / name).exists() and not replace:
        raise InputError(
            f"{run} has a detector '{name}' already; choose another --name, or --replace it"
        )


def save_detector(
    run: Path,
    inspector: Inspector,
    *,
    name: str = DEFAULT,
    source: str = "",  # the good images
    replace: bool = False,
) -> Path:
    """Write the detector to its run. Raises InputError where there is one of that name."""
    check_new(run, name, replace=replace)
    final = run / FOLDER / name
    aside, old = (final.with_name(f".{name}.{os.getpid()}.{end}") for end in ("part", "old"))
    model = inspector.detector.model
    tensors, config = inspector.detector.state()
    content = {f"{OF_DETECTOR}{key}": value for key, value in tensors.items()}
    content |= {"good": inspector.good, "levels": torch.from_numpy(inspector.levels)}
    facts = {
        "format": FORMAT,
        "preimage": preimage.__version__,
        "model": None if model is None else fingerprint(model),
        "source": source,
        "learned": inspector.learned,
        "suspects": list(inspector.suspects),
        "pixel_threshold": inspector.pixel_threshold,
        "framing": inspector.framing.to_json(),
        "detector": config,
    }
    with readable_errors(final):
        try:
            aside.mkdir(parents=True)
            write_bytes(aside / TENSORS, save(_copied(content)))
            write_json(aside / FACTS, facts)
            if final.exists():
                final.replace(old)
            aside.replace(final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return final


def _copied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same in memory of their own: what several scores learned together is one tensor."""
    plain = torch.contiguous_format
    return {k: v.detach().cpu().clone(memory_format=plain) for k, v in tensors.items()}


def load_detector(run: Path, model: LatentModel, *, name: str = DEFAULT) -> Inspector:
    """The detector of that name.

    Raises InputError where there is none, where a file of it is broken, and where it was fitted
    with other weights of the model.
    """
    folder = run / FOLDER / name
    if not NAMES.fullmatch(name) or not folder.is_dir():
        known = detector_names(run)
        fit = f"fit one with: preimage anomaly fit {run} GOOD_IMAGES"
        raise InputError(
            f"{run} has no detector '{name}'; {nearest_name(name, known) if known else fit}"
        )
    facts = read_json(folder / FACTS)
    again = f"fit it again with: preimage anomaly fit {run} GOOD_IMAGES --name {name} --replace"
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InputError(f"{folder / FACTS} is not of this version; {again}")
    if facts.get("model") not in (None, fingerprint(model)):
        raise InputError(f"{folder} was fitted with other weights of the model; {again}")
    try:
        content = load((folder / TENSORS).read_bytes())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / TENSORS} is broken ({error}); {again}") from None
    try:
        return _made(content, facts, model)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:80]
        raise InputError(f"{folder} is not a detector of ours ({detail}); {again}") from None


def learned_from(run: Path, name: str) -> str:
    """The good images that a detector was fitted to, as they were named; "" where nobody said."""
    source = read_json(run / FOLDER / name / FACTS).get("source")
    return source if isinstance(source, str) else ""


def _made(content: dict[str, torch.Tensor], facts: dict[str, Any], model: LatentModel) -> Inspector:
    tensors = {
        key.removeprefix(OF_DETECTOR): value
        for key, value in content.items()
        if key.startswith(OF_DETECTOR)
    }
    used = None if facts["model"] is None else model
    _check_facts(facts)
    _check_numbers(content)
    inspector = Inspector(
        detector=Detector.from_state(tensors, facts["detector"], used),
        framing=Framing.from_json(facts["framing"]),
        good=content["good"],
        pixel_threshold=float(facts["pixel_threshold"]),
        levels=content["levels"].numpy(),
        suspects=tuple(facts["suspects"]),
        learned=int(facts["learned"]),
    )
    detector = inspector.detector
    if not math.isfinite(inspector.threshold) or not len(inspector.levels):
        raise ValueError("no threshold")
    if not math.isfinite(inspector.pixel_threshold):
        raise ValueError("no threshold of pixels")
    _check_framing(inspector.framing)
    _check_detector(detector)
    _check_readable(inspector)
    return inspector


def _check_facts(facts: dict[str, Any]) -> None:
    """Raises ValueError for what nobody learned or suspected, and for scores made otherwise."""
    config = facts["detector"]
    if type(facts["learned"]) is not int or facts["learned"] < 0:
        raise ValueError("learned is no number of photographs")
    if type(facts["suspects"]) is not list or {*map(type, facts["suspects"])} - {str}:
        raise ValueError("suspects are no list of names")
    if type(config["suspects"]) is not list or {*map(type, config["suspects"])} - {int}:
        raise ValueError("its suspects are no list of numbers")
    if not config["options"] or not suite.known(config["options"]):
        raise ValueError("its scores have options that this version does not give")


def _check_numbers(content: dict[str, torch.Tensor]) -> None:
    """Raises ValueError for tensors of other types than are saved, and for what is no number."""
    for name, value in content.items():
        counts = name.endswith("num_batches_tracked")  # of a net's batch normalisation
        wanted = torch.int64 if counts else WIDE.get(name, torch.float32)
        if value.dtype != wanted or not value.isfinite().all():
            raise ValueError(f"{name} holds no numbers of this version")
    if content["levels"].dim() != 1 or content["good"].dim() != 1:
        raise ValueError("its thresholds are of another version")


def _check_readable(inspector: Inspector) -> None:
    """Tries it on a black image: raises what scores raise whose tensors do not fit.

    ValueError where what it reads is no number. A model without an encoder is not tried: it takes
    long to look for an image's latent.
    """
    detector, framing = inspector.detector, inspector.framing
    if detector.model is not None and not detector.model.can("encode"):
        return
    height, width = framing.size or framing.tile or (TRIED, TRIED)
    if not any(name in OF_ONE_SIZE for name in detector.options):
        height, width = min(height, TRIED), min(width, TRIED)
    score, map_ = detector.read(torch.full((1, framing.channels, height, width), -1.0))
    if not (score.isfinite().all() and all(part.isfinite().all() for part in map_)):
        raise ValueError("it reads no numbers")


def _check_detector(detector: Detector) -> None:
    """Raises ValueError where what it weighs by is of another version, or no number."""
    parts, P = detector.parts, len(detector.parts.names)
    if detector.weights.shape != (P,) or not detector.weights.isfinite().all():
        raise ValueError("its scores are of another version")
    maps = parts.weights
    if not set(maps) <= set(parts.borders) or {*map(type, maps.values())} - {float, int}:
        raise ValueError("its maps are of another version")
    if not all(0 < weight < math.inf for weight in maps.values()):
        raise ValueError("its maps have no weights")
    for border in (*parts.borders.values(), detector.surface):
        rings, std = len(border.mean), border.std
        if not border.mean.shape == std.shape == (rings, rings) or not (std > 0).all():
            raise ValueError("its borders are of another version")
    for standard, n in ((detector.standard, P), (parts.tops, len(maps) + 1)):
        if standard is None:
            continue
        if not standard.middle.shape == standard.spread.shape == (n,):
            raise ValueError("its scores are of another version")
        if not (standard.middle.isfinite().all() and (standard.spread > 0).all()):
            raise ValueError("its scores have no spread")


def _check_framing(framing: Framing) -> None:
    """Raises ValueError for what no detector is shown, and sizes that no memory holds."""
    sides = [*(framing.size or ()), *(framing.tile or ())]
    pairs = all(pair is None or len(pair) == 2 for pair in (framing.size, framing.tile))
    whole = all(type(side) is int and 0 < side <= LARGEST for side in sides)
    paper = len(framing.background) == 3 and all(0 <= level <= 255 for level in framing.background)
    low, high = (0.0, 1.0) if framing.range is None else framing.range
    known = framing.fit in FITS and type(framing.exact) is bool
    if not (pairs and whole and paper and known and -math.inf < low < high < math.inf):
        raise ValueError("photographs cannot be looked at so")
    if type(framing.channels) is not int or not 0 < framing.channels <= CHANNELS:
        raise ValueError("photographs have no such channels")


def detector_names(run: Path) -> list[str]:
    """The names of a run's detectors, in alphabetical order."""
    found = (run / FOLDER).iterdir() if (run / FOLDER).is_dir() else ()
    return sorted(p.name for p in found if NAMES.fullmatch(p.name) and (p / FACTS).is_file())


def summary(inspector: Inspector) -> dict[str, Any]:
    """What a person should know of a detector, as JSON holds it."""
    detector = inspector.detector
    weights = dict(zip(detector.parts.names, detector.weights.tolist(), strict=True))
    return {
        "false_alarms": inspector.false_alarms,
        "threshold": inspector.threshold,
        "pixel_threshold": inspector.pixel_threshold,
        "learned": inspector.learned,
        "heldout": len(inspector.good),
        "suspects": list(inspector.suspects),
        "scores": {name: round(w, 4) for name, w in weights.items() if w > 0},
        "maps": {name: round(w, 4) for name, w in detector.parts.weights.items() if w > 0},
        "framing": inspector.framing.to_json(),
    }
