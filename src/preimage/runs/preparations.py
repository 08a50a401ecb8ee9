"""What inversion prepares once for a run's generator, kept in RUN/inversion.

The file names the weights it was made for; made for others, it is made anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from copy import copy

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from preimage.core import InputError
from preimage.inversion import Inverter
from preimage.inversion.cascade import Cascade
from preimage.inversion.fingerprint import fingerprint
from preimage.inversion.learned_cascade import LearnedCascade
from preimage.inversion.rough import ROUGH
from preimage.inversion.verdict import Calibration
from preimage.runs.files import readable_errors, write_bytes
from preimage.runs.run import Run

FORMAT = 2
FILE = "inversion/prepared.safetensors"


def save_preparations(run: Run, inverter: Inverter) -> None:
    """Keep what was made, beside what others kept meanwhile; a folder that cannot be written is
    left alone.
    """
    before = _kept(run, inverter)
    tensors: dict[str, Tensor] = {}
    cascades = {k: c for k, c in (before.cascades | inverter.cascades).items() if "@" not in k}
    for i, cascade in enumerate(cascades.values()):
        tensors |= {f"cascade.{i}.{name}": t for name, t in cascade.to_tensors().items()}
    thorough = {k: c for k, c in (before.thorough | inverter.thorough).items() if "@" not in k}
    for i, cascade in enumerate(thorough.values()):
        if cascade is not None:
            tensors |= {f"thorough.{i}.{name}": t for name, t in cascade.to_tensors().items()}
    curvature = before.curvature if inverter.curvature is None else inverter.curvature
    if curvature is not None:
        tensors["curvature"] = curvature
    calibrations = before.calibrations | inverter.calibrations
    calibrations = {k: c for k, c in calibrations.items() if "@" not in k}
    for i, calibration in enumerate(calibrations.values()):
        tensors |= {f"calibration.{i}.{name}": t for name, t in calibration.to_tensors().items()}
    metadata = {
        "format": str(FORMAT),
        "weights": fingerprint(inverter.model),
        "operators": json.dumps(list(cascades)),
        "thorough": json.dumps(list(thorough)),
        "settings": json.dumps(list(calibrations)),
    }
    own = {n: t.cpu().clone().contiguous() for n, t in tensors.items()}  # cascades share features
    content = save(own, metadata=metadata)
    path = run.path / FILE
    with contextlib.suppress(InputError):  # a run may be read from where nothing can be written
        with readable_errors(path):
            path.parent.mkdir(exist_ok=True)
        write_bytes(path, content)


def _kept(run: Run, inverter: Inverter) -> Inverter:
    """An inverter like this one, with nothing but what is kept."""
    other = copy(inverter)
    other.cascades, other.thorough, other.calibrations, other.curvature = {}, {}, {}, None
    load_preparations(run, other)
    return other


def load_preparations(run: Run, inverter: Inverter) -> bool:
    """Give an inverter what was kept for its weights; whether there was any that fits."""
    path = run.path / FILE
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != str(FORMAT):
                return False
            if metadata.get("weights") != fingerprint(inverter.model):
                return False
            device = inverter.model.device
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
        _give(inverter, metadata, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError):  # broken
        inverter.cascades.clear()
        inverter.thorough.clear()
        inverter.curvature = None
        inverter.calibrations.clear()
        return False
    return True


def _give(inverter: Inverter, metadata: Mapping[str, str], tensors: dict[str, Tensor]) -> None:
    """Raises KeyError, TypeError or ValueError where the file is not one that was saved."""
    d, classes = inverter.model.space.size, max(len(inverter.model.classes), 1)
    for i, key in enumerate(json.loads(metadata["operators"])):
        kept = _below(tensors, f"cascade.{i}.")
        inverter.cascades[key] = Cascade.from_tensors(kept, latent=d, classes=classes)
    for i, key in enumerate(json.loads(metadata.get("thorough", "[]"))):
        kept = _below(tensors, f"thorough.{i}.")  # nothing where none was better
        kind = Cascade if "maps" in kept else LearnedCascade
        inverter.thorough[key] = (
            kind.from_tensors(kept, latent=d, classes=classes) if kept else None
        )
    curvature = inverter.curvature = tensors.get("curvature")
    if curvature is None and ROUGH in inverter.cascades:
        raise KeyError("curvature")  # without which a rough start is not gone on from
    if curvature is not None and (curvature.shape != (d, d) or not curvature.isfinite().all()):
        raise ValueError("this is no curvature of such latents")
    for i, key in enumerate(json.loads(metadata["settings"])):
        kept = _below(tensors, f"calibration.{i}.")
        inverter.calibrations[key] = Calibration.from_tensors(kept)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
