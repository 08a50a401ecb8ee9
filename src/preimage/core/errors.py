"""Errors that are the user's to mend: one line that names the file or option, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The input is wrong. The message is one line; the command line exits with status 2."""


class Unsupported(InputError):
    """A model was asked for something its kind cannot do (a GAN has no encoder)."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """`"did you mean 'x'?"`, or the whole list where nothing is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"choose from: {', '.join(known)}"
