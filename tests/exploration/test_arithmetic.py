"""Expressions are read as they are meant, and what cannot be read is pointed at."""

import random

import pytest
import torch

from preimage.core import InputError
from preimage.exploration.arithmetic import Term, combined, parse

KNOWN = {"a.png", "b.png", "c.png", "img-01.png", "a+b", "faces/old-men", "3"}.__contains__


def read(text):
    return {term.name: term.coefficient for term in parse(text, KNOWN)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png", {"a.png": 1}),
        ("a.png - b.png + c.png", {"a.png": 1, "b.png": -1, "c.png": 1}),
        ("0.5*a.png", {"a.png": 0.5}),
        ("a.png * .5", {"a.png": 0.5}),
        ("1e-1 * a.png", {"a.png": 0.1}),
        ("(a.png + b.png) / 2", {"a.png": 0.5, "b.png": 0.5}),
        ("2 * (a.png - (b.png - c.png))", {"a.png": 2, "b.png": -2, "c.png": 2}),
        ("(1 + 2) * a.png / 4", {"a.png": 0.75}),
        ("-a.png + b.png", {"a.png": -1, "b.png": 1}),
        ("a.png - - b.png", {"a.png": 1, "b.png": 1}),
        ("a.png + b.png - b.png", {"a.png": 1, "b.png": 0}),
        ("a.png − b.png", {"a.png": 1, "b.png": -1}),  # the sign that typesetters have
        ("  a.png  ", {"a.png": 1}),
        ("'my photo.png' - \"x - y.png\"", {"my photo.png": 1, "x - y.png": -1}),
        ("img-01.png - a.png", {"img-01.png": 1, "a.png": -1}),  # a sign within a word
        ("new-02.png - a.png", {"new-02.png": 1, "a.png": -1}),  # though no such file be known
        ("a.png-b.png", {"a.png": 1, "b.png": -1}),  # but a known name ends a word
        ("a.png- b.png", {"a.png": 1, "b.png": -1}),
        ("a.png -b.png", {"a.png": 1, "b.png": -1}),
        ("img-01.png-a.png+b.png", {"img-01.png": 1, "a.png": -1, "b.png": 1}),
        ("a+b + c.png", {"a+b": 1, "c.png": 1}),
        ("a.png/2", {"a.png": 0.5}),
        ("faces/old-men - faces/men", {"faces/old-men": 1, "faces/men": -1}),
        ("3 - a.png", {"3": 1, "a.png": -1}),  # a folder of that name
        ("found.npz[3] + random:7", {"found.npz[3]": 1, "random:7": 1}),
    ],
)
def test_an_expression_means_what_it_says(text, expected):
    assert read(text) == pytest.approx(expected)


def test_terms_remember_where_they_stand():
    terms = parse("a.png - 'b.png' + a.png", KNOWN)
    assert terms == (Term("a.png", 2.0, 1), Term("b.png", -1.0, 9))


@pytest.mark.parametrize("seed", range(20))
def test_parsing_undoes_writing(seed):
    """A random expression, written with all its brackets, evaluates as Python evaluates it."""
    chance = random.Random(seed)
    names = ("a.png", "img-01.png", "b.png")

    def written(depth):
        """An expression, and its coefficients."""
        if depth == 0 or chance.random() < 0.2:
            name = chance.choice(names)
            return name, [float(name == other) for other in names]
        kind = chance.choice(["+", "-", "*", "/", "u"])
        text, value = written(depth - 1)
        if kind in "+-":
            other, more = written(depth - 1)
            sign = 1 if kind == "+" else -1
            summed = [x + sign * y for x, y in zip(value, more, strict=True)]
            return f"({text} {kind} {other})", summed
        if kind == "u":
            return f"-{text}" if text[0] != "-" else text, [-v for v in value] if text[
                0
            ] != "-" else value
        factor = chance.choice([0.5, 2.0, 3.0])
        if kind == "*":
            return f"{factor} * ({text})", [factor * v for v in value]
        return f"({text}) / {factor}", [v / factor for v in value]

    text, value = written(5)
    found = read(text)
    assert [found.get(name, 0.0) for name in names] == pytest.approx(value)


def test_a_plus_b_minus_b_is_a():
    latents = {name: torch.randn(2, 3) for name in ("a.png", "b.png", "c.png")}
    z = combined(parse("a.png + b.png - b.png", KNOWN), latents)
    torch.testing.assert_close(z, latents["a.png"])
    z = combined(parse("2 * (a.png - 0.5 * b.png) + c.png", KNOWN), latents)
    expected = 2 * latents["a.png"] - latents["b.png"] + latents["c.png"]
    torch.testing.assert_close(z, expected)


@pytest.mark.parametrize(
    ("text", "what", "character"),
    [
        ("a.png +", "an image is missing", 8),
        ("a.png + * b.png", r"an image is missing before '\*'", 9),
        ("a.png b.png", "missing before 'b.png'", 7),
        ("my photo.png", "names with spaces stand in quotes", 4),
        ("(a.png - b.png", "never closed", 1),
        ("a.png - b.png)", "closes nothing", 14),
        ("(a.png b.png)", "missing before 'b.png'", 8),
        ("a.png - 'b.png", "quote is never closed", 9),
        ("a.png - ''", "a name is empty", 9),
        ("a.png * b.png", "multiplied", 7),
        ("2 / a.png", "divided by an image", 3),
        ("a.png / 0", "division by 0", 7),
        ("a.png + 2", "cannot be summed", 9),
        ("b.png - 1e400 * a.png", "no number to draw", 17),
        ("1e200 * (1e200 * a.png)", "no number to draw", 18),
        ("()", r"missing before '\)'", 2),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text, what, character):
    with pytest.raises(InputError, match=what) as error:
        parse(text, KNOWN)
    assert str(error.value).endswith(f"(at character {character})")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("2 * 4", "names no image"),
        ("(" * 3000 + "a.png", "nested too deeply"),
    ],
)
def test_an_expression_of_nothing_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)
