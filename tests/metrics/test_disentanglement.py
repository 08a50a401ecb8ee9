"""Scores of disentanglement where codes are known functions of factors."""

import numpy as np
import pytest
from scipy.linalg import hadamard
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_mutual_info_score, balanced_accuracy_score, mutual_info_score

from preimage.core import InputError
from preimage.metrics.disentanglement import (
    dci,
    dci_of,
    information_matrix,
    mig,
    mutual_information,
    predictability,
    sap,
)
from preimage.metrics.factors import labelled, quantile_bins
from preimage.metrics.interventions import beta_vae, conditioned, factor_vae

N = 1000


def factors(n=N, seed=0):
    numbers = np.random.default_rng(seed)
    return {
        "pose": numbers.uniform(-1, 1, n),
        "hue": numbers.integers(0, 4, n),
        "size": numbers.uniform(0, 1, n),
    }


def aligned(f):
    """One code for each factor, on scales of its own, and one that is noise."""
    noise = np.random.default_rng(9).normal(size=len(f["pose"]))
    return np.stack([3 * f["pose"] ** 3, 0.5 * f["hue"], -f["size"], noise], 1)


def mixed(f):
    """Every code is an equal part of every factor."""
    z = aligned(f)
    return (z - z.mean(0)) / z.std(0) @ hadamard(4) / 2


def votes(score, z, f):
    draw, names = conditioned(z, f)
    return score(draw, names, z, votes=300, size=32)


def test_disentangled_codes_score_high_and_mixed_ones_low():
    f = factors()
    for z, low, high in ((aligned(f), 0.9, 1.0), (mixed(f), 0.0, 0.5)):
        found = dci(z, f)
        gap = mig(z, f)
        assert low <= gap.score.low <= gap.score.value <= gap.score.high <= high
        for measure in (found.disentanglement, found.completeness):
            assert low - 0.1 <= measure.value <= high + 0.1
    assert sap(aligned(f), f).score.value > 0.65  # a quarter of a discrete factor is guessed
    assert sap(mixed(f), f).score.value < 0.3
    assert dci(aligned(f), f).informativeness.value > 0.95
    matrix = mig(aligned(f), f).matrix
    np.testing.assert_allclose(matrix[:3], np.eye(3), atol=0.05)


def test_codes_that_know_nothing_score_nothing():
    f, z = factors(), np.random.default_rng(5).normal(size=(N, 3))
    assert mig(z, f).score.value < 0.02
    assert sap(z, f).score.value < 0.03
    assert dci(z, f).informativeness.value < 0.03
    for score in (factor_vae, beta_vae):
        found = votes(score, z, f)
        assert found.accuracy.value < 0.55
        assert found.chance == pytest.approx(1 / 3)


def test_one_outlier_does_not_take_the_gap_away():
    """With bins of equal width one far value puts all others in one, and the score falls."""
    f = factors()
    z = aligned(f)
    before = mig(z, f).score.value
    z[0] *= 1e6
    assert mig(z, f).score.value == pytest.approx(before, abs=0.02)
    wide = [np.digitize(c, np.linspace(c.min(), c.max(), 21)[1:-1]) for c in z.T]
    assert mutual_info_score(wide[0], quantile_bins(f["pose"], 20)) < 0.02


def test_a_rare_value_is_told_apart_whether_it_is_a_number_or_a_truth():
    z = aligned(factors())
    rare = np.random.default_rng(1).random(N) < 0.04
    z[:, 3] = rare + 0.01 * z[:, 3]
    of_truths, of_numbers = (mig(z, {"rare": rare.astype(kind)}).score for kind in (bool, float))
    assert of_truths == of_numbers
    assert of_numbers.value > 0.5


def test_scikit_learn_agrees_on_information():
    f = factors(600)
    z = mixed(f)
    data = labelled(z, f)
    ours = information_matrix(data)
    a, v = quantile_bins(z[:, 0], 20), data.factors[1].values
    table = np.histogram2d(a, v, (20, 4))[0]
    assert mutual_information(table) == pytest.approx(mutual_info_score(a, v), abs=1e-12)
    # Adjusted by the entropy of the second, which the package cannot do but for a copy of it.
    assert ours[0, 1] == pytest.approx(
        (mutual_info_score(a, v) - _expected(a, v)) / (np.log(4) - _expected(a, v)), abs=2e-3
    )
    same = adjusted_mutual_info_score(a, a)
    assert information_matrix(labelled(z, {"a": a, "b": v}))[0, 0] == pytest.approx(same, abs=1e-9)


def _expected(a, v):
    numbers = np.random.default_rng(0)
    return np.mean([mutual_info_score(a, numbers.permutation(v)) for _ in range(300)])


def test_importances_with_known_answers():
    assert dci_of(np.eye(5)) == pytest.approx((1, 1))
    assert dci_of(np.diag([3.0, 1, 0, 2])) == pytest.approx((1, 1))
    assert dci_of(np.zeros((4, 3))) == (0, 0)
    assert dci_of(np.ones((4, 3))) == pytest.approx((0, 0), abs=1e-12)
    two_of_ten = np.zeros((6, 10))
    two_of_ten[2, :2] = 1
    assert dci_of(two_of_ten)[0] == pytest.approx(1 - np.log(2) / np.log(10), rel=1e-12)
    assert dci_of(two_of_ten)[1] == pytest.approx(1)  # each of them is in one code


def test_scikit_learn_agrees_on_predictability():
    f = factors(500)
    z = mixed(f)
    S = predictability(labelled(z, f))
    assert S[1, 0] == pytest.approx(np.corrcoef(z[:, 1], f["pose"])[0, 1] ** 2, rel=1e-9)
    oracle = LinearDiscriminantAnalysis(priors=np.full(4, 0.25)).fit(z[:, 2:3], f["hue"])
    expected = balanced_accuracy_score(f["hue"], oracle.predict(z[:, 2:3]))
    assert S[2, 1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("score", [factor_vae, beta_vae])
def test_votes_find_the_factor_that_is_held_still(score):
    f = factors()
    assert votes(score, 3 * aligned(f), f).accuracy.low > 0.9
    found = votes(score, 3 * mixed(f), f).accuracy
    assert found.low <= found.value <= found.high


def test_a_majority_vote_cannot_tell_mixed_codes_where_a_linear_one_can():
    f = factors()
    assert votes(factor_vae, 3 * mixed(f), f).accuracy.value < 0.85


def test_collapsed_codes_do_not_vote():
    f = factors()
    z = np.hstack([3 * aligned(f), 1e-3 * np.random.default_rng(0).normal(size=(N, 1))])
    found = votes(factor_vae, z, f)
    assert found.accuracy.low > 0.9
    assert "1 of 5 codes" in found.notes[0]
    draw, names = conditioned(z, f)
    none = factor_vae(draw, names, 0 * z, votes=300)
    assert none.accuracy.value < 0.45


def test_votes_come_afresh_from_a_generator_too():
    def draw(name, groups, size, seed):
        f = factors(groups * size, seed=seed)
        f[name] = np.repeat(factors(groups, seed=seed + 100)[name], size)
        return 3 * aligned(f).reshape(groups, size, -1)

    f = factors()
    for score in (factor_vae, beta_vae):
        found = score(draw, list(f), 3 * aligned(f), votes=150, size=16)
        assert found.accuracy.low > 0.85


def test_intervals_hold_what_larger_samples_converge_to():
    def noisy(f, seed):
        return aligned(f) + 0.3 * np.random.default_rng(seed).normal(size=(len(f["pose"]), 4))

    def scores(n, seed):
        f = factors(n, seed=seed)
        z = noisy(f, seed + 1000)
        return mig(z, f, bins=8).score, sap(z, f).score

    truths = [measure.value for measure in scores(10_000, 777)]
    held = np.zeros(2)
    for seed in range(24):
        for i, found in enumerate(scores(600, seed)):
            held[i] += found.low <= truths[i] <= found.high
    assert (held >= 20).all(), held  # 95 % of 24, less two deviations and a half


def test_factors_that_do_not_vary_are_left_out_and_said():
    f = factors(600)
    found = mig(aligned(f), {**f, "hat": np.zeros(600, int), "word": np.array(["a"] * 600)})
    assert found.factors == ("pose", "hue", "size")
    assert [note.split("'")[1] for note in found.notes] == ["hat", "word"]


def test_a_factor_is_judged_by_the_images_that_it_is_known_of():
    f = factors()
    z, known = aligned(f), np.random.default_rng(3).random(N) < 0.5
    words = np.array(["red", "green", "blue", "grey"], "U10")[f["hue"]]
    words[~known] = np.where(np.arange(N) % 2, "", "unlabelled")[~known]
    some = {
        "hue": words,
        "pose": np.where(known, f["pose"], np.nan),
        "luck": np.where(np.arange(N) < 5, f["size"], np.nan),
    }
    of_known = {name: f[name][known] for name in ("hue", "pose")}
    assert sap(z, some).matrix == pytest.approx(sap(z[known], of_known).matrix)
    for score in (lambda *known: mig(*known).score, lambda *known: dci(*known).disentanglement):
        assert score(z, some).value == pytest.approx(score(z[known], of_known).value)
    assert votes(factor_vae, z, some).accuracy.value > 0.95
    n = known.sum()
    assert mig(z, some).notes == (
        f"factor 'hue' is known of {n} of {N} images",
        f"factor 'pose' is known of {n} of {N} images",
        f"factor 'luck' is known of 5 of {N} images and was left out",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, f: (z, {"hat": np.zeros(N, int)}), "vary"),
        (lambda z, f: (z, {"hue": f["hue"], "hat": np.ones(N)}), "there are: hue"),
        (lambda z, f: (z[:, :1], f), "at least 2"),
        (lambda z, f: (z * np.nan, f), "finite"),
        (lambda z, f: (z, {**f, "pose": f["pose"] * np.inf}), "'pose' holds"),
        (lambda z, f: (z, {**f, "pose": f["pose"] * np.nan, "size": np.ones(N)}), "are: hue"),
        (lambda z, f: (z[:-1], f), "does not match"),
        (lambda z, f: (z[:50], {k: v[:50] for k, v in f.items()}), "100 images"),
    ],
)
def test_what_says_nothing_is_refused(change, message):
    f = factors()
    with pytest.raises(InputError, match=message):
        dci(*change(aligned(f), f))


def test_too_few_images_for_the_bins_and_votes_for_the_factors():
    f = factors(100)
    with pytest.raises(InputError, match="give 200"):
        mig(aligned(f), f)
    draw, names = conditioned(aligned(f), f)
    with pytest.raises(InputError, match="votes=20"):
        factor_vae(draw, names, aligned(f), votes=20)
    with pytest.raises(InputError, match="no two images"):
        conditioned(aligned(f), {"a": np.arange(100), "b": f["hue"]})[0]("a", 3, 4, 0)
