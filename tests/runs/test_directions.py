"""Directions on disk: whole, the same again, of one model, and of names that are safe."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from preimage.core import InputError
from preimage.exploration.direction import Direction
from preimage.runs.directions import (
    all_directions,
    check_name,
    direction_names,
    direction_path,
    export_direction,
    import_direction,
    load_direction,
    remove_direction,
    save_direction,
)


def direction(
    name: str = "smile", *, labelled: bool = True, shape: tuple[int, ...] = (4,)
) -> Direction:
    return Direction(
        name,
        torch.randn(shape),
        "0123456789abcdef",
        "joint",
        space=None,
        normal=torch.randn(shape) if labelled else None,
        offset=0.1,
        mean=-2.5,
        deviation=3.0,
        meaning=("no", "yes"),
        conditioned=("age", "haar-länge"),
        report={
            "examples": 7,
            "accuracy": {"value": 0.9, "low": 0.8, "high": 1.0},
            "correlations": {"age": 0.25},
        },
    )


@pytest.mark.parametrize("name", ["smile", "hair:red", "Lächeln 2", "a.b-c_d+e"])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)], ids=["flat", "spatial"])
def test_what_was_saved_is_loaded(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    for labelled in (True, False):
        written = direction(name, labelled=labelled, shape=shape)
        save_direction(tmp_path, written)
        again = load_direction(tmp_path, name)
        for field in fields(Direction):
            a, b = getattr(written, field.name), getattr(again, field.name)
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name
    assert direction_names(tmp_path) == [name]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../smile", "a/b", "a\\b", ".hidden", "smile=2", "a\nb", " a", "a.", "x" * 101],
)
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    for attempt in (
        lambda: save_direction(tmp_path, direction(name)),
        lambda: load_direction(tmp_path, name),
        lambda: remove_direction(tmp_path, name),
    ):
        with pytest.raises(InputError, match="cannot name a direction"):
            attempt()
    assert not list(tmp_path.rglob("*"))


def test_two_names_are_two_files(tmp_path: Path) -> None:
    names = ["hair:red", "hair-red", "hair red", "hair.red"]
    assert len({direction_path(tmp_path, name) for name in names}) == len(names)
    for name in names:
        save_direction(tmp_path, direction(name))
    assert sorted(all_directions(tmp_path)) == sorted(names)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no direction 'smile'; fit one with: preimage direction"):
        load_direction(tmp_path, "smile")
    save_direction(tmp_path, direction())
    (tmp_path / "directions/smile.png").write_bytes(b"a sheet")
    with pytest.raises(InputError, match="did you mean 'smile'"):
        load_direction(tmp_path, "smiel")
    remove_direction(tmp_path, "smile")
    assert not list((tmp_path / "directions").iterdir())
    with pytest.raises(InputError, match="no direction 'smile'"):
        remove_direction(tmp_path, "smile")


def test_a_shared_file_stands_by_itself(tmp_path: Path) -> None:
    written = direction("hair:red")
    path = export_direction(written, tmp_path / "somewhere/else.safetensors")
    assert import_direction(path).name == "hair:red"
    assert torch.equal(import_direction(path).vector, written.vector)


def test_files_that_are_no_directions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    with pytest.raises(InputError, match="no such file"):
        import_direction(path)
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match="is broken"):
        import_direction(path)
    vector = {"vector": torch.ones(3)}
    facts = {
        "name": "smile", "model": "m", "method": "ridge", "space": None, "offset": 0, "mean": 0,
        "deviation": 1, "conditioned": [], "report": {},
    }  # fmt: skip
    save_file(vector, path, {"direction": json.dumps(facts)})
    assert import_direction(path).name == "smile"
    for header in (
        None,
        "no json",
        "[" * 100_000,
        json.dumps([]),
        json.dumps({**facts, "mean": "high"}),
        json.dumps({**facts, "name": 3}),
        json.dumps({**facts, "deviation": float("nan")}),
        json.dumps({**facts, "conditioned": "age"}),
        json.dumps({**facts, "unknown": 3}),
        json.dumps({**facts, "report": []}),
        json.dumps({**facts, "report": {"accuracy": "x"}}),
        json.dumps({**facts, "report": {"accuracy": {"value": 1}}}),
        json.dumps({**facts, "report": {"correlations": {"age": None}}}),
        json.dumps({**facts, "deviation": 0}),
        json.dumps({**facts, "meaning": [1, 2]}),
        json.dumps({**facts, "meaning": "no"}),
        json.dumps({k: v for k, v in facts.items() if k != "model"}),
    ):
        save_file(vector, path, None if header is None else {"direction": header})
        with pytest.raises(InputError, match="not a direction that this version can read"):
            import_direction(path)
    save_file(vector, path, {"direction": json.dumps({**facts, "name": "../up"})})
    with pytest.raises(InputError, match="cannot name a direction"):
        import_direction(path)
    for tensors in ({"vector": torch.tensor([torch.nan])}, {"normal": torch.ones(3)}):
        save_file(tensors, path, {"direction": json.dumps(facts)})
        with pytest.raises(InputError, match="not a direction"):
            import_direction(path)
    for normal in (torch.ones(4), torch.full((3,), torch.inf)):
        save_file({**vector, "normal": normal}, path, {"direction": json.dumps(facts)})
        with pytest.raises(InputError, match="not a direction"):
            import_direction(path)


def test_names_with_letters_of_any_language_pass() -> None:
    for name in ("笑", "улыбка", "a", "42", "class:3"):
        check_name(name)


def test_a_broken_file_stops_only_who_needs_it(tmp_path: Path) -> None:
    save_direction(tmp_path, direction("smile"))
    direction_path(tmp_path, "glasses").write_bytes(b"hello")
    with pytest.warns(UserWarning, match=r"glasses\.safetensors is broken.*left out"):
        assert list(all_directions(tmp_path)) == ["smile"]
    with pytest.warns(UserWarning, match="left out"):
        assert list(all_directions(tmp_path, needed=["smile"])) == ["smile"]
    with pytest.raises(InputError, match="is broken"):
        all_directions(tmp_path, needed=["glasses"])
