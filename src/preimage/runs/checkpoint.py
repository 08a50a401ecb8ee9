"""Checkpoints: a folder a step, complete or absent, with two pointers, `last` and `best`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from preimage.core import InputError
from preimage.runs.files import read_json, readable_errors, write_bytes, write_json
from preimage.training.trainer import State

TENSORS, NUMBERS = "state.safetensors", "state.json"
NAME = re.compile(r"[0-9]+-[0-9]+")  # STEP-STAGE


def save_checkpoint(folder: Path, step: int, state: State, *, is_best: bool) -> None:
    """Write `folder/STEP-STAGE`, then point `last` at it, and `best` if it is; then prune.

    A stage begins at the step at which the one before it ended, hence the stage in the name.
    """
    target = folder / f"{step:08d}-{state.numbers['stage']}"
    aside = folder / f".{target.name}.{os.getpid()}.part"
    with readable_errors(target):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
            write_bytes(aside / TENSORS, save(tensors))
            write_json(aside / NUMBERS, state.numbers)
            if target == pointed(folder, "last"):
                shutil.rmtree(aside)  # the same state, already there
            else:
                shutil.rmtree(target, ignore_errors=True)  # written, but never pointed at
                aside.rename(target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    write_bytes(folder / "last", target.name.encode())
    if is_best:
        write_bytes(folder / "best", target.name.encode())
    _prune(folder)


def _prune(folder: Path) -> None:
    """Delete checkpoints that neither pointer names, and what a killed process left half-done."""
    kept = {pointed(folder, "last"), pointed(folder, "best")}
    for path in (*_complete(folder), *folder.glob(".*.part")):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _complete(folder: Path) -> list[Path]:
    """Every checkpoint that is there, by step."""
    found = [path for path in folder.glob("*-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: [int(part) for part in path.name.split("-")])


def pointed(folder: Path, pointer: str) -> Path | None:
    """The checkpoint a pointer names; None where there is no pointer yet.

    Raises InputError where it names none: to begin again would throw what was trained away.
    """
    try:
        name = (folder / pointer).read_bytes().decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {folder / pointer}: {error.strerror}") from None
    path = folder / name
    if NAME.fullmatch(name) and path.is_dir():
        return path
    there = latest(folder)
    mend = f"write {there.name} into it" if there else "delete it to begin again"
    raise InputError(f"{folder / pointer} names no checkpoint; {mend}")


def latest(folder: Path) -> Path | None:
    """The checkpoint of the most steps: where to go on from if `last` was not written, or lost."""
    return next(reversed(_complete(folder)), None)


def load_checkpoint(path: Path) -> State:
    """The state in a checkpoint folder; raises InputError where it is broken."""
    numbers = read_json(path / NUMBERS)
    if not isinstance(numbers, dict):
        raise InputError(f"the checkpoint {path} is broken: {NUMBERS} holds no object")
    try:
        return State(load_file(path / TENSORS), numbers)
    except (SafetensorError, OSError) as error:
        raise InputError(f"the checkpoint {path} is broken: {error}") from None
