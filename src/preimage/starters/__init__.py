"""Two small runs that ship, so that the studio has something alive to show within seconds.

`faces` is a convolutional VAE of the drawn faces, with directions for all that is known of them;
`digits` is a VAE of the handwritten digits with two latents, whose map is its latent space. Both
were trained by `python -m preimage.starters.make`, on images that come with the package, and their
weights are kept in half precision: under five megabytes together.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from pathlib import Path

from preimage.data.cache import root

SHIPPED = Path(__file__).parent / "runs"
NAMES = ("faces", "digits")  # the first is what the studio opens


def runs() -> dict[str, Path]:
    """The runs' folders, by name: copies in the cache folder, where the studio may write to them.

    A copy is made when it is first asked for, written aside and renamed whole; other weights that
    ship later are copied beside it.
    """
    return {name: _copied(name) for name in NAMES}


def _copied(name: str) -> Path:
    there = root() / "starters" / _digest(SHIPPED / name) / name
    if not there.exists():
        aside = there.with_name(f".{name}.{uuid.uuid4().hex}.part")
        shutil.copytree(SHIPPED / name, aside)
        try:
            aside.rename(there)
        except OSError:  # another process was first
            shutil.rmtree(aside, ignore_errors=True)
            if not there.exists():
                raise
    return there


def _digest(folder: Path) -> str:
    """A short name for what the files of a folder hold."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    return found.hexdigest()[:12]
