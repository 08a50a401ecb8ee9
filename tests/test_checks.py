"""The checks that are not tests of behaviour: format, lint, types, and the rooms contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["pyright"],
    "rooms": ["importlinter"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_check(name: str) -> None:
    module, *arguments = CHECKS[name]
    command = [sys.executable, "-m", module, *arguments]
    if module == "importlinter":
        command = [str(Path(sys.executable).with_name("lint-imports"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_source_file_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "src").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_no_test_imports_a_conftest() -> None:
    """Several folders have one, and which of them `conftest` names depends on the order."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if any(line.startswith("from conftest ") for line in path.read_text("utf-8").splitlines())
    ]
    assert not found
