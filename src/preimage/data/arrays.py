"""Images that come as arrays: NumPy files, IDX files, and arrays in memory.

NumPy files are read without pickle: an object array could run code when it is opened.
"""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from preimage.core import InputError

IMAGE_KEYS = ("images", "image", "x", "X", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "Y", "targets", "classes")
LARGE = 1 << 30  # bytes of an array that is mapped from the disk, and not held in memory
SIDES = {"train": ("train",), "test": ("test", "val", "valid", "validation")}


@dataclass(frozen=True)
class Part:
    """Some images of a set, in the layout and number type they came in."""

    images: np.ndarray  # (N, H, W), (N, H, W, C) or (N, C, H, W)
    labels: np.ndarray | None = None  # (N,)
    side: str = ""  # "train" or "test" where the set comes with a split


@dataclass(frozen=True)
class Arrays:
    """A whole set of images in arrays."""

    parts: list[Part]
    classes: tuple[str, ...] = ()
    attributes: dict[str, np.ndarray] = field(default_factory=dict)  # name → (N,) over all parts
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of coded attributes
    independent: bool = False  # known to be drawn independently: likeness is no leak


def read(path: Path, spool: Path) -> Arrays:
    """The images of a .npy, .npz or IDX file (perhaps gzipped), with what lies beside them.

    Arrays too large for memory are unpacked into a nameless file in the folder `spool`.

    Raises InputError where it holds no images, or pickled objects, or is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            return from_mapping(_read_npz(path, spool), str(path))
        if path.suffix == ".npz":
            raise InputError(f"{path} is not an .npz file: it is damaged, or something else")
        if is_idx(path):
            return read_idx(path)
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # a hostile file fails in many ways, want of memory among them
        raise InputError(_unreadable(path, error)) from None
    return Arrays([Part(images)])


def _read_npz(path: Path, spool: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        declared = sum(member.file_size for member in archive.infolist())
        large = [m for m in archive.infolist() if m.file_size > LARGE]
    packed = path.stat().st_size
    if declared > 4 << 30 and declared > 200 * packed:
        raise InputError(f"{path} unpacks {declared / packed:.0f}-fold: it looks like a bomb")
    names = {member.filename for member in large}
    with np.load(path, allow_pickle=False) as file:
        found = {key: file[key] for key in file.files if not names & {key, f"{key}.npy"}}
    for key, array in found.items():
        if not isinstance(array, np.ndarray):  # NumPy hands out such a member as bytes
            raise InputError(f"{path}: '{key}' in it is no array; save arrays with numpy.savez")
    with zipfile.ZipFile(path) as archive:
        for member in large:
            with archive.open(member) as stream:
                found[member.filename.removesuffix(".npy")] = _mapped(stream, spool)
    return found


def _mapped(stream: IO[bytes], spool: Path) -> np.ndarray:
    """An array in the .npy format, unpacked to the disk and mapped from there."""
    with tempfile.TemporaryFile(dir=spool) as file:
        shutil.copyfileobj(stream, file, 1 << 24)
        file.seek(0)
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0}
        header = headers.get(version, np.lib.format.read_array_header_2_0)
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded")
        order = "F" if fortran else "C"
        return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape, order=order)


def _unreadable(path: Path, error: Exception) -> str:
    if any(word in str(error) for word in ("pickle", "Object arrays", "Python objects")):
        return f"{path} holds pickled objects, which can run code; save plain arrays of numbers"
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{path} cannot be read: {text}; save its arrays again with numpy.save or numpy.savez"


def from_mapping(arrays: Mapping[str, np.ndarray], where: str) -> Arrays:
    """Arrays by name → images, labels and attributes, by the names in common use.

    `images` and `labels`; `train_images`, `test_labels`; `x_train`, `y_test`; … Any other array
    with one number an image is an attribute, and `factors` (N, k) is k of them.
    """
    parts = [
        Part(arrays[images], arrays[labels] if labels else None, side)
        for side, names in SIDES.items()
        if (images := _key(arrays, _sided(IMAGE_KEYS, names)))
        for labels in [_key(arrays, _sided(LABEL_KEYS, names))]
    ]
    if parts and parts[0].side == "test":
        parts = [Part(parts[0].images, parts[0].labels)]  # one side alone is no split
    if not parts:
        images, labels = _key(arrays, IMAGE_KEYS), _key(arrays, LABEL_KEYS)
        if images is None and len(arrays) == 1:
            images = next(iter(arrays))
        if images is None:
            known = ", ".join(arrays) or "nothing"
            raise InputError(f"{where} has no array named 'images' or 'train_images', but: {known}")
        n = len(arrays[images]) if arrays[images].ndim else 0
        if labels and arrays[labels].shape[:1] != (n,):
            labels_n = len(arrays[labels]) if arrays[labels].ndim else 1
            raise InputError(f"{where}: {labels_n} labels do not match {n} images")
        if labels and arrays[labels].ndim > 1:
            labels = None
        parts = [Part(arrays[images], arrays[labels] if labels else None)]
        return Arrays(parts, (), _attributes(arrays, {images, labels}, n))
    return Arrays(parts)


def _sided(keys: tuple[str, ...], sides: tuple[str, ...]) -> list[str]:
    return [form for side in sides for key in keys for form in (f"{side}_{key}", f"{key}_{side}")]


def _key(arrays: Mapping[str, np.ndarray], candidates: tuple[str, ...] | list[str]) -> str | None:
    return next((key for key in candidates if key in arrays), None)


def _attributes(
    arrays: Mapping[str, np.ndarray], used: set[str | None], n: int
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for key, values in arrays.items():
        if key in used or values.dtype.kind not in "biuf" or values.shape[:1] != (n,):
            continue
        if values.ndim == 1:
            found[key] = values.astype(np.float32)
        elif values.ndim == 2:
            names = arrays.get(f"{key.removesuffix('s')}_names")
            known = names is not None and names.shape == values.shape[1:]
            for column in range(values.shape[1]):
                name = str(names[column]) if names is not None and known else f"{key}_{column}"
                found[name] = values[:, column].astype(np.float32)
    return found


# --- IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist/ ---------------------------------

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_SIDES = {"train": "train", "t10k": "test", "test": "test"}


def is_idx(path: Path) -> bool:
    """Whether a file, perhaps gzipped, begins as an IDX file does."""
    try:
        with _open_idx(path) as file:
            magic = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return (
        len(magic) == 4
        and magic[:2] == b"\0\0"
        and magic[2] in _IDX_TYPES
        and magic[3] in range(1, 5)
    )


def read_idx(path: Path) -> Arrays:
    """An IDX file of images, and the labels that lie beside it under the usual name."""
    return Arrays([_idx_part(path)])


def idx_folder(folder: Path) -> Arrays | None:
    """The MNIST-like set in a folder that holds its four (or two) IDX files, if it does."""
    files = sorted(p for p in folder.iterdir() if "-idx3-" in p.name or ".idx3-" in p.name)
    parts = [_idx_part(path) for path in files if is_idx(path)]
    if not parts:
        return None
    parts.sort(key=lambda part: part.side != "train")
    if {part.side for part in parts} != {"train", "test"} or len(parts) != 2:
        parts = [Part(part.images, part.labels) for part in parts]
    return Arrays(parts)


def _idx_part(path: Path) -> Part:
    images = idx_array(path)
    if images.ndim < 3:
        raise InputError(f"{path} holds labels or vectors; name the file of images (idx3)")
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    beside = [path.with_name(name), path.with_name(name.removesuffix(".gz"))]
    beside.append(path.with_name(name + ".gz"))
    labels = next((idx_array(p) for p in beside if p != path and p.is_file()), None)
    if labels is not None and labels.shape != images.shape[:1]:
        raise InputError(f"{path}: {len(labels)} labels do not match {len(images)} images")
    side = next((s for start, s in _IDX_SIDES.items() if path.name.startswith(start)), "")
    return Part(images, labels, side)


def idx_array(path: Path) -> np.ndarray:
    """The array in an IDX file: two zero bytes, a type, the number of axes, their lengths, data."""
    try:
        with _open_idx(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
                raise InputError(f"{path} is not an IDX file")
            shape = np.frombuffer(file.read(4 * head[3]), ">u4").tolist()
            dtype = np.dtype(_IDX_TYPES[head[2]])
            size = math.prod(shape) * dtype.itemsize
            if size > 64 << 30:
                raise InputError(f"{path} declares {size / 2**30:.0f} GiB, more than can be read")
            data = bytearray()
            while len(data) < size and (block := file.read(min(1 << 24, size - len(data)))):
                data += block
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if len(data) != size or len(shape) != head[3]:
        raise InputError(f"{path} is cut short: {len(data)} of {size} bytes")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _open_idx(path: Path):
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if gzipped else path.open("rb")


# --- any array of images → (N, C, H, W) ----------------------------------------------------------


def channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """A view (N, C, H, W) of images in any of the layouts in use, C in 1 … 4.

    Raises InputError where the array is none of them.
    """
    if images.dtype.kind not in "biuf":
        raise InputError(f"{where} holds {images.dtype}, not numbers")
    if images.ndim == 3 and images.shape[-1] in (3, 4) and images.shape[0] > 4:
        images = images[None]  # one colour image
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[-1] in (1, 2, 3, 4):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4):
        shape = "×".join(map(str, images.shape)) or "a single number"
        layouts = "(N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise InputError(f"{where} is {shape}; give images as {layouts} with 1 to 4 channels")
    if 0 in images.shape:
        raise InputError(f"{where} holds no images")
    return images


def natural_range(arrays: list[np.ndarray]) -> tuple[float, float] | None:
    """What the numbers mean: None for 8-bit values, else (lowest, highest), one for all images.

    Floats within [0, 1], [−1, 1] or [0, 255] are taken to mean those; other numbers, and integers
    of more than 8 bits, mean their own smallest and largest.
    """
    if all(a.dtype in (np.uint8, np.bool_) for a in arrays):
        return None
    blocks = [a[i : i + 1024] for a in arrays for i in range(0, len(a), 1024)]
    finite = [b[np.isfinite(b)] if b.dtype.kind == "f" else b for b in blocks]
    low = min((float(b.min()) for b in finite if b.size), default=0.0)
    high = max((float(b.max()) for b in finite if b.size), default=1.0)
    if all(a.dtype.kind in "bi" or a.dtype == np.uint8 for a in arrays) and low >= 0 and high < 256:
        return None
    if any(a.dtype.kind == "f" for a in arrays):
        for usual in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
            if usual[0] <= low and high <= usual[1]:
                return usual
    return (low, high) if high > low else (low, low + 1)
