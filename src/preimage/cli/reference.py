"""`docs/commands.md`, written from the command line itself.

python -m preimage.cli.reference > docs/commands.md
"""

from __future__ import annotations

from typing import Any

import typer

from preimage.cli.main import app

HEAD = """\
# Commands

Written by `python -m preimage.cli.reference` from the command line itself.

Results go to standard output, progress and remarks to standard error. `--json` prints one JSON
object, and nothing else, to standard output.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | our fault: a traceback, and a line that says so |
| 2 | the input is wrong: one line that names the file or option, and the mend |
| 130, 143 | interrupted by Ctrl-C, or by SIGTERM; training was saved and goes on with `--resume` |
"""


WIDTH = 88


def reference() -> str:
    """What `--help` says of every verb, as Markdown."""
    group: Any = typer.main.get_command(app)
    settings = {"terminal_width": WIDTH, "help_option_names": ["-h", "--help"]}
    root = typer.Context(group, info_name="preimage", **settings)
    sections = [HEAD, _block("preimage", group.get_help(root))]
    sections += _sections(group, root)
    return "\n".join(sections)


def _sections(group: Any, above: typer.Context) -> list[str]:
    """One for each verb, and after it those of the verbs below it."""
    found = []
    for name, verb in group.commands.items():
        context = typer.Context(verb, info_name=name, parent=above, terminal_width=WIDTH)
        found.append(_block(context.command_path, verb.get_help(context)))
        if hasattr(verb, "commands"):
            found += _sections(verb, context)
    return found


def _block(title: str, text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join([f"## {title}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    print(reference(), end="")
