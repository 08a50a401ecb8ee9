"""Neighbours are those that NumPy finds, conditions mean what they say, likeness what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preimage.applications import filters
from preimage.applications.filters import Column, holds, parse
from preimage.applications.likeness import KINDS, Likeness, decoder_gram, fit, slightly_changed
from preimage.applications.retrieval import make_lists, merged, nearest
from preimage.core import InputError


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_exact_search_is_numpy_s() -> None:
    x, q = random(3000, 24), random(50, 24, seed=1)
    distances = ((q[:, None].astype(float) - x[None]) ** 2).sum(2)
    found, rows = nearest(q, x, 10)
    assert (rows == np.argsort(distances, 1)[:, :10]).all()
    np.testing.assert_allclose(found, np.sort(distances, 1)[:, :10], rtol=1e-4)
    some = np.arange(5, 3000, 7)
    assert (nearest(q, x, 10, some)[1] == some[np.argsort(distances[:, some], 1)[:, :10]]).all()
    assert nearest(q, x[:3], 10)[1].shape == (50, 3)
    assert nearest(q, x, 10, some[:0])[1].shape == (50, 0)


def test_parts_are_merged_as_if_they_were_one() -> None:
    x, q = random(1000, 8), random(20, 8, seed=1)
    parts = [nearest(q, x, 10, np.arange(first, first + 250)) for first in range(0, 1000, 250)]
    assert (merged(parts, 10)[1] == nearest(q, x, 10)[1]).all()


@pytest.mark.parametrize("recall", [0.8, 0.99])
def test_lists_hold_every_vector_once_and_their_recall_is_true(recall: float) -> None:
    x, q = random(4000, 8), random(300, 8, seed=1)
    lists = make_lists(x, recall=recall)
    assert sorted(lists.order) == list(range(4000))
    assert lists.sizes.sum() == 4000
    assert lists.recall >= recall
    own = np.empty(4000, int)
    own[lists.order] = np.repeat(np.arange(len(lists.sizes)), lists.sizes)
    assert (own == nearest(x, lists.centroids, 1)[1][:, 0]).all()
    read = nearest(q, lists.centroids, lists.probe)[1]
    hits = []
    for row, neighbours in enumerate(nearest(q, x, 10)[1]):
        hits.append(np.isin(own[neighbours], read[row]).mean())
    assert abs(np.mean(hits) - lists.recall) < 0.03
    assert np.mean(hits) < 0.9 or recall > 0.9  # no more lists than it takes


def test_lists_of_equal_vectors_are_lists() -> None:
    lists = make_lists(np.ones((700, 4), np.float32))
    assert lists.sizes.sum() == 700
    assert lists.recall == 1


COLUMNS = {
    "age": Column(np.array([0.1, 0.9, np.nan, 0.5], np.float32)),
    "hair style": Column(np.array([0, 1, 1, np.nan], np.float32), ("bun", "bald")),
}
PATHS = ["a/one.png", "a/two.png", "B/three.png", "B/four.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age > 0.5", "0100"),
        ("age>=.5", "0101"),
        ("age < 5e-1", "1000"),
        ("age != 0.1", "0101"),
        ("not age = 0.1", "0111"),
        ("not not age = 0.1", "1000"),
        ("'hair style' = bald", "0110"),
        ('"hair style"!=bald', "1000"),
        ("'hair style' ~ B", "1110"),
        ("path ~ b/", "0011"),
        ("path = a/one.png", "1000"),
        ("path != a/one.png", "0111"),
        ("age = 0.1 or age = 0.5 and path ~ nothing", "1000"),
        ("(age = 0.1 or age = 0.5) and path ~ four", "0001"),
        ("age <= yes AND age > no", "1101"),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: str) -> None:
    condition = parse(text)
    known = {name: column.categories for name, column in COLUMNS.items()}
    filters.check(text, condition, known)
    found = holds(condition, COLUMNS, lambda: PATHS, 4)
    assert "".join(str(int(one)) for one in found) == expected


def test_of_a_word_that_is_missing_nothing_holds() -> None:
    """A labels file leaves it empty, wherever that stands among the words."""
    codes = np.array([0, 1, 2, np.nan, 1], np.float32)
    columns = {"smile": Column(codes, ("no", "", "yes"))}
    known = {"smile": columns["smile"].categories}
    for text, expected in (
        ("smile != yes", "10000"),
        ("smile = yes", "00100"),
        ("smile ~ ''", "10100"),
        ("not smile = yes", "11011"),
    ):
        filters.check(text, parse(text), known)
        found = holds(parse(text), columns, lambda: [""] * 5, 5)
        assert "".join(str(int(one)) for one in found) == expected
    with pytest.raises(InputError, match="never ''; choose from: no, yes"):
        filters.check("smile = ''", parse("smile = ''"), known)


@pytest.mark.parametrize(
    ("text", "what", "at"),
    [
        ("age > ", "a value is missing", 7),
        ("age 0.5", "is missing after age", 5),
        ("age > 0.5 path ~ b", "'and' or 'or' is missing before path", 11),
        ("age > 0.5)", "closes nothing", 10),
        ("not (age > 0.5", "a '\\(' is not closed", 5),
        ("path ~ 'two", "a quote is not closed", 8),
        ("and age = 1", "missing after and", 5),
        ("aeg > 0.5", "did you mean 'age'", 1),
        ("age = 1 or age > old", "'old' is no number", 18),
        ("'hair style' = bold", "did you mean 'bald'", 16),
        ("'hair style' > bun", "compare it by", 1),
        ("age ~ 5", "numbers", 1),
        ("path > 5", "text", 1),
        ("! = 5", "means nothing", 1),
        ("(" * 2000 + "age = 1" + ")" * 2000, "nested too deeply", 51),
        ("not " * 2000 + "age = 1", "nested too deeply", 201),
    ],
)
def test_a_condition_that_cannot_be_read_is_pointed_at(text: str, what: str, at: int) -> None:
    known = {name: column.categories for name, column in COLUMNS.items()}
    with pytest.raises(InputError, match=rf"(?s){what}.*\(at character {at}\)"):
        filters.check(text, parse(text), known)
    with pytest.raises(InputError, match="is empty"):
        parse("  ")


def test_whitened_is_mahalanobis_and_decoder_is_the_distance_of_images() -> None:
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=g)
    z = torch.randn(4000, 6, generator=g) @ mix
    a, b = z[:50].numpy(), z[50:100].numpy()
    v = fit("whitened", z)
    Σ = np.cov(z.numpy().T.astype(float))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", a - b, np.linalg.inv(Σ), a - b))
    found = np.linalg.norm(v(a) - v(b), axis=1)
    assert np.corrcoef(found, expected)[0, 1] > 0.98  # the ridge keeps it from being 1
    W = torch.randn(6, 400, generator=g)
    gram = decoder_gram(lambda x: x @ W, z[:64], g)
    v = fit("decoder", z, gram=gram)
    expected = ((torch.from_numpy(a - b)) @ W).norm(dim=1).numpy()
    np.testing.assert_allclose(np.linalg.norm(v(a) - v(b), axis=1), expected, rtol=0.25)
    assert np.allclose(fit("latent", z)(a) - fit("latent", z)(b), a - b, atol=1e-5)
    cosine = fit("cosine", z)
    u, w = a - z.numpy().mean(0), b - z.numpy().mean(0)
    angle = (u * w).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(((cosine(a) - cosine(b)) ** 2).sum(1), 2 - 2 * angle, atol=1e-4)


@pytest.mark.parametrize("kind", ["steady", "features"])
def test_what_changes_do_counts_for_little(kind: str) -> None:
    """Planted: who it is lies in two numbers, what changes do in four that are much larger."""
    g = torch.Generator().manual_seed(0)

    def seen(who: torch.Tensor) -> torch.Tensor:
        n = len(who)
        noise = [torch.randn(n, 4, generator=g) * 5, torch.randn(n, 2, generator=g) * 0.01]
        return torch.cat([who + noise[1], noise[0]], 1)

    who = torch.randn(500, 2, generator=g)
    x, again = seen(who), seen(who)
    v = fit(kind, x, [seen(who) for _ in range(4)])
    found = nearest(v(x.numpy()), v(again.numpy()), 1)[1][:, 0]
    plain = nearest(x.numpy(), again.numpy(), 1)[1][:, 0]
    assert (plain == np.arange(500)).mean() < 0.3
    assert (found == np.arange(500)).mean() > 3 * (plain == np.arange(500)).mean()


def test_changes_are_slight() -> None:
    x = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.nn.functional.avg_pool2d(x, 9, 1, 4)
    g = torch.Generator().manual_seed(1)
    changed = slightly_changed(x, g)
    assert changed.shape == x.shape
    assert changed.abs().max() <= 1
    near = torch.cdist(changed.flatten(1), x.flatten(1)).argmin(1)
    assert (near == torch.arange(64)).float().mean() > 0.8
    assert (changed - x).abs().mean() > 0.01
    assert set(KINDS) >= {"latent", "steady"}


def test_a_likeness_is_the_same_alone_and_in_company() -> None:
    v = Likeness("steady", random(5), random(5, 5, seed=1))
    x = random(100, 5, seed=2)
    np.testing.assert_allclose(v(x)[7], v(x[7:8])[0], atol=1e-6)
