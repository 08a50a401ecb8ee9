"""Animations play what they were given: every frame, at its time, in its colours."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from preimage.core import InputError
from preimage.pictures import animation, contact_sheet, sheet
from preimage.pictures.sheet import pixels


def walk(n, *, channels=3, height=12, width=16):
    """n smooth frames that all differ."""
    t = torch.linspace(0, 1, n).view(-1, 1, 1, 1)
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    phase = torch.arange(channels).view(1, -1, 1, 1)
    return torch.sin(2 * x + 3 * t + phase) * torch.cos(y - 2 * t)


def played(content):
    """The frames (N, H, W, 3) of a file and when each ends, in milliseconds."""
    with Image.open(io.BytesIO(content)) as file:
        frames, ends, now = [], [], 0
        for i in range(file.n_frames):
            file.seek(i)
            file.load()
            now += file.info["duration"]
            frames.append(np.asarray(file.convert("RGB")))
            ends.append(now)
        assert file.info["loop"] == 0  # for ever
    return np.stack(frames), ends


def test_webp_keeps_every_pixel():
    frames, _ = played(animation(walk(7), "webp", scale=3))
    np.testing.assert_array_equal(frames, pixels(walk(7)).repeat(3, axis=1).repeat(3, axis=2))


def test_gif_keeps_every_grey_and_comes_near_to_colours():
    frames, _ = played(animation(walk(7, channels=1), scale=2))
    shown = pixels(walk(7, channels=1))
    np.testing.assert_array_equal(frames, shown.repeat(2, axis=1).repeat(2, axis=2))
    frames, _ = played(animation(walk(7, height=64, width=64), scale=1))
    assert np.abs(frames - pixels(walk(7, height=64, width=64)).astype(float)).mean() < 3


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_rounded_delays_do_not_add_up(kind):
    """24 frames a second are 41.67 ms, which neither format can say."""
    unit = {"gif": 10, "webp": 1}[kind]
    _, ends = played(animation(walk(30), kind, fps=24))
    assert np.abs(np.array(ends) - np.arange(1, 31) * 1000 / 24).max() <= unit / 2


def test_ping_pong_repeats_neither_end():
    there = pixels(walk(4))
    frames, _ = played(animation(walk(4), "webp", ping_pong=True, scale=1))
    np.testing.assert_array_equal(frames, there[[0, 1, 2, 3, 2, 1]])


def test_mp4_plays_the_frames_at_its_rate_though_sides_be_odd():
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")
    images = walk(9, height=31, width=33)
    with av.open(io.BytesIO(animation(images, "mp4", fps=12.5, scale=3))) as file:
        stream = file.streams.video[0]
        assert float(stream.average_rate) == 12.5
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(stream)])
    expected = pixels(images).repeat(3, axis=1).repeat(3, axis=2)
    assert frames.shape == (9, 94, 100, 3)
    assert np.abs(frames[:, :93, :99] - expected.astype(float)).mean() < 6


def test_pictures_are_frames_too():
    strips = [sheet(walk(3)[i:], columns=1, scale=1) for i in range(2)]
    same = [strips[0], strips[0].rotate(180)]
    frames, _ = played(animation(same, "webp", scale=1))
    np.testing.assert_array_equal(frames, [np.asarray(picture) for picture in same])


def test_a_contact_sheet_shows_the_first_and_the_last_and_spreads_evenly():
    images = walk(41)
    shown = contact_sheet(images, shown=5, scale=1)
    assert shown == sheet(images[[0, 10, 20, 30, 40]], columns=5, scale=1)
    assert contact_sheet(images[:3], scale=1) == sheet(images[:3], columns=3, scale=1)


@pytest.mark.parametrize(
    ("n", "kind", "options", "message"),
    [
        (2, "git", {}, "no animation format 'git'; did you mean 'gif'"),
        (0, "gif", {}, "at least 1 frame"),
        (2, "gif", {"fps": 60}, "up to 50"),
        (2, "webp", {"fps": 0}, "at 0.01 and"),
    ],
)
def test_what_cannot_be_played_is_said(n, kind, options, message):
    with pytest.raises(InputError, match=message):
        animation(walk(n) if n else walk(1)[:0], kind, **options)


def test_without_its_extra_mp4_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'preimage\[video\]'"):
        animation(walk(2), "mp4")
