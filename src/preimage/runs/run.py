"""A run: one folder that holds a model, how it came to be, and what it looked like on the way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

import preimage
from preimage.core import InputError, LatentModel
from preimage.core.config import from_json, to_json
from preimage.data.cache import split_to_json
from preimage.models import build
from preimage.models.shapes import shapes_only
from preimage.runs.checkpoint import latest, pointed
from preimage.runs.files import (
    check_free,
    check_no_links,
    read_json,
    readable_errors,
    write_bytes,
    write_json,
)
from preimage.training.private import Guarantee, guarantee
from preimage.training.recipes import TYPES, Plan

FORMAT = 1  # of the folder; raised when older versions could no longer read it
SPLIT = "split.json"  # which images are held out

NEEDED = {
    "data": {"source": str, "options": dict, "fingerprint": str},
    "training": {"seed": int, "device": str, "precision": str, "validations": int},
}
"""What a config must hold for training to go on."""
OPTIONAL = {"best"}  # and what it may say of the training besides
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What may come of building what a config describes that was tampered with."""


class Run:
    """A run's folder. `Run.create` makes one, `Run.open` checks one that is there."""

    types: ClassVar[Mapping[str, type]] = TYPES  # what may stand in its plan

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path, self.config = path, config

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def split_path(self) -> Path:
        return self.path / SPLIT

    @property
    def plan(self) -> Plan:
        """Raises InputError where the config describes none that this version knows."""
        where = self.path / "config.json"
        try:
            plan = from_json(self.config["plan"], self.types)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{where} does not describe a model: {error!r}") from None
        if not isinstance(plan, Plan):
            raise InputError(f"{where} does not describe a model: it holds no plan")
        return plan

    def described(self) -> dict[str, Tensor]:
        """The weights its config calls for, as shapes only, so that a huge one takes no memory.

        Raises InputError where it describes no model.
        """
        try:
            with shapes_only():
                return self._module().state_dict()
        except InputError:
            raise
        except FAULTS as e:
            detail = str(e).splitlines()[0][:120] if str(e) else type(e).__name__
            raise InputError(
                f"{self.path}/config.json does not describe a model: {detail}"
            ) from None

    def _module(self) -> nn.Module:
        return build(self.plan.model)

    def check_model(self) -> None:
        """Raises InputError where the config describes no model, or one that the weights, where
        they can be read, are not of."""
        expected, found = self.described(), None
        with suppress(SafetensorError, OSError), safe_open(self.weights, "pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        if found is not None:
            self._check_fit(expected, found)

    def _check_fit(self, expected: Mapping[str, Tensor], found: Mapping[str, list[int]]) -> None:
        for name in sorted(expected.keys() | found.keys()):
            needed = list(expected[name].shape) if name in expected else "nothing"
            there = found.get(name, "nothing")
            if needed != there:
                raise InputError(
                    f"{self.weights} does not fit {self.path}/config.json: {name} is {there} "
                    f"and should be {needed}"
                )

    @property
    def guarantee(self) -> Guarantee | None:
        """What a private run promises each training image by its end; None of any other run."""
        return guarantee(self.plan.stages, self.config.get("data", {}).get("train", 0))

    @classmethod
    def create(
        cls, path: str | Path, *, plan: Plan, sides: Mapping[int, bool], **facts: Any
    ) -> Run:
        """A new folder with its config. Raises InputError where there is something already.

        sides: hash of an image → whether it is held out.
        """
        path = Path(path)
        check_free(path, f"choose another --out, or go on with --resume {path}")
        config = {
            "format": FORMAT,
            "preimage": preimage.__version__,
            "plan": to_json(plan),
            **facts,
        }
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        with readable_errors(path):
            try:
                for folder in (aside / "checkpoints", aside / "samples"):
                    folder.mkdir(parents=True, exist_ok=True)
                write_json(aside / "config.json", config)
                write_json(aside / SPLIT, split_to_json(sides), indent=None)
                if path.is_dir():
                    path.rmdir()  # it is empty
                aside.rename(path)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
        return cls(path, config)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in this folder. Raises InputError where it is none, or from a newer version."""
        path = Path(path)
        if not path.is_dir():
            what = "it is a file" if path.exists() else "there is no such folder"
            raise InputError(f"{path} is not a run: {what}")
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is not a run: it has no config.json")
        config = read_json(path / "config.json")
        if not isinstance(config, dict) or not isinstance(config.get("format"), int):
            raise InputError(f"{path} is not a run: its config.json names no format")
        if not isinstance(config.get("data", {}), dict):
            raise InputError(f"{path}/config.json has no valid data; put the file back as it was")
        if config["format"] > FORMAT:
            raise InputError(
                f"{path} was written by preimage {config.get('preimage', '?')}, in format "
                f"{config['format']}, newer than the {FORMAT} of this {preimage.__version__}; "
                "upgrade preimage"
            )
        return cls(path, config)

    def check_config(self, place: str) -> None:
        """Raises InputError where the config lacks something of what is needed, or has it wrong."""
        part = self.config.get(place)
        for name, kind in NEEDED[place].items():
            if not isinstance(part, dict) or not isinstance(part.get(name), kind):
                raise InputError(
                    f"{self.path}/config.json has no valid {place}.{name}; "
                    "put the file back as it was"
                )

    def check_resumable(self) -> None:
        """Raises InputError where the config lacks what going on needs, or has it wrong."""
        for place in NEEDED:
            self.check_config(place)
        if not isinstance(self.config.get("recipe"), str):
            raise InputError(
                f"{self.path}/config.json has no valid recipe; put the file back as it was"
            )
        if unknown := self.config["training"].keys() - NEEDED["training"].keys() - OPTIONAL:
            raise InputError(
                f"{self.path}/config.json: this version does not know training.{unknown.pop()}"
            )

    def check_own(self) -> None:
        """Raises InputError where training would write to, or delete, what a link points at.

        A run may come from anybody, and with it links to places that are none of its own.
        """
        names = ("checkpoints", "samples", "tensorboard", self.metrics_path.name, ".lock")
        check_no_links(*(self.path / name for name in names))
        check_no_links(self.weights, *self.checkpoints.glob("*"))

    def last_checkpoint(self) -> Path | None:
        """Where to go on from; None before the first checkpoint."""
        return pointed(self.checkpoints, "last") or latest(self.checkpoints)

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for aside in self.path.rglob(".*.part"):
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """What `load` reads."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
        write_bytes(self.weights, save(tensors))

    def save_picture(self, name: str, content: bytes) -> None:
        write_bytes(self.samples / name, content)

    # --- metrics.jsonl ---

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line of figures."""
        with readable_errors(self.metrics_path), self.metrics_path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of figures; a last line that a kill cut short is left out."""
        if not self.metrics_path.exists():
            return []
        records = []
        for line in self.metrics_path.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                break
            if not isinstance(record, dict) or not isinstance(record.get("step"), int):
                break
            records.append(record)
        return records

    def cut_metrics(self, step: int) -> None:
        """Drop the figures of steps after `step`."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        write_bytes(
            self.metrics_path, "".join(json.dumps(record) + "\n" for record in kept).encode()
        )


def load(path: str | Path) -> LatentModel:
    """The model of a run, in evaluation mode, with its best weights.

    Raises InputError where the folder is no run, is half-written, is from a newer version, or
    where its weights do not fit its config.
    """
    run = Run.open(path)
    expected = run.described()
    if not run.weights.is_file():
        raise InputError(f"{run.path} has no weights yet; train it with --resume {run.path}")
    try:
        weights = load_file(run.weights)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{run.weights} is broken: {error}") from None
    run._check_fit(expected, {name: list(tensor.shape) for name, tensor in weights.items()})
    model = build(run.plan.model)
    model.load_state_dict(weights)
    return model.eval()
