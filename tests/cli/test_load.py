"""Whether threads may spin while they wait: only where nobody else wants the processors."""

import pytest

from preimage.cli import load


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0.10 0.20 0.30 1/190 8793\n", False),  # quiet
        ("3.90 2.20 1.30 4/190 8793\n", True),  # three others of four processors
        ("3.90 2.20 1.30 1/190 8793\n", False),  # what kept them busy has just ended
        ("0.40 2.20 1.30 4/190 8793\n", False),  # a moment's work of others
        ("nothing that is known", False),
    ],
)
def test_load_of_the_last_minute_and_of_now(monkeypatch, tmp_path, said, expected):
    monkeypatch.setattr(load, "LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(load.os, "cpu_count", lambda: 4)
    load.LOAD.write_text(said)
    assert load.busy() is expected


def test_without_that_file_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "LOAD", tmp_path / "missing")
    assert load.busy() is False
