"""Photographs inspected: how they are looked at, what is kept, and in how much memory."""

from __future__ import annotations

import functools
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch import Tensor

import preimage as pi
from preimage.api.anomalies import Inspector
from preimage.applications.anomaly import inspection, suite
from preimage.applications.anomaly.framing import Framing, as_they_are, for_model
from preimage.applications.anomaly.judging import judged
from preimage.applications.anomaly.photos import InMemory, Picture, Pictures
from preimage.applications.anomaly.scores.unet import PlantedDefects
from preimage.core import ImageSpec, InputError
from preimage.data.archives import Item
from preimage.runs.detectors import load_detector, save_detector


def texture(seed: int, size: tuple[int, int] = (48, 64)) -> Tensor:
    rng = np.random.default_rng(seed)
    values = np.clip(ndimage.gaussian_filter(rng.normal(size=size), 1.2), -1, 1)
    return torch.from_numpy(values.astype(np.float32))[None]


class Good:
    """Photographs of rough surfaces."""

    def __init__(self, n: int, size: tuple[int, int] = (48, 64)):
        self.n, self.size = n, size

    def __len__(self) -> int:
        return self.n

    def label(self, k: int) -> str:
        return f"surface {k}"

    def open(self, k: int) -> InMemory:
        return InMemory(self.label(k), texture(k, self.size))


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    """Of surfaces, in parts of 40 pixels."""
    framing, _ = as_they_are(1, [(90, 120)], 40)
    return inspection.fitted(Good(24, (90, 120)), framing, scores="patches", false_alarms=0.15)


def test_a_photograph_is_as_odd_as_its_oddest_part(inspector) -> None:
    x = texture(500, (90, 120))
    x[0, 60:70, 90:104] = 0.8
    found = inspector.inspect(x)
    assert found.anomalous
    left, top, right, bottom = found.worst
    assert left <= 97 < right
    assert top <= 65 < bottom
    assert (found.tile == x[:, top:bottom, left:right]).all()
    scores = inspector.detector.decision_function(found.tile[None])
    assert float(scores) == pytest.approx(found.score, abs=1e-5)
    assert found.mask[60:70, 90:104].mean() > 0.8
    assert found.area == found.mask.sum()


def test_a_photograph_of_one_part_is_that_part(inspector) -> None:
    x = texture(501, (40, 40))
    found = inspector.inspect(x)
    scores, maps = inspector.detector.read(x[None])
    assert found.score == float(scores)
    assert (found.map == maps[0].numpy()).all()


def test_what_photographs_lie_beside_changes_nothing(inspector) -> None:
    photos = [InMemory(str(i), texture(600 + i, (90, 120))) for i in range(5)]
    together = list(inspector.inspected(photos))
    for photo, found in zip(photos, together, strict=True):
        alone = inspector.inspect(photo)
        assert found.score == pytest.approx(alone.score, abs=1e-4)
        assert np.allclose(found.map, alone.map, atol=1e-3)


def test_the_rate_of_false_alarms_is_of_photographs(inspector) -> None:
    """However many parts each has: of 300 good ones, about 15 in a hundred."""
    photos = (InMemory("", texture(1000 + i, (90, 120))) for i in range(120))
    called = [found.anomalous for found in inspector.inspected(photos)]
    assert np.mean(called) < 0.15 + 0.25  # six photographs were held out: Beta(1, 6) is wide


def test_photographs_are_judged_as_each_is_inspected(inspector) -> None:
    good = Good(12, (90, 120))
    found = judged(inspector, good, Good(2, (90, 120)), kinds=["a", "a"])
    called = [inspector.inspect(good.open(k)) for k in range(12)]
    assert {one.anomalous for one in called} == {False, True} or inspector.threshold > 0
    for row, one in zip(found.looked, called, strict=False):
        assert row.score == pytest.approx(one.score, abs=1e-4)
        assert row.anomalous == one.anomalous == (one.score > inspector.threshold)
        assert row.p_value == pytest.approx(one.p_value)


def test_what_is_not_called_anomalous_has_no_mask(inspector) -> None:
    found = [inspector.inspect(texture(700 + i, (90, 120))) for i in range(12)]
    good = [one for one in found if not one.anomalous]
    assert any(one.map.max() > inspector.pixel_threshold for one in good)
    assert not any(one.mask.any() or one.regions for one in good)


def test_with_a_model_as_many_photographs_again_are_held_out(monkeypatch) -> None:
    """Half of these weigh its scores, the others set the threshold; where that leaves enough."""

    class Fitting(Exception):
        pass

    def fit(self, images, *, validation, **options) -> None:
        raise Fitting(len(images), len(validation))

    monkeypatch.setattr(inspection.Detector, "fit", fit)
    model = pi.wrap(torch.nn.Linear(2, 16), data=ImageSpec(1, 4, 4), space=pi.LatentSpace((2,)))
    framing, _ = as_they_are(1, [(40, 40)], None)
    for n, used, counts in (
        (100, None, (75, 25)),
        (100, model, (50, 50)),
        (80, model, (60, 20)),
    ):
        with pytest.raises(Fitting) as found:
            inspection.fitted(Good(n, (40, 40)), framing, model=used, false_alarms=0.15)
        assert found.value.args == counts


def test_a_smaller_photograph_is_continued_by_its_mirror_image(inspector) -> None:
    x = texture(502, (25, 120))
    found = inspector.inspect(x)
    assert found.size == (25, 120)
    assert found.map.shape == found.mask.shape == (25, 120)
    mirrored = torch.cat([x, x.flip(1)[:, :15]], 1)
    assert inspector.inspect(mirrored).score == found.score


def test_saved_and_opened_it_finds_the_same(inspector, tmp_path: Path) -> None:
    model = pi.wrap(torch.nn.Linear(2, 16), data=ImageSpec(1, 4, 4), space=pi.LatentSpace((2,)))
    save_detector(tmp_path, inspector, name="surface")
    again = load_detector(tmp_path, model, name="surface")
    x = texture(503, (90, 120))
    first, second = inspector.inspect(x), again.inspect(x)
    assert first.score == second.score
    assert first.p_value == second.p_value
    assert (first.map == second.map).all()
    assert again.threshold == inspector.threshold
    assert again.framing == inspector.framing


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile": [10**30, 40]}, {"tile": [40]}, {"tile": [40.5, 40]}, {"tile": -1},
        {"size": "x"}, {"channels": 10**9}, {"channels": True}, {"fit": ["crop"]}, {"fit": "cut"},
        {"exact": None}, {"background": [1, 2, 999]}, {"range": [1, 0]},
        {"range": [0, float("nan")]}, {"range": 3},
    ],
)  # fmt: skip
def test_a_detector_whose_facts_were_edited_is_refused(inspector, tmp_path: Path, wrong) -> None:
    model = pi.wrap(torch.nn.Linear(2, 16), data=ImageSpec(1, 4, 4), space=pi.LatentSpace((2,)))
    path = save_detector(tmp_path, inspector) / "detector.json"
    facts = json.loads(path.read_text())
    for edited in (
        facts | {"framing": facts["framing"] | wrong},
        facts | {"pixel_threshold": float("nan")},
    ):
        path.write_text(json.dumps(edited))
        with pytest.raises(InputError, match="fit it again with"):
            load_detector(tmp_path, model)


@pytest.mark.parametrize(
    ("wrong", "of_detector", "words"),
    [
        ({"learned": -1}, {}, "learned is no number"),
        ({"learned": "18"}, {}, "learned is no number"),
        ({"learned": True}, {}, "learned is no number"),
        ({"learned": 1e400}, {}, "learned is no number"),
        ({"suspects": "good 3"}, {}, "suspects are no list"),
        ({"suspects": [3]}, {}, "suspects are no list"),
        ({"suspects": None}, {}, "suspects are no list"),
        ({}, {"suspects": [1.5]}, "its suspects are no list"),
        ({}, {"suspects": {"3": 1}}, "its suspects are no list"),
        ({}, {"options": {"patches": {"reduce": 0}}}, "options that this version does not"),
        ({}, {"options": {"patches": {"side": 10**9}}}, "options that this version does not"),
        ({}, {"options": {"patches": [2, 6.0]}}, "options that this version does not"),
        ({}, {"options": {"planted-defects": {"width": 10**9}}}, "options that this version"),
        ({}, {"options": {"patch": {}}}, "options that this version does not"),
        ({}, {"options": {}}, "options that this version does not"),
        ({}, {"options": "patches"}, "is not a detector of ours"),
        ({"learned": ...}, {}, "is not a detector of ours"),
        ({"detector": None}, {}, "is not a detector of ours"),
    ],
)
def test_what_nobody_can_have_learned_is_said_in_a_line(
    inspector, tmp_path: Path, wrong, of_detector, words: str
) -> None:
    model = pi.wrap(torch.nn.Linear(2, 16), data=ImageSpec(1, 4, 4), space=pi.LatentSpace((2,)))
    path = save_detector(tmp_path, inspector) / "detector.json"
    facts = json.loads(path.read_text())
    facts |= {"detector": facts["detector"] | of_detector, **wrong}
    path.write_text(json.dumps({k: v for k, v in facts.items() if v is not ...}))
    with pytest.raises(InputError, match=words) as found:
        load_detector(tmp_path, model)
    assert "fit it again with" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_model_sees_what_its_own_images_were(tmp_path: Path) -> None:
    """A square photograph of a run's shape comes out as `pi.images` would bring it to the model."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    spec = ImageSpec(3, 32, 32)
    framing, note = for_model(spec, [(90, 90)], None)
    photo = Pictures([Item("a.png", str(tmp_path / "a.png"))]).open(0)
    boxes = list(framing.tiling(photo.size).boxes())
    assert boxes == [(0, 0, 90, 90)]
    assert not note
    assert (framing.seen(photo, boxes[0]) == pi.images(tmp_path / "a.png", spec)[0]).all()


def test_no_part_of_a_wide_photograph_is_cut_off() -> None:
    framing, _ = for_model(ImageSpec(1, 32, 32), [(60, 200)], None)
    tiling = framing.tiling((60, 200))
    assert tiling.tile == (60, 60)
    assert tiling.columns.starts[-1] + 60 == 200
    large, note = for_model(ImageSpec(1, 32, 32), [(3000, 4000)], None)
    assert large.tile == (128, 128)
    assert "--tile 3000 sees them whole" in note
    assert for_model(ImageSpec(1, 32, 32), [(3000, 4000)], 3000)[0].tile == (3000, 3000)


def test_a_padded_photograph_is_mapped_back_to_its_own_pixels() -> None:
    framing = Framing(1, (32, 32), None, False, fit="pad", background=(0, 0, 0))
    values = np.zeros((20, 60), np.uint8)
    values[5:15, 30:45] = 255
    photo = Picture("bar", Image.fromarray(values))
    box = next(iter(framing.tiling(photo.size).boxes()))
    seen = framing.seen(photo, box)
    assert seen.shape == (1, 32, 32)
    back = framing.unseen(seen[0].numpy(), box)
    assert back.shape == (20, 60)
    assert ((back > 0) == (values > 127)).mean() > 0.95


def test_large_photographs_take_the_memory_of_a_band(inspector, monkeypatch) -> None:
    """Of 1, 4 and 16 times as many pixels: besides the mask, no more memory."""
    monkeypatch.setattr(inspection, "SHOWN", 64)
    width, peaks = 2000, []
    for height in (250, 1000, 4000):
        photo = Striped(height, width)
        tracemalloc.start()
        monkeypatch.setattr(type(inspector.detector), "read", _nothing)
        list(inspector.inspected([photo]))
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * height * width)
        tracemalloc.stop()
    assert max(peaks) < 1.5 * peaks[0] + 1e6


class Striped(InMemory):
    """A photograph that is never in memory as a whole."""

    def __init__(self, height: int, width: int):
        object.__setattr__(self, "label", "striped")
        object.__setattr__(self, "shape", (height, width))

    @property
    def size(self) -> tuple[int, int]:
        return self.shape  # type: ignore[attr-defined]

    def seen(self, box, target) -> Tensor:
        return torch.zeros(1, target.height, target.width)


def _nothing(self, x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(x)), torch.zeros(len(x), *x.shape[2:])


def test_pages_and_depth_are_kept(tmp_path: Path) -> None:
    deep = [np.full((6, 8), 1000 + i, np.uint16) for i in range(3)]
    pages = [Image.fromarray(page) for page in deep]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:60])
    pictures = Pictures([Item(n, str(tmp_path / n)) for n in ("a.tif", "b.tif")])
    assert len(pictures) == 3
    assert [name for name, _ in pictures.skipped] == ["b.tif"]
    assert pictures.label(2) == "a.tif, page 3"
    framing = Framing(1, None, None, False, range=(1000.0, 1002.0))
    for i in range(3):
        x = framing.seen(pictures.open(i), (0, 0, 8, 6))
        assert torch.allclose(x, torch.full((1, 6, 8), i - 1.0), atol=1e-4)


def test_a_picture_that_is_no_image_is_refused(inspector) -> None:
    with pytest.raises(InputError, match="give \\(C, H, W\\)"):
        inspector.inspect(torch.zeros(2, 1, 8, 8))
    with pytest.raises(InputError, match="finite"):
        inspector.inspect(torch.full((1, 48, 64), float("nan")))
    with pytest.raises(InputError, match="3 channels"):
        inspector.inspect(torch.zeros(3, 48, 64))


BRIEF = functools.partial(PlantedDefects, steps=3, width=4)


@pytest.fixture(scope="module")
def of_two_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved detector that goes by two maps and their sum."""
    run = tmp_path_factory.mktemp("two-maps")
    framing, names = as_they_are(1, [(48, 64)], None)[0], ("patches", "planted-defects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suite.ALONE, "planted-defects", BRIEF)
        made = inspection.fitted(Good(24), framing, scores=names, false_alarms=0.15)
    assert made.detector.parts.tops is not None
    save_detector(run, made)
    return run


@pytest.mark.parametrize(
    ("tensors", "maps"),
    [
        ({"tops/spread": torch.ones(2)}, {}),
        ({"tops/middle": torch.ones(3, 3)}, {}),
        ({"tops/spread": torch.tensor([1.0, float("nan"), 1.0])}, {}),
        ({"tops/spread": torch.tensor([1.0, 0.0, 1.0])}, {}),
        ({"tops/middle": torch.tensor([1.0, float("inf"), 1.0])}, {}),
        ({"standard/middle": torch.ones(1)}, {}),
        ({"weights": torch.full((4,), float("nan"))}, {}),
        ({"weights": torch.ones(4, dtype=torch.float64)}, {}),
        ({"standard/middle": torch.ones(4, dtype=torch.int64)}, {}),
        ({"border//std": torch.zeros(12, 12)}, {}),
        ({"border/patches/mean": torch.ones(11, 12)}, {}),
        ({"score/patches/bank": torch.ones(63, 1, 8, 8)}, {}),
        ({"score/patches/offset": torch.ones(63)}, {}),
        ({"score/patches/offset": torch.full((64,), float("inf"))}, {}),
        ({"score/planted-defects/top.1.weight": torch.ones(2)}, {}),
        ({}, {"another": 0.5}),
        ({}, {"patches": "x"}),
        ({}, {"patches": -0.5}),
        ({}, {"patches": 1e400}),
        ({}, {"patches": True}),
    ],
)
def test_what_weighs_by_no_number_is_not_opened(
    of_two_maps: Path, tmp_path: Path, monkeypatch, tensors: dict, maps: dict
) -> None:
    monkeypatch.setitem(suite.ALONE, "planted-defects", BRIEF)
    model = pi.wrap(torch.nn.Linear(2, 16), data=ImageSpec(1, 4, 4), space=pi.LatentSpace((2,)))
    shutil.copytree(of_two_maps / "detectors", tmp_path / "detectors")
    load_detector(tmp_path, model)  # as it is
    folder = tmp_path / "detectors" / "default"
    content = load_file(folder / "detector.safetensors")
    changed = {f"detector/{key}": value for key, value in tensors.items()}
    assert changed.keys() <= content.keys()
    save_file({**content, **changed}, folder / "detector.safetensors")
    facts = json.loads((folder / "detector.json").read_text())
    facts["detector"]["map_weights"] |= maps
    (folder / "detector.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="fit it again with"):
        load_detector(tmp_path, model)
