"""The faces are what they say: functions of their factors, local, mirrored, smooth, recoverable."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from preimage.core import InputError
from preimage.data import faces

CONTINUOUS = [factor for factor in faces.FACTORS if factor.kind == "continuous"]
DISCRETE = [factor for factor in faces.FACTORS if factor.kind == "discrete"]

# Where in the picture a factor may change anything: left, top, right, bottom, in parts of it.
REACH = {
    "age": (0.1, 0.25, 0.9, 0.78),
    "brows": (0.1, 0.32, 0.9, 0.55),
    "eye_size": (0.1, 0.42, 0.9, 0.68),
    "eye_colour": (0.1, 0.42, 0.9, 0.68),
    "gaze": (0.1, 0.42, 0.9, 0.68),
    "nose": (0.2, 0.45, 0.8, 0.72),
    "smile": (0.15, 0.6, 0.85, 0.83),
    "mouth_open": (0.15, 0.6, 0.85, 0.83),
    "glasses": (0.05, 0.42, 0.95, 0.69),
    "beard": (0.1, 0.48, 0.9, 0.95),
    "shirt": (0.0, 0.8, 1.0, 1.0),
}


def ends(factor: faces.Factor) -> tuple[float, float]:
    """The two values of a factor that are furthest apart."""
    return (0, len(factor.values) - 1) if factor.values else (factor.low, factor.high)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.int16) - b.astype(np.int16))


def box_downsample(images: np.ndarray, size: int) -> np.ndarray:
    n, channels, full, _ = images.shape
    k = full // size
    blocks = images.reshape(n, channels, size, k, size, k).astype(np.float32)
    return blocks.mean(axis=(3, 5))


def correlation_columns(factors: faces.Factors) -> dict[str, np.ndarray]:
    """Each factor as standardised columns, an indicator for each value of a discrete one."""
    columns = {}
    for factor in faces.FACTORS:
        y = factors[factor.name]
        if factor.values:
            y = np.eye(len(factor.values))[y]
        y = y.reshape(len(y), -1).astype(np.float64)
        columns[factor.name] = (y - y.mean(0)) / y.std(0)
    return columns


def strongest_correlation(columns: dict[str, np.ndarray], a: str, b: str) -> float:
    return float(np.abs(columns[a].T @ columns[b] / len(columns[a])).max())


# --- sampling ---------------------------------------------------------------------------------


def test_a_face_of_a_seed_is_the_same_for_every_n() -> None:
    few, many = faces.sample(8, seed=3), faces.sample(500, seed=3)
    for name in few:
        np.testing.assert_array_equal(few[name], many[name][:8])


def test_seeds_give_different_faces() -> None:
    a, b = faces.sample(100, seed=0), faces.sample(100, seed=1)
    assert all((a[factor.name] != b[factor.name]).mean() > 0.2 for factor in faces.FACTORS)


@pytest.mark.parametrize("correlated", [False, True])
def test_each_factor_keeps_its_own_distribution(correlated: bool) -> None:
    n = 20_000
    factors = faces.sample(n, correlated=correlated)
    for factor in CONTINUOUS:
        uniform = stats.uniform(factor.low, factor.high - factor.low)
        assert stats.kstest(factors[factor.name], uniform.cdf).pvalue > 1e-4, factor.name
        assert factors[factor.name].dtype == np.float32
    for factor in DISCRETE:
        counts = np.bincount(factors[factor.name], minlength=len(factor.values))
        assert stats.chisquare(counts, n * factor.probabilities).pvalue > 1e-4, factor.name
        assert factors[factor.name].dtype == np.int64


def test_factors_are_correlated_only_where_asked() -> None:
    n = 20_000
    noise = 4.5 / np.sqrt(n)
    planted = {("age", "glasses"), ("age", "hair_colour"), ("hair_style", "beard")}
    apart = correlation_columns(faces.sample(n))
    together = correlation_columns(faces.sample(n, correlated=True))
    for pair in combinations([factor.name for factor in faces.FACTORS], 2):
        assert strongest_correlation(apart, *pair) < noise, pair
        if pair in planted:
            assert strongest_correlation(together, *pair) > 0.2, pair
        elif pair != ("hair_colour", "glasses"):  # both follow age
            assert strongest_correlation(together, *pair) < noise, pair


def test_planted_dependences_are_the_documented_ones() -> None:
    f = faces.sample(40_000, correlated=True)
    grey = f["hair_colour"] == 4
    for low in np.arange(0, 1, 0.2):
        here = (f["age"] >= low) & (f["age"] < low + 0.2)
        assert f["glasses"][here].mean() == pytest.approx(0.8 * (low + 0.1), abs=0.025)
        expected = 0.6 * ((low + 0.2) ** 3 - low**3) / 0.6
        assert grey[here].mean() == pytest.approx(expected, abs=0.025)
    bearded = f["beard"] > 0
    for style, expected in (("short", 0.76), ("curly", 0.40), ("long", 0.04)):
        index = faces.FACTORS[5].values.index(style)
        assert bearded[f["hair_style"] == index].mean() == pytest.approx(expected, abs=0.03)


# --- counterfactuals --------------------------------------------------------------------------


def test_an_image_is_a_function_of_its_own_factors() -> None:
    factors = faces.sample(70)
    images = faces.render(factors)
    assert images.shape == (70, 3, 64, 64)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, faces.render(factors))
    for i in (0, 7, 69):
        alone = faces.render({name: values[i : i + 1] for name, values in factors.items()})
        np.testing.assert_array_equal(alone[0], images[i])


@pytest.mark.parametrize("factor", faces.FACTORS, ids=lambda factor: factor.name)
def test_a_change_touches_one_factor_and_can_be_undone(factor: faces.Factor) -> None:
    factors = faces.sample(10)
    changed = faces.change(factors, **{factor.name: ends(factor)[1]})
    assert (changed[factor.name] == ends(factor)[1]).all()
    for name in factors:
        if name != factor.name:
            np.testing.assert_array_equal(changed[name], factors[name])
    back = faces.change(changed, **{factor.name: factors[factor.name]})
    np.testing.assert_array_equal(faces.render(back), faces.render(factors))


@pytest.mark.parametrize("name", REACH)
def test_a_counterfactual_changes_only_what_it_concerns(name: str) -> None:
    factor = next(factor for factor in faces.FACTORS if factor.name == name)
    factors = faces.sample(256, seed=5)
    low, high = (faces.render(faces.change(factors, **{name: end})) for end in ends(factor))
    left, top, right, bottom = (round(64 * part) for part in REACH[name])
    inside = np.zeros((64, 64), bool)
    inside[top:bottom, left:right] = True
    changed = difference(low, high).max(axis=1)
    assert not changed[:, ~inside].any()
    assert ((changed > 16).sum(axis=(1, 2)) >= 4).mean() > 0.97  # and that, visibly


def test_glasses_leave_the_mouth_and_the_hair_alone() -> None:
    factors = faces.sample(128, seed=2)
    without, worn = (faces.render(faces.change(factors, glasses=v)) for v in ("no", "yes"))
    np.testing.assert_array_equal(without[:, :, 44:], worn[:, :, 44:])
    np.testing.assert_array_equal(without[:, :, :26], worn[:, :, :26])


def test_the_background_leaves_the_head_alone() -> None:
    factors = faces.sample(64, seed=2)
    warm, cool = (faces.render(faces.change(factors, background=v)) for v in (-1, 1))
    np.testing.assert_array_equal(warm[:, :, 28:48, 24:40], cool[:, :, 28:48, 24:40])
    assert (difference(warm, cool)[:, :, 0, 0].max(axis=1) > 40).all()


@pytest.mark.parametrize("factor", CONTINUOUS, ids=lambda factor: factor.name)
def test_a_continuous_factor_moves_the_image_steadily(factor: faces.Factor) -> None:
    factors = faces.sample(64, seed=9)
    path = [
        faces.render(faces.change(factors, **{factor.name: value})).astype(np.float32)
        for value in np.linspace(factor.low, factor.high, 5)
    ]
    travelled = [np.abs(image - path[0]).mean() for image in path]
    steps = [np.abs(b - a).mean() for a, b in pairwise(path)]
    assert np.all(np.diff(travelled) > 0)
    assert max(steps) < 3 * min(steps)


def test_a_face_turned_the_other_way_is_its_mirror_image() -> None:
    factors = faces.sample(200, seed=4)
    symmetric = factors["hair_style"] != 2  # hair swept to one side has no mirror image
    factors = {name: values[symmetric] for name, values in factors.items()}
    turned = faces.change(factors, **{name: -factors[name] for name in ("pose", "gaze", "light")})
    mirrored = faces.render(turned)[..., ::-1]
    assert difference(mirrored, faces.render(factors)).max() <= 1  # rounding


# --- the look ---------------------------------------------------------------------------------


def test_edges_are_antialiased() -> None:
    factors = faces.sample(24, seed=6)
    fine = faces.render(factors, size=512)
    truth = box_downsample(fine, 64)  # what a camera with square pixels would see
    jagged = fine[:, :, 4::8, 4::8].astype(np.float32)  # one point a pixel
    ours = faces.render(factors).astype(np.float32)
    error, without = (np.square(image - truth).mean() for image in (ours, jagged))
    assert error < 0.2 * without


def test_pictures_are_the_same_at_every_size() -> None:
    factors = faces.sample(32, seed=8)
    small = faces.render(factors).astype(np.float32)
    halved = box_downsample(faces.render(factors, size=128), 64)
    assert np.abs(small - halved).mean() < 1


@pytest.mark.slow
def test_factors_can_be_read_off_the_pixels_by_ridge_regression() -> None:
    """R², or accuracy above chance as a part of what is possible, on faces not fitted."""
    factors = faces.sample(6000, seed=1)
    x = box_downsample(faces.render(factors), 32).reshape(6000, -1) / 255
    fitted, held = slice(0, 5000), slice(5000, None)
    targets = {
        factor.name: np.eye(len(factor.values))[factors[factor.name]]
        if factor.values
        else factors[factor.name][:, None]
        for factor in faces.FACTORS
    }
    model = Ridge(alpha=10).fit(x[fitted], np.hstack(list(targets.values()))[fitted])
    predicted, first, scores = model.predict(x[held]), 0, {}
    for factor in faces.FACTORS:
        width = targets[factor.name].shape[1]
        guess, truth = predicted[:, first : first + width], factors[factor.name][held]
        first += width
        if factor.values:
            chance = np.bincount(truth).max() / len(truth)
            scores[factor.name] = ((guess.argmax(1) == truth).mean() - chance) / (1 - chance)
        else:
            scores[factor.name] = 1 - np.square(guess[:, 0] - truth).mean() / truth.var()
    assert min(scores.values()) > 0.4, scores
    assert np.mean(list(scores.values())) > 0.8, scores


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smlie": 1.0}, "did you mean 'smile'"),
        ({"smile": 1.5}, r"smile: values must lie in \[-1, 1\]"),
        ({"smile": float("nan")}, r"smile: values must lie in \[-1, 1\]"),
        ({"hair_style": "bunn"}, "did you mean 'bun'"),
        ({"hair_style": 7}, r"hair_style: values must lie in \[0, 6\]"),
        ({"hair_style": 1.5}, "hair_style: values must be whole"),
        ({"smile": "broad"}, "smile is a number from -1 to 1"),
        ({"smile": np.zeros(3)}, r"smile: shape \(3,\) given; give one value or \(4,\)"),
    ],
)
def test_wrong_changes_are_refused_in_one_line(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        faces.change(faces.sample(4), **changes)
    assert "\n" not in str(error.value)


def test_wrong_factors_are_refused_in_one_line() -> None:
    factors = faces.sample(4)
    with pytest.raises(InputError, match="'beard' is missing"):
        faces.render({name: values for name, values in factors.items() if name != "beard"})
    with pytest.raises(InputError, match=r"size 4 \(--size\)"):
        faces.render(factors, size=4)
    with pytest.raises(InputError, match="n=-1"):
        faces.sample(-1)


def test_no_faces_are_none() -> None:
    assert faces.render(faces.sample(0)).shape == (0, 3, 64, 64)


def test_the_data_set_holds_images_and_factors() -> None:
    data = faces.dataset(40, seed=1, correlated=True)
    factors = faces.sample(40, seed=1, correlated=True)
    np.testing.assert_array_equal(data.images, faces.render(factors))
    assert data.labels is None
    assert set(data.attributes) == {factor.name for factor in faces.FACTORS}
    for name, values in factors.items():
        np.testing.assert_array_equal(data.attributes[name], values)
