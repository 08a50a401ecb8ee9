"""How a command ends that could not do its work: one line, and a status that says whose fault.

0 done; 2 the user's input is wrong, and the line names the file or option and the mend; 1 our
fault, with a traceback; 130 or 143 interrupted.
"""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any

import typer

from preimage.cli.output import printable

ClickException = typer.BadParameter.__mro__[2]  # typer has its own copy of click, or not

DONE, OURS, YOURS, INTERRUPTED = 0, 1, 2, 130


def complain(message: str) -> None:
    """One line on standard error."""
    print(printable(f"preimage: {' '.join(message.split())}"), file=sys.stderr, flush=True)


def status_of(error: BaseException, verbs: Iterable[str]) -> int:
    """Say what went wrong, and return the exit status."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    if isinstance(error, ClickException):
        complain(_usage(error, verbs))
        return YOURS
    if _is_input_error(error):
        complain(str(error))
        return YOURS
    traceback.print_exception(error)
    complain(
        f"this is our fault, not yours ({type(error).__name__}); please report the lines above"
    )
    return OURS


def _is_input_error(error: BaseException) -> bool:
    core = sys.modules.get("preimage.core")  # not loaded, so not the source of the error either
    return core is not None and isinstance(error, core.InputError)


def _usage(error: BaseException, verbs: Iterable[str]) -> str:
    """What is wrong with the command itself, and the nearest thing that is right."""
    context: Any = getattr(error, "ctx", None)
    path = "" if context is None else context.command_path
    verb = path.partition(" ")[2]  # without the program's own name; of two words, below another
    if (option := getattr(error, "option_name", None)) and type(error).__name__ == "NoSuchOption":
        known = [o for p in context.command.params for o in p.opts] if context else []
        return f"no option '{option}'{f' for {verb}' if verb else ''}; {_nearest(option, known)}"
    below = None if context is None else getattr(context.command, "commands", None)
    if below is not None and type(error).__name__ in ("UsageError", "NoSuchCommand"):
        words = getattr(context, "_protected_args", [])
        word = words[0] if words else _quoted(str(error))
        named = f"{verb} {word}".strip()
        return f"no verb '{named}'; {_nearest(word, below if verb else verbs)}"
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    return f"{message}; see preimage {f'{verb} ' if verb else ''}--help"


def _quoted(text: str) -> str:
    return text.split("'")[1] if text.count("'") >= 2 else text


def _nearest(name: str, known: Iterable[str]) -> str:
    # `core.errors` has the same, but below it lies torch, and a typing error should not wait.
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"choose from: {', '.join(known)}"
