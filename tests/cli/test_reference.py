"""The documentation of the commands is what the commands say."""

from __future__ import annotations

from pathlib import Path

from preimage.cli.main import VERBS
from preimage.cli.reference import reference

COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_reference_is_up_to_date() -> None:
    again = "out of date: python -m preimage.cli.reference > docs/commands.md"
    assert COMMANDS.read_text(encoding="utf-8") == reference(), again


def test_every_option_is_explained() -> None:
    for name in VERBS:
        assert f"## preimage {name}\n" in reference()
    for line in reference().splitlines():
        if line.lstrip().startswith("--"):
            assert len(line.split("  ")) > 1, line
