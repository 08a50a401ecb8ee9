"""What a source is: a folder, an archive, an array file, a name; and how each is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.data import archives, arrays, digits, folders, hub, named
from preimage.data.archives import Item, Skipped
from preimage.data.arrays import Arrays, Part
from preimage.data.assemble import Raw
from preimage.data.convert import convert_arrays
from preimage.data.decoding import Decoded, Known, Progress, Stamp, decode_files
from preimage.data.options import Options


@dataclass
class Reading:
    """How a source is to be read."""

    options: Options
    folder: Path  # where the map is written
    workers: int | None = None
    progress: Progress | None = None
    known: Known | None = None  # what an earlier reading of the same source decoded


class Source(Protocol):
    """Somewhere images come from."""

    @property
    def name(self) -> str:
        """A short name for people."""
        ...

    @property
    def where(self) -> str:
        """The same text for the same source, always."""
        ...

    @property
    def stamp(self) -> Any:
        """JSON that changes whenever the content may have changed."""
        ...

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        """The images, and a manifest from which `Known` can be made (or None)."""
        ...


def find(source: str | os.PathLike[str], base: Path) -> Source:
    """The source a person means: a name that is known, else a path.

    Raises InputError where there is neither.
    """
    text = os.fspath(source)
    if not text:
        raise InputError("no data was named; give a folder, a file or the name of a data set")
    if text.startswith("hf:"):
        return hub.HubSource(text)
    if named_source := _named(text, base):
        return named_source
    path = Path(text).expanduser()
    if path.is_dir():
        if (inside := arrays.idx_folder(path)) is not None:
            return ArraySource(path.name, path.resolve(), lambda _: inside)
        return FolderSource(path)
    if path.is_file():
        if path.suffix.lower() in (".npy", ".npz") or arrays.is_idx(path):
            return ArraySource(path.stem, path.resolve(), lambda spool: arrays.read(path, spool))
        if archives.is_archive(path):
            return ArchiveSource(path)
        if path.name.lower().endswith(archives.ENDINGS):
            raise InputError(f"{text} is a damaged or empty archive, or none; copy it here again")
        return FileSource(path)
    if path.exists():
        raise InputError(f"{text} is neither a file nor a folder")
    mend = nearest_name(text, named.DATASETS)
    raise InputError(f"no file or folder '{text}', nor a data set of that name; {mend}")


def is_name(source: str | os.PathLike[str]) -> bool:
    """Whether this means a set that is known by name, even where a folder is called the same."""
    text = os.fspath(source)
    return text.startswith("hf:") or text.partition(":")[0] in named.DATASETS


def recorded(source: str | os.PathLike[str]) -> str:
    """A text that means the same source from any folder."""
    return os.fspath(source) if is_name(source) else str(Path(source).expanduser().absolute())


def shadowed(source: str | os.PathLike[str]) -> str:
    """A note where the name of a set is that of something here too."""
    here = is_name(source) and Path(source).exists()
    return f"{source} is the data set of that name; ./{source} is what lies here." if here else ""


def is_gone(source: str) -> bool:
    """Whether this is a path at which there is nothing any more."""
    return not is_name(source) and not os.path.exists(os.path.expanduser(source))


def _named(text: str, base: Path) -> Source | None:
    name, _, details = text.partition(":")
    known = named.DATASETS.get(name)
    if known is None:
        return None
    if details and name != "faces":
        raise InputError(f"'{text}' is no data set; only faces takes more, as in faces:20000")
    if name == "digits":
        return BuiltIn(name, text, "1", lambda _: _digits(known.classes), small=True)
    if name == "faces":
        return _faces(text, known.images)
    return ArraySource(
        name, Path(name), lambda _: named.read(known, named.download(known, base)), name
    )


def _digits(classes: tuple[str, ...]) -> Arrays:
    images, labels = digits.arrays()
    return Arrays([Part(images, labels)], classes)


def _faces(text: str, usual: int) -> Source:
    """`faces`, `faces:20000`, `faces:correlated`, `faces:20000:correlated`."""
    details = text.split(":")[1:]
    correlated = "correlated" in details
    counts = [part for part in details if part != "correlated"]
    if len(counts) > 1 or not all(part.isdecimal() and int(part) > 0 for part in counts):
        raise InputError(f"'{text}' is no data set; give faces, faces:20000 or faces:correlated")
    n = int(counts[0]) if counts else usual

    def make(options: Options) -> Arrays:
        from preimage.data import faces

        factors = faces.sample(n, correlated=correlated)
        images = faces.render(factors, max(64, *(options.size or (64, 64))))
        values = {key: value.astype(np.float32) for key, value in factors.items()}
        categories = {factor.name: factor.values for factor in faces.FACTORS if factor.values}
        return Arrays([Part(images)], (), values, categories, independent=True)

    return BuiltIn("faces", f"faces:{n}:{correlated}", _faces_version(), make)


def _faces_version() -> str:
    """A hash of the code that draws the faces: a better drawing is another data set."""
    code = sorted(Path(__file__).with_name("faces").glob("*.py"))
    return hashlib.blake2b(b"".join(file.read_bytes() for file in code), digest_size=8).hexdigest()


def _convert(made: Arrays, where: str, reading: Reading) -> Raw:
    path = reading.folder / "images.npy"
    return convert_arrays(made, reading.options, where, path=path, progress=reading.progress)


def _file_stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass
class BuiltIn:
    """A set that the package makes itself."""

    name: str
    where: str
    stamp: str
    make: Callable[[Options], Arrays]
    small: bool = False  # made anew each time, not kept on disk

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        return _convert(self.make(reading.options), self.name, reading), None


@dataclass
class ArraySource:
    """A file of arrays, a folder of IDX files, or a set that is downloaded as one."""

    name: str
    path: Path
    make: Callable[[Path], Arrays]  # from a folder for large arrays
    download: str = ""

    @property
    def where(self) -> str:
        return self.download or str(self.path)

    @property
    def stamp(self) -> Any:
        if self.download:
            return "1"
        if self.path.is_dir():
            return [(f.name, *_file_stamp(f)) for f in sorted(self.path.iterdir()) if f.is_file()]
        return _file_stamp(self.path)

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        return _convert(self.make(reading.folder), self.where, reading), None


@dataclass
class FolderSource:
    """A folder of image files, any depth."""

    path: Path
    _listing: tuple[list[Item], list[Stamp], Skipped] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.path.resolve().name or "data"

    @property
    def where(self) -> str:
        return str(self.path.resolve())

    @property
    def listing(self) -> tuple[list[Item], list[Stamp], Skipped]:
        if self._listing is None:
            self._listing = folders.scan(self.path)
        return self._listing

    @property
    def stamp(self) -> Any:
        items, stamps, _ = self.listing
        return [(item.name, *stamp) for item, stamp in zip(items, stamps, strict=True)]

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        return read_files(self.where, *self.listing, reading)


@dataclass
class FileSource:
    """One image file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def where(self) -> str:
        return str(self.path.resolve())

    @property
    def stamp(self) -> Any:
        return _file_stamp(self.path)

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        items = [Item(self.path.name, str(self.path))]
        return read_files(self.where, items, [_file_stamp(self.path)], [], reading)


@dataclass
class ArchiveSource:
    """A zip or tar of a folder of images."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name.split(".")[0]

    @property
    def where(self) -> str:
        return str(self.path.resolve())

    @property
    def stamp(self) -> Any:
        return _file_stamp(self.path)

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        with archives.removed_after(reading.folder / "members.bin") as members:
            items, skipped = archives.unpack(self.path, members)
            if not items and not skipped:
                raise InputError(f"{self.path} is an empty archive; pack images into it")
            items.sort(key=lambda item: item.name)
            stamps = [(item.length, 0) for item in items]
            raw, _ = read_files(self.where, items, stamps, skipped, reading)
        return raw, None


def read_files(
    where: str, items: list[Item], stamps: list[Stamp], skipped: Skipped, reading: Reading
) -> tuple[Raw, Any]:
    """Decode files, and read classes and sides from the folders they lie in."""
    if (split := reading.options.split) is not None:
        kept = [i for i, item in enumerate(items) if folders.side(item.name) == split]
        if not kept:
            raise InputError(f"{where} has no folder '{split}', so split='{split}' is not possible")
        items, stamps = [items[i] for i in kept], [stamps[i] for i in kept]
    try:
        decoded = decode_files(
            items,
            stamps,
            reading.options,
            reading.folder,
            skipped=skipped,
            workers=reading.workers,
            progress=reading.progress,
            known=reading.known,
        )
    except InputError as error:
        raise InputError(f"{where} {error}") from None
    raw = decoded.raw
    found = folders.structure(raw.names)
    raw.sides, raw.labels, raw.classes = found.sides, found.labels, found.classes
    raw.notes += found.notes
    return raw, _manifest(decoded, stamps)


def _manifest(decoded: Decoded, stamps: list[Stamp]) -> Any:
    rows = [
        [name, *stamps[item], asdict(header)]
        for name, item, header in zip(
            decoded.raw.names, decoded.items, decoded.headers, strict=True
        )
    ]
    return {"target": asdict(decoded.target), "rows": rows}
