"""One of each: what is equal or nearly so is trained on once."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from smooth import picture

from preimage import data
from preimage.data import duplicates
from preimage.data.duplicates import deduplicated
from preimage.data.split import exact_groups, near_groups


def brighter(image: np.ndarray) -> np.ndarray:
    return (image * 0.9).astype(np.uint8)


@pytest.fixture
def planted():
    """100 pictures, of which ten come once more as they are and ten a little darker."""
    originals = [picture(seed) for seed in range(100)]
    copies = [originals[i] for i in range(10)] + [brighter(originals[i]) for i in range(10, 20)]
    return data.from_arrays(np.stack([*originals, *copies]))


def test_one_of_each_is_left(planted):
    once = deduplicated(planted)
    assert set(once.train) <= set(planted.train)
    assert once.heldout.tolist() == planted.heldout.tolist()
    same = {100 + i: i for i in range(20)}  # what each copy is one of
    pictures = [same.get(row, row) for row in once.train.tolist()]
    assert sorted(pictures) == sorted({same.get(row, row) for row in planted.train.tolist()})
    assert len(pictures) == len(set(pictures))
    gone = len(planted.train) - len(once.train)
    assert f"{gone} exact or near duplicates left out" in once.notes[-1]
    assert gone > 10


def test_nothing_is_left_out_where_all_differ():
    found = data.from_arrays(np.stack([picture(seed) for seed in range(50)]))
    assert deduplicated(found).train.tolist() == found.train.tolist()


def test_what_is_held_out_is_not_trained_on_in_another_copy(planted):
    row = planted.train[planted.train >= 100][0]
    planted.heldout = np.append(planted.heldout, row - 100)  # as a source's own split may have it
    planted.train = planted.train[planted.train != row - 100]
    assert row not in deduplicated(planted).train


def test_an_option_of_loading(make_folder):
    folder = make_folder(seeds=range(80))
    for seed in range(40):
        Image.fromarray(picture(seed)).save(folder / f"again-{seed}.png")
    plain, once = data.load(folder), data.load(folder, deduplicate=True)
    assert len(plain) == len(once) == 120
    assert len(once.train) + len(plain.heldout) < 120
    assert "left out of training" in once.summary()
    assert once.fingerprint == plain.fingerprint


def test_what_only_looks_alike_stays():
    """Pictures that differ in details, too small for a thumbnail of 8×8, are all trained on."""
    numbers = np.random.default_rng(0)
    same = [np.full((32, 32), 60, np.uint8) for _ in range(12)]
    for image in same:
        image[4:28, 10:22] = 200
        image[4:28, 10:22] += (numbers.integers(0, 2, (24, 12)) * 50).astype(np.uint8)
    others = [picture(seed)[..., 0] for seed in range(60)]
    found = data.from_arrays(np.stack([*same, *others]))
    groups = near_groups(found.images, exact_groups(found.hashes))
    assert len(set(groups[:12])) < 12  # the split keeps some of them together
    assert len(deduplicated(found).train) == len(found.train)


def test_another_compression_or_size_is_no_other_picture():
    original = picture(0, 64)
    file = io.BytesIO()
    Image.fromarray(original).save(file, "JPEG", quality=40)
    small = Image.fromarray(original).resize((24, 24), Image.Resampling.LANCZOS).resize((64, 64))
    copies = [original, np.asarray(Image.open(file)), np.asarray(small)] * 6
    found = data.from_arrays(np.stack([*copies, *(picture(seed, 64) for seed in range(1, 40))]))
    once = deduplicated(found).train
    assert (once < len(copies)).sum() <= 1


def test_large_groups_go_by_blocks(monkeypatch, planted):
    whole = deduplicated(planted).train.tolist()
    monkeypatch.setattr(duplicates, "BLOCK", 1)
    assert deduplicated(planted).train.tolist() == whole
