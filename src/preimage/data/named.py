"""Data sets known by name: two that ship, four that are downloaded and checked."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preimage.core import InputError
from preimage.data.arrays import Arrays, Part, idx_folder

_FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclass(frozen=True)
class NamedSet:
    """A data set that can be asked for by name."""

    name: str
    what: str
    images: int
    shape: tuple[int, int, int]  # channels, height, width
    licence: str
    ships: bool = False  # with the package; else downloaded on first use
    classes: tuple[str, ...] = ()
    url: str = ""  # where its files lie
    files: tuple[tuple[str, str], ...] = ()  # name, known hash


_IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _idx_files(*hashes: str) -> tuple[tuple[str, str], ...]:
    return tuple(zip(_IDX_NAMES, hashes, strict=True))


DATASETS = {
    "digits": NamedSet(
        "digits",
        "handwritten digits from scikit-learn",
        1797,
        (1, 8, 8),
        "CC BY 4.0 (UCI)",
        ships=True,
        classes=tuple("0123456789"),
    ),
    "faces": NamedSet(
        "faces",
        "drawn faces with every factor known; faces:N for N of them",
        10_000,
        (3, 64, 64),
        "Apache-2.0",
        ships=True,
    ),
    "mnist": NamedSet(
        "mnist",
        "handwritten digits",
        70_000,
        (1, 28, 28),
        "CC BY-SA 3.0",
        classes=tuple("0123456789"),
        url="https://storage.googleapis.com/cvdf-datasets/mnist/",
        files=_idx_files(
            "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion-mnist": NamedSet(
        "fashion-mnist",
        "clothes and shoes",
        70_000,
        (1, 28, 28),
        "MIT",
        classes=_FASHION_CLASSES,
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files=_idx_files(
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            "md5:bef4ecab320f06d8554ea6380940ec79",
            "md5:bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": NamedSet(
        "kmnist",
        "cursive Japanese characters",
        70_000,
        (1, 28, 28),
        "CC BY-SA 4.0",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        files=_idx_files(
            "md5:bdb82020997e1d708af4cf47b453dcf7",
            "md5:e144d726b3acfaa3e44228e80efcd344",
            "md5:5c965bf0a639b31b8f53240b1b52f4d7",
            "md5:7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    "cifar10": NamedSet(
        "cifar10",
        "small photos of ten kinds of things",
        60_000,
        (3, 32, 32),
        "research use (Krizhevsky 2009)",
        classes=_CIFAR_CLASSES,
        url="https://www.cs.toronto.edu/~kriz/",
        files=(("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),),
    ),
}


def datasets() -> list[NamedSet]:
    """Every data set that `load` takes by name."""
    return list(DATASETS.values())


def download(named: NamedSet, base: Path) -> list[Path]:
    """The files of a set below the cache folder `base`, fetched where they are not there yet.

    Raises InputError where they cannot be had, or are not the files they should be.
    """
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        return [
            Path(
                pooch.retrieve(
                    named.url + file,
                    known_hash=known_hash,
                    fname=file,
                    path=base / "downloads" / named.name,
                )
            )
            for file, known_hash in named.files
        ]
    except Exception as error:  # the network has many ways to fail
        if isinstance(error, PermissionError):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        mend = "check the network, or give a folder or file you have"
        raise InputError(f"{named.name} cannot be downloaded: {why}; {mend}") from None
    finally:
        logger.setLevel(level)


def read(named: NamedSet, files: list[Path]) -> Arrays:
    """The images and labels of a downloaded set, with the split it comes with."""
    if named.name == "cifar10":
        return Arrays(cifar_parts(files[0]), named.classes)
    found = idx_folder(files[0].parent)
    if found is None:
        raise InputError(f"{files[0].parent} holds no IDX files; delete it to download them again")
    return Arrays(found.parts, named.classes)


def cifar_parts(path: os.PathLike[str]) -> list[Part]:
    """The binary version of CIFAR-10: records of one label byte and 3 × 32 × 32 pixel bytes.

    Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). Unlike the Python
    version it needs no pickle.
    """
    rows: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    try:
        with tarfile.open(path) as archive:
            members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
            for name in sorted(members):
                side = "train" if name.startswith("data_batch") else "test"
                stream = archive.extractfile(members[name]) if name.endswith(".bin") else None
                if stream is not None:
                    data = np.frombuffer(io.BytesIO(stream.read()).getbuffer(), np.uint8)
                    rows[side].append(data.reshape(-1, 1 + 3 * 32 * 32))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not CIFAR-10's binary archive: {error}") from None
    parts = []
    for side, batches in rows.items():
        if not batches:
            raise InputError(f"{path} has no {side} batch; it is not CIFAR-10's binary archive")
        all_rows = np.concatenate(batches)
        images = all_rows[:, 1:].reshape(-1, 3, 32, 32)
        parts.append(Part(images, all_rows[:, 0].astype(np.int64), side))
    return parts
