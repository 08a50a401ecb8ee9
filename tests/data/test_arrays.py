"""Arrays in files and in memory: layouts, number types, names, and what is refused."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from smooth import picture

from preimage import data
from preimage.core import ImageSpec, InputError

COLOUR = np.stack([picture(seed) for seed in range(10)])
GREY = COLOUR[..., 0]


@pytest.mark.parametrize(
    "images", [COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR.astype(np.int64), COLOUR / 255.0]
)
def test_every_layout_and_number_type_gives_the_same_images(images):
    expected = COLOUR.transpose(0, 3, 1, 2) / 127.5 - 1
    found = data.from_arrays(images)
    assert found.spec == ImageSpec(3, 32, 32)
    assert np.abs(found.batch(range(10)).numpy() - expected).max() < 2e-4


def test_floats_in_minus_one_to_one_are_taken_as_such():
    values = GREY / 127.5 - 1
    assert np.abs(data.from_arrays(values).batch(range(10)).numpy()[:, 0] - values).max() < 1e-4


def test_sixteen_bit_arrays_keep_their_depth():
    values = np.arange(4 * 1024, dtype=np.uint16).reshape(4, 32, 32)
    found = data.from_arrays(values)
    assert found.images.dtype == np.uint16
    assert len(np.unique(found.images)) == 4096
    assert found.value_range == (0, 4095)


def test_bits_are_black_and_white():
    assert set(np.unique(data.from_arrays(GREY > 99).images)) == {0, 255}


def test_batches_round_trip_bytes():
    found = data.from_arrays(GREY)
    batch = found.batch([3, 1])
    assert batch.dtype.is_floating_point
    assert np.array_equal(np.rint((batch[:, 0].numpy() + 1) * 127.5), GREY[[3, 1]])


def test_colour_arrays_that_are_grey_become_grey():
    assert data.from_arrays(GREY[..., None].repeat(3, -1)).spec.channels == 1
    assert data.from_arrays(GREY, channels=3).spec.channels == 3


def test_transparent_arrays_lie_over_the_background():
    clear = np.zeros((2, 32, 32, 4), np.uint8)
    clear[0, :, :, 1], clear[0, :, :, 3] = 200, 128
    found = data.from_arrays(clear, background="blue")
    assert np.abs(found.images[0, :, 0, 0].astype(int) - (0, 100, 127)).max() <= 1
    assert found.images[1, :, 0, 0].tolist() == [0, 0, 255]


def test_arrays_are_resized():
    assert data.from_arrays(COLOUR, size=16).spec == ImageSpec(3, 16, 16)
    assert data.from_arrays(COLOUR[:, :20]).spec == ImageSpec(3, 16, 16)


def test_label_names_and_numbers():
    named = data.from_arrays(GREY, ["cat", "dog"] * 5)
    assert named.classes == ("cat", "dog")
    assert named.batch_labels([1, 2]).tolist() == [1, 0]
    numbered = data.from_arrays(GREY, np.array([7, 3] * 5))
    assert numbered.classes == ("3", "7")
    assert data.from_arrays(GREY).batch_labels([0]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((GREY, [1, 2, 3]), r"labels \(3\) do not match 10 images"),
        ((GREY, np.linspace(0, 1, 10)), "whole numbers or names"),
        ((np.zeros((3, 4)),), "give images as"),
        ((np.zeros((0, 8, 8)),), "no images"),
        ((np.zeros((2, 8, 8, 8, 8)),), "give images as"),
        ((np.array(["a", "b"]),), "not numbers"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        data.from_arrays(*arguments)
    assert "\n" not in str(error.value)


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(InputError, match="do not fit 2 classes"):
        data.from_arrays(GREY, np.arange(10), classes=("a", "b"))
    with pytest.raises(InputError, match="attribute 'age'"):
        data.from_arrays(GREY, attributes={"age": np.zeros(3)})


@pytest.mark.parametrize(
    "keys",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
    ],
)
def test_npz_with_a_split(tmp_path, keys):
    arrays = (GREY[:7], np.arange(7) % 3, GREY[7:], np.zeros(3, int))
    np.savez(tmp_path / "set.npz", **dict(zip(keys, arrays, strict=True)))
    found = data.load(tmp_path / "set.npz")
    assert found.train.tolist() == list(range(7))
    assert found.heldout.tolist() == [7, 8, 9]
    assert found.classes == ("0", "1", "2")


def test_npz_with_factors(tmp_path):
    np.savez_compressed(
        tmp_path / "sprites.npz",
        images=COLOUR,
        factors=np.arange(20).reshape(10, 2),
        factor_names=np.array(["hair", "shoes"]),
        age=np.linspace(0, 1, 10),
        remark=np.array(["none"]),
    )
    found = data.load(tmp_path / "sprites.npz")
    assert found.attribute("shoes").tolist() == list(range(1, 20, 2))
    assert found.attribute("age")[-1] == 1
    with pytest.raises(InputError, match="no attribute 'hat'"):
        found.attribute("hat")


def test_npy_is_mapped_and_read(tmp_path):
    np.save(tmp_path / "images.npy", GREY)
    assert np.array_equal(data.load(tmp_path / "images.npy").images[:, 0], GREY)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_arrays_are_mapped_and_not_held(tmp_path, monkeypatch, save):
    monkeypatch.setattr("preimage.data.arrays.LARGE", 1000)
    save(tmp_path / "set.npz", images=COLOUR, labels=np.arange(10))
    found = data.load(tmp_path / "set.npz")
    assert np.array_equal(found.images, COLOUR.transpose(0, 3, 1, 2))
    assert found.labels.tolist() == list(range(10))
    (entry,) = data.cache.entries()
    assert not [file for file in entry.path.iterdir() if file.name.startswith("tmp")]
    save(tmp_path / "evil.npz", images=np.array([Evil()] * 500, object))
    with pytest.raises(InputError, match="pickled objects"):
        data.load(tmp_path / "evil.npz")


class Evil:
    def __reduce__(self):
        return (exit, (3,))


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", images=GREY, meta=np.array([Evil()], object))
    np.save(tmp_path / "evil.npy", np.array([Evil()], object))
    for name in ("evil.npz", "evil.npy"):
        with pytest.raises(InputError, match="pickled objects") as error:
            data.load(tmp_path / name)
        assert "\n" not in str(error.value)
    assert data.cache.entries() == []


@pytest.mark.parametrize("content", [b"", b"nothing at all", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_files_that_are_no_arrays_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        data.load(tmp_path / name)


def test_npz_without_images_names_what_it_has(tmp_path):
    np.savez(tmp_path / "set.npz", weights=GREY, biases=GREY)
    with pytest.raises(InputError, match=r"no array named 'images'.*weights, biases"):
        data.load(tmp_path / "set.npz")
    np.savez(tmp_path / "short.npz", images=GREY, labels=np.arange(4))
    with pytest.raises(InputError, match="4 labels do not match 10 images"):
        data.load(tmp_path / "short.npz")


def idx(array: np.ndarray) -> bytes:
    codes = {"uint8": 8, "float32": 13}
    head = struct.pack(">BBBB", 0, 0, codes[array.dtype.name], array.ndim)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return head + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, images=GREY, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    labels = (np.arange(10) % 4).astype(np.uint8) if labels is None else labels
    for side, part in {"train": slice(0, 7), "t10k": slice(7, 10)}.items():
        for kind, array in {"images-idx3": images, "labels-idx1": labels}.items():
            (folder / f"{side}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array[part])))
    return folder


def test_idx_folder_and_file(tmp_path):
    folder = write_mnist(tmp_path / "mnist")
    found = data.load(folder)
    assert np.array_equal(found.images[:, 0], GREY)
    assert found.heldout.tolist() == [7, 8, 9]
    assert found.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    one = data.load(folder / "t10k-images-idx3-ubyte.gz")
    assert len(one) == 3
    assert one.labels.tolist() == [2, 0, 1]  # classes are those that occur: 0, 1, 3
    (folder / "plain").write_bytes(idx((GREY / 255).astype(np.float32)))
    assert (
        np.abs(data.load(folder / "plain").batch([0])[0, 0].numpy() - (GREY[0] / 127.5 - 1)).max()
        < 1e-4
    )


def test_bad_idx_is_one_line(tmp_path):
    folder = write_mnist(tmp_path / "mnist", labels=np.zeros(9, np.uint8))
    with pytest.raises(InputError, match="2 labels do not match 3 images"):
        data.load(folder / "t10k-images-idx3-ubyte.gz")
    (tmp_path / "short-idx3-ubyte").write_bytes(idx(GREY)[:-5])
    with pytest.raises(InputError, match="cut short"):
        data.load(tmp_path / "short-idx3-ubyte")
    (tmp_path / "vast-idx3-ubyte").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**31] * 3))
    with pytest.raises(InputError, match="GiB"):
        data.load(tmp_path / "vast-idx3-ubyte")
    with pytest.raises(InputError, match="labels or vectors"):
        data.load(folder / "train-labels-idx1-ubyte.gz")


def npy(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """A .npy file of the array that declares another shape."""
    file = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def npz(path, content: bytes, member: str = "images.npy"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def patched(path, field: int, value: int) -> None:
    """Set a 16-bit field of the one member, in its own header and in the directory's copy."""
    raw = bytearray(path.read_bytes())
    for place in (raw.index(b"PK\x03\x04") + 6 + field, raw.index(b"PK\x01\x02") + 8 + field):
        raw[place : place + 2] = struct.pack("<H", value)
    path.write_bytes(raw)


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        data.load(path)
    text = str(error.value)
    assert "\n" not in text
    assert path.name in text
    assert "save" in text  # the mend
    return text


SHAPES = [(2**20, 2**15, 2**15), (-1, 32, 32), (-2, -5, 32, 32), (10, 32, -32), (2**70, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_headers_that_lie_are_refused(tmp_path, shape):
    refusal(npz(tmp_path / "lie.npz", npy(GREY, shape)))
    (tmp_path / "lie.npy").write_bytes(npy(GREY, shape))
    refusal(tmp_path / "lie.npy")


def test_members_that_are_no_arrays_are_refused(tmp_path):
    assert "'images'" in refusal(npz(tmp_path / "text.npz", b"not an array"))
    assert "notes.txt" in refusal(npz(tmp_path / "notes.npz", b"words", "notes.txt"))
    patched(npz(tmp_path / "locked.npz", npy(GREY)), 0, 1)
    assert "encrypted" in refusal(tmp_path / "locked.npz")
    patched(npz(tmp_path / "odd.npz", npy(GREY)), 2, 77)
    assert "compression" in refusal(tmp_path / "odd.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_of_no_finite_value_are_no_images(tmp_path, value):
    np.save(tmp_path / "empty.npy", np.full((4, 8, 8), value, np.float32))
    with pytest.raises(InputError, match=r"empty\.npy holds no usable image.*NaN"):
        data.load(tmp_path / "empty.npy")
    with pytest.raises(InputError, match="no usable image"):
        data.from_arrays(np.full((4, 8, 8), value))


def test_images_with_nan_are_skipped_with_all_that_is_theirs(tmp_path):
    images = (GREY[..., None] / 255.0).repeat(3, -1)
    images[3, 5, 5, 1] = np.nan
    labels, age = np.arange(10), np.arange(10.0)
    np.savez(tmp_path / "set.npz", images=images, labels=labels, age=age)
    found = data.load(tmp_path / "set.npz")
    others = np.delete(np.arange(10), 3)
    assert found.skipped == [("image-3", "a value that is NaN or infinite")]
    assert "image-3" in found.summary()
    assert list(found.names) == [f"image-{i}" for i in others]
    assert np.abs(found.batch(range(9))[:, 0].numpy() - (GREY[others] / 127.5 - 1)).max() < 1e-4
    assert found.attribute("age").tolist() == others.tolist()
    assert [found.classes[i] for i in found.labels] == [str(i) for i in others]
    assert found.spec.channels == 1
    with pytest.raises(InputError, match="image-3 cannot be used"):
        data.images(images, found.spec)
