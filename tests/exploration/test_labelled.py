"""Directions with labels: planted attributes found again, in units that are true, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from preimage.core import InputError
from preimage.exploration.attributes import Attribute, attribute, columns
from preimage.exploration.joint import fit_jointly
from preimage.exploration.labelled import METHODS, fit
from preimage.exploration.validation import balanced, folds, r_squared
from preimage.runs.directions import check_name

N, D = 4000, 16


def planted(
    *, noise: float = 0.3, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents N(0, I), a unit vector u, and an attribute u·z + noise."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(N, D, generator=g)
    u = torch.nn.functional.normalize(torch.randn(D, generator=g), dim=0)
    return z, u, z @ u + noise * torch.randn(N, generator=g)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


@pytest.mark.parametrize("shape", [(D,), (4, 2, 2)], ids=["flat", "spatial"])
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_attribute_is_found(method: str, shape: tuple[int, ...]) -> None:
    z, u, a = planted()
    known = attribute("smile", a > 0.4)
    found = fit(z.reshape(N, *shape), known, model="m", method=method)
    assert found.vector.shape == shape
    assert cosine(found.vector, u) > 0.99
    assert found.normal is not None
    assert cosine(found.normal, u) > 0.99


@pytest.mark.parametrize("method", ["mean-difference", "ridge"])
def test_one_unit_is_one_standard_deviation(method: str) -> None:
    # z = a b + noise across b: latents of images whose a is higher by σ lie σ b further.
    g = torch.Generator().manual_seed(1)
    a = 3 + 2 * torch.rand(N, generator=g)
    b = torch.randn(D, generator=g)
    z = a[:, None] * b + 0.1 * torch.randn(N, D, generator=g)
    found = fit(z, attribute("age", a), model="m", method=method)
    if method == "mean-difference":  # the others go along what reads, not along what changes
        assert torch.allclose(found.vector, a.std() * b, atol=0.02)
    assert found.mean == pytest.approx(a.mean().item(), abs=1e-4)
    assert found.deviation == pytest.approx(a.double().std(correction=0).item(), rel=1e-5)
    # and the reading is the attribute in these units, wherever a latent is moved to
    standard = (a - a.mean()) / a.std()
    assert (found.read(z) - standard).abs().mean() < 0.05
    assert torch.allclose(found.read(found.move(z, 1.5)) - found.read(z), torch.tensor(1.5))


@pytest.mark.parametrize("method", METHODS)
def test_readings_of_two_classes_are_unbiased(method: str) -> None:
    z, _, a = planted()
    known = attribute("smile", a > 1)
    found = fit(z, known, model="m", method=method)
    positive = known.values > 0.5
    p = positive.double().mean()
    readings = found.read(z)
    for side, value in ((positive, 1.0), (~positive, 0.0)):
        meant = (value - p) / (p * (1 - p)).sqrt()
        assert readings[side].mean().item() == pytest.approx(meant.item(), abs=1e-4)


def test_accuracy_is_that_of_unseen_examples() -> None:
    # Of labels by chance a fit knows its own by heart, with so many dimensions.
    g = torch.Generator().manual_seed(0)
    z, coin = torch.randn(120, 100, generator=g), torch.rand(120, generator=g) > 0.5
    report = fit(z, attribute("coin", coin), model="m", method="svm").report
    assert report["accuracy"]["low"] < 0.5 < report["accuracy"]["high"]  # type: ignore[index]


def test_accuracy_and_fit_reach_what_theory_says() -> None:
    # R² of a = u·z + noise is 1/(1 + noise²); the best classifier of a > 0 errs by arctan(noise)/π.
    z, _, a = planted(noise=0.5)
    report = fit(z, attribute("age", a), model="m", method="ridge").report
    assert report["r_squared"]["value"] == pytest.approx(0.8, abs=0.02)  # type: ignore[index]
    report = fit(z, attribute("old", a > 0), model="m", method="logistic").report
    best = 1 - np.arctan(0.5) / np.pi
    assert report["accuracy"]["value"] == pytest.approx(best, abs=0.02)  # type: ignore[index]


def test_more_dimensions_than_examples() -> None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(60, 400, generator=g)
    z[:30, 0] += 20
    known = attribute("far", torch.arange(60) < 30)
    for method in METHODS:
        found = fit(z, known, model="m", method=method)
        assert cosine(found.vector, torch.eye(400)[0]) > 0.85, method
        assert found.report["accuracy"]["value"] == 1  # type: ignore[index]


def test_unknown_labels_are_left_out_and_counted() -> None:
    z, _, a = planted()
    values = (a > 0).double()
    values[::4] = torch.nan
    found = fit(z, attribute("smile", values), model="m")
    kept = torch.arange(N) % 4 != 0
    alone = fit(z[kept], attribute("smile", values[kept]), model="m")
    assert torch.equal(found.vector, alone.vector)
    assert (found.report["examples"], found.report["left_out"]) == (3 * N // 4, N // 4)


def test_correlations_with_other_attributes() -> None:
    z, u, a = planted(noise=0.0)
    across = torch.linalg.qr(torch.stack([u, torch.ones(D)], 1))[0][:, 1]
    other = 0.6 * (z @ u) + 0.8 * (z @ across)
    others = {"other": attribute("other", other), "noise": attribute("noise", torch.randn(N))}
    report = fit(z, attribute("a", a), model="m", method="ridge", others=others).report
    found = report["correlations"]
    assert found["a"] == pytest.approx(1, abs=0.01)  # type: ignore[index]
    assert found["other"] == pytest.approx(0.6, abs=0.04)  # type: ignore[index]
    assert abs(found["noise"]) < 0.06  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1] * 30, "one class only"),
        ([0] * 27 + [1] * 3, "3 examples of '1'; at least 5 of each kind are needed"),
        ([1.5, 2, 3], "3 examples; at least 10"),
        ([np.nan] * 30, "known of no image"),
    ],
)
def test_too_little_to_learn_from_is_said(values: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(torch.randn(len(values), 4), attribute("smile", values), model="m")


def test_what_makes_no_sense_is_refused() -> None:
    z, a = torch.randn(40, 4), torch.linspace(0, 1, 40)
    with pytest.raises(InputError, match=r"continuous.*ridge"):
        fit(z, attribute("age", a), model="m", method="svm")
    with pytest.raises(InputError, match="did you mean 'ridge'"):
        fit(z, attribute("age", a), model="m", method="rigde")
    with pytest.raises(InputError, match="say nothing of 'age'"):
        fit(torch.ones(40, 4), attribute("age", a), model="m")
    with pytest.raises(InputError, match=r"40 values.*30 latents"):
        fit(z[:30], attribute("age", a), model="m")


# --- all attributes at once ---


def company(seed: int = 0) -> tuple[torch.Tensor, dict[str, Attribute], np.ndarray, np.ndarray]:
    """Latents moved by age, glasses (which come with age) and hair of three kinds: z = B x + ε."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(size=N)
    glasses = (rng.uniform(size=N) < 0.9 * age).astype(float)
    hair = np.where(rng.uniform(size=N) < age, 2, rng.integers(0, 3, N))
    B = rng.normal(size=(5, D))
    x = np.column_stack([3 * age, glasses, np.eye(3)[hair]])
    z = x @ B + 0.1 * rng.normal(size=(N, D))
    known = columns(
        {"age": age, "glasses": glasses, "hair": hair.astype(float)},
        {"glasses": ("no", "yes"), "hair": ("red", "blond", "grey")},
    )
    return torch.from_numpy(z), known, B, x


def test_the_joint_fit_tells_company_apart() -> None:
    z, known, B, x = company()
    found = fit_jointly(z, known, model="m")
    assert list(found) == ["age", "glasses", "hair:red", "hair:blond", "hair:grey"]
    age, glasses = found["age"], found["glasses"]
    assert torch.allclose(age.vector.double(), torch.from_numpy(B[0] * x[:, 0].std()), atol=0.02)
    assert torch.allclose(
        glasses.vector.double(), torch.from_numpy(B[1] * x[:, 1].std()), atol=0.02
    )
    # one value among several goes there from the mixture of the others
    p = x[:, 2:].mean(0)
    grey = B[4] - (p[0] * B[2] + p[1] * B[3]) / (p[0] + p[1])
    expected = torch.from_numpy(grey * x[:, 4].std())
    assert torch.allclose(found["hair:grey"].vector.double(), expected, atol=0.02)
    # the mean difference takes the company along, by the amount the two go together
    plain = fit(z, known["glasses"], model="m")
    slope = np.cov(x[:, 0], x[:, 1])[0, 1] / x[:, 1].std()
    leak = (plain.vector.double() @ age.normal.double()) * x[:, 0].std()  # type: ignore[union-attr]
    assert leak.item() == pytest.approx(slope, rel=0.05)


def test_joint_readings_move_for_their_own_attribute_alone() -> None:
    z, known, _, _ = company()
    found = list(fit_jointly(z, known, model="m").values())
    moves = torch.tensor([[r.read(d.vector[None]) - r.offset for d in found] for r in found])
    assert torch.allclose(moves.diagonal(), torch.ones(5), atol=1e-4)
    for i, reading in enumerate(found):
        for j, moved in enumerate(found):
            if reading.attribute != moved.attribute:
                assert abs(moves[i, j]) < 0.03, (reading.name, moved.name)


def test_what_cannot_be_read_does_not_spoil_the_rest() -> None:
    z, known, _, _ = company()
    chance = {f"chance {i}": attribute(f"chance {i}", torch.randn(N)) for i in range(D)}
    found = fit_jointly(z, known | chance, model="m")  # more attributes than latent numbers
    assert found["age"].report["r_squared"]["value"] > 0.9  # type: ignore[index]
    assert abs(found["chance 3"].report["r_squared"]["value"]) < 0.01  # type: ignore[index]


def test_attributes_that_always_go_together_cannot_be_told_apart() -> None:
    z, known, _, _ = company()
    twin = {"old": attribute("old", -known["age"].values)}
    with pytest.raises(InputError, match="'age' and 'old' go together in every image"):
        fit_jointly(z, known | twin, model="m")
    few = {f"a{i}": attribute(f"a{i}", torch.randn(18)) for i in range(8)}
    with pytest.raises(InputError, match=r"18 examples for 8 attributes.*at least 26"):
        fit_jointly(z[:18], few, model="m")


# --- columns, folds and intervals ---


def test_columns_of_attributes() -> None:
    found = columns(
        {
            "age": np.array([1.0, 2, 3, np.nan]),
            "smile": np.array([-1.0, 1, 1, -1]),
            "hair/style": np.array([0.0, 1, 2, 3]),
            "glasses": np.array([0.0, 1, 1, 0]),
        },
        {"hair/style": ("", "bob", "n/a", "bun"), "glasses": ("no", "yes")},
    )
    assert list(found) == [
        "age", "smile", "hair-style:bob", "hair-style:n-a", "hair-style:bun", "glasses",
    ]  # fmt: skip
    assert found["age"].meaning is None
    assert found["smile"].values.tolist() == [0, 1, 1, 0]
    assert found["smile"].meaning == ("-1", "1")
    assert found["glasses"].meaning == ("no", "yes")
    assert found["hair-style:bun"].group == "hair-style"
    assert found["hair-style:bun"].values[1:].tolist() == [0, 0, 1]
    assert found["hair-style:bun"].values[0].isnan()


def test_odd_names_become_names_that_can_be_saved_and_none_is_lost() -> None:
    values = np.array([0.0, 1, 2, 0])
    names = ["%grey", "-x", "a/b", "a?b", "a-b", "x" * 200, "…"]
    found = columns(
        dict.fromkeys(names, values) | {"hair": values}, {"hair": ("a b", "a/b", "a?b")}
    )
    assert list(found)[:5] == ["grey", "x", "a-b", "a-b-2", "a-b-3"]
    assert list(found)[-3:] == ["hair:a b", "hair:a-b", "hair:a-b-2"]
    for name in found:
        check_name(name)


def test_folds_are_disjoint_whole_and_alike() -> None:
    a = np.repeat([0.0, 1.0], [90, 10])
    tests = [test for _, test in folds(a)]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(100))
    assert all(a[test].sum() == 2 for test in tests)
    assert all(not set(train) & set(test) for train, test in folds(a))


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        m = balanced(rng.uniform(size=30) < 0.95, rng.uniform(size=60) < 0.7)
        held += m.low <= 0.825 <= m.high
    assert held / 300 > 0.92
    assert balanced(np.ones(10, bool), np.ones(10, bool)).low < 0.9
    x, e = rng.normal(size=(2, 2000))
    measure = r_squared(x, x + e)
    assert measure.low < 0.5 < measure.high
