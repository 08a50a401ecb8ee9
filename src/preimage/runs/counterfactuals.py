"""What latents would be with an attribute changed, beside their run: counterfactual.safetensors.

One file holds both regressions and, in its header as JSON, what their columns mean; it is read
without pickle.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import preimage
from preimage.core import InputError
from preimage.exploration.attributes import Attribute
from preimage.exploration.counterfactual import Counterfactual
from preimage.exploration.curved import Regression
from preimage.runs.files import readable_errors, write_bytes

FILE, KEY = "counterfactual.safetensors", "counterfactual"
PARTS, NUMBERS = ("latent", "reader"), ("mean", "deviation", "low", "high")


def save_counterfactual(run: Path, found: Counterfactual) -> Path:
    """Write it to its run, in place of one that is there."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part in PARTS
        for name, tensor in getattr(found, part).state_dict().items()
    }
    tensors |= {name: getattr(found, name) for name in NUMBERS}
    facts = {
        "model": found.model,
        "space": found.space,
        "examples": found.examples,
        "columns": [[c.name, c.group, c.meaning] for c in found.columns],
    }
    header = {KEY: json.dumps(facts, ensure_ascii=False), "preimage": preimage.__version__}
    path = run / FILE
    write_bytes(path, save(tensors, metadata=header))
    return path


def load_counterfactual(run: Path) -> Counterfactual:
    """What `save_counterfactual` wrote. Raises InputError where there is none, or it is broken."""
    path = run / FILE
    if not path.is_file():
        raise InputError(
            f"{run} has no counterfactuals: there is no {FILE}; fit them with: preimage direction "
            f"{run} --counterfactual"
        )
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(header or "")
        found = Counterfactual(
            **{part: _regression(tensors, part) for part in PARTS},
            columns=tuple(_column(*column) for column in facts["columns"]),
            **{name: tensors[name] for name in NUMBERS},
            model=str(facts["model"]),
            space=facts["space"],
            examples=int(facts["examples"]),
        )
        _check(found)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is broken: {error}") from None
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError):
        raise InputError(f"{path} holds no counterfactuals that this version can read") from None
    return found


def has_counterfactual(run: Path) -> bool:
    return (run / FILE).is_file()


def remove_counterfactual(run: Path) -> Path:
    """Delete it. Raises InputError where there is none."""
    path = run / FILE
    if not path.is_file():
        raise InputError(f"{run} has no counterfactuals to remove")
    with readable_errors(path):
        path.unlink()
    return path


def _regression(tensors: dict[str, torch.Tensor], part: str) -> Regression:
    state = {
        name.removeprefix(f"{part}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{part}.")
    }
    outputs, inputs = state["linear.weight"].shape
    made = Regression(inputs, outputs, width=len(state["output.weight"].T))
    made.load_state_dict(state)
    return made.eval().requires_grad_(False)


def _check(found: Counterfactual) -> None:
    """Raises TypeError where its parts do not go together, or hold what is no number."""
    J, d = len(found.columns), found.latent.linear.out_features
    numbers = [getattr(found, name) for name in NUMBERS]
    weights = [*found.latent.parameters(), *found.reader.parameters()]
    names = [word for column in found.columns for word in (column.name, column.group)]
    meanings = [column.meaning for column in found.columns if column.meaning is not None]
    right = (
        J == found.latent.linear.in_features == found.reader.linear.out_features
        and d == found.reader.linear.in_features
        and all(tensor.shape == (J,) for tensor in numbers)
        and all(bool(tensor.isfinite().all()) for tensor in (*numbers, *weights))
        and bool((found.deviation > 0).all())
        and all(isinstance(word, str) for words in (names, *meanings) for word in words)
        and all(len(meaning) == 2 for meaning in meanings)
        and isinstance(found.space, str | None)
    )
    if not right:
        raise TypeError


def _column(name: str, group: str, meaning: list[str] | None) -> Attribute:
    return Attribute(name, torch.empty(0), group, None if meaning is None else tuple(meaning))  # type: ignore[arg-type]
