"""The held-out split: whole groups on one side, and nothing moves as files are added."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from smooth import picture

from preimage import data
from preimage.data import split


def hashes_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**63, n, np.uint64)


@pytest.mark.parametrize("n", [2, 10, 63, 64, 100, 400])
def test_at_least_32_are_held_out_but_never_more_than_half(n):
    held = split.held_out(hashes_of(n), np.arange(n))
    assert min(32, n // 2) <= held.sum() <= max(n // 2, 1)


def test_a_large_set_holds_out_a_tenth():
    held = split.held_out(hashes_of(20_000), np.arange(20_000))
    assert abs(held.mean() - 0.1) < 0.01


def test_one_image_is_trained_on():
    assert not split.held_out(hashes_of(1), np.zeros(1, int)).any()


def test_groups_are_never_cut():
    hashes = hashes_of(3000)
    groups = np.random.default_rng(1).integers(0, 500, 3000)
    held = split.held_out(hashes, groups)
    assert all(len(set(held[groups == g])) == 1 for g in np.unique(groups))
    assert abs(held.mean() - 0.1) < 0.05


def test_groups_of_any_size_are_held_out_equally_often():
    hashes, groups = hashes_of(40_000), np.repeat(np.arange(4000), 10)
    assert abs(split.held_out(hashes, groups).mean() - 0.1) < 0.02


def test_the_order_of_the_images_does_not_matter():
    hashes = hashes_of(700)
    order = np.random.default_rng(2).permutation(700)
    held = split.held_out(hashes, np.arange(700))
    assert (split.held_out(hashes[order], np.arange(700)) == held[order]).all()


def test_large_sets_grow_without_moving_anything():
    hashes = hashes_of(5000)
    before = split.held_out(hashes[:1000], np.arange(1000))
    assert (split.held_out(hashes, np.arange(5000))[:1000] == before).all()


def test_without_memory_images_only_ever_move_into_training():
    hashes = hashes_of(300)
    small = split.held_out(hashes[:80], np.arange(80))
    grown = split.held_out(hashes, np.arange(300))[:80]
    assert not (grown & ~small).any()


def test_remembered_sides_are_kept_and_joined():
    hashes = hashes_of(300)
    first = split.held_out(hashes[:80], np.arange(80))
    remembered = dict(zip(hashes[:80].tolist(), first.tolist(), strict=True))
    groups = np.arange(300)
    groups[80:160] = groups[:80]  # eighty near duplicates of what was there
    held = split.held_out(hashes, groups, remembered=remembered)
    assert (held[:80] == first).all()
    assert (held[80:160] == first).all()


def test_a_group_that_joins_both_sides_goes_to_training():
    hashes = hashes_of(2)
    remembered = {int(hashes[0]): True, int(hashes[1]): False}
    assert not split.held_out(hashes, np.zeros(2, int), remembered=remembered).any()


def near(images: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(images).transpose(0, 3, 1, 2)
    groups = split.near_groups(stacked, np.arange(len(stacked)))
    assert groups is not None
    return groups


def test_recompressed_brightened_and_rescaled_copies_are_near_duplicates():
    original = picture(0, 64)
    file = io.BytesIO()
    Image.fromarray(original).save(file, "JPEG", quality=40)
    small = Image.fromarray(original).resize((24, 24), Image.Resampling.LANCZOS).resize((64, 64))
    copies = [np.asarray(Image.open(file)), np.asarray(small), (original * 0.8).astype(np.uint8)]
    groups = near([original, *copies, *(picture(seed, 64) for seed in range(1, 40))])
    assert len(set(groups[:4].tolist())) == 1
    assert len(set(groups[3:].tolist())) == 40


def test_pictures_without_contrast_are_not_each_other():
    flat = [np.full((32, 32, 3), level, np.uint8) for level in range(0, 250, 5)]
    assert len(set(near(flat).tolist())) == 50


def test_a_set_where_all_look_alike_still_gets_a_split_and_says_so():
    noise = np.random.default_rng(0)
    frames = [
        np.clip(picture(0) + noise.integers(-3, 4, (32, 32, 3)), 0, 255).astype(np.uint8)
        for _ in range(200)
    ]
    found = data.from_arrays(np.stack(frames))
    assert len(found.heldout) >= 32
    assert any("too alike" in note for note in found.notes)


def test_duplicates_are_named_and_on_one_side():
    images = np.stack([picture(seed % 100) for seed in range(150)])
    found = data.from_arrays(images)
    assert ("image-0", "image-100") in found.duplicates
    assert len(found.duplicates) == 50
    held = np.isin(np.arange(150), found.heldout)
    assert (held[:50] == held[100:]).all()
    assert sorted([*found.train, *found.heldout]) == list(range(150))


def sides(found: data.Dataset) -> dict[str, bool]:
    held = set(found.heldout.tolist())
    return {name: i in held for i, name in enumerate(found.names)}


@pytest.mark.parametrize("count", [40, 120])
def test_adding_files_moves_nothing(make_folder, count):
    before = sides(data.load(make_folder(seeds=range(count))))
    folder = make_folder(seeds=range(count, 3 * count))
    for seed in range(0, count, 4):  # and copies, in another format and brightness
        copy = Image.fromarray((picture(seed) * 0.9).astype(np.uint8))
        copy.save(folder / f"copy-{seed:04d}.jpg", quality=70)
    after = sides(data.load(folder))
    assert {name: after[name] for name in before} == before
    for seed in range(0, count, 4):
        assert after[f"copy-{seed:04d}.jpg"] == before[f"{seed:04d}.png"]


def test_the_split_does_not_depend_on_the_size(make_folder):
    folder = make_folder(seeds=range(150))
    assert sides(data.load(folder, size=16)) == sides(data.load(folder, size=64))


def test_a_split_that_comes_with_the_data_is_kept_and_its_leaks_are_told(tmp_path):
    images = np.stack([picture(seed) for seed in range(30)])
    np.savez(
        tmp_path / "set.npz",
        train_images=images[:20],
        train_labels=np.arange(20) % 2,
        test_images=np.concatenate([images[20:], images[:3]]),
        test_labels=np.zeros(13),
    )
    found = data.load(tmp_path / "set.npz")
    assert found.heldout.tolist() == list(range(20, 33))
    assert any("3 held-out images also among those to train on" in note for note in found.notes)
    assert len(data.load(tmp_path / "set.npz", split="test")) == 13
