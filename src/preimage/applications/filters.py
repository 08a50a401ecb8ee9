"""Conditions on what is known of images: `"smile = yes and age > 0.5 and not path ~ holiday"`.

    condition = part {"or" part}
    part      = test {"and" test}
    test      = "not" test | "(" condition ")" | name operator value
    operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"

`~` asks whether a text is within: of `path`, where an image lay, or of an attribute of words. Names
and values with spaces or signs stand in quotes. Nothing holds of what is not known of an image: it
is neither young nor old, and `not` of either holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from preimage.core import InputError
from preimage.core.errors import nearest_name

PATH = "path"  # what an image's name is called among attributes
DEEPEST = 50  # brackets and `not`s within one another
TOKEN = re.compile(
    r"\s*(?:(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<sign><=|>=|!=|=|<|>|~|\(|\))|(?P<word>[^\s<>=!~()\"']+))"
)
OPERATORS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
TRUTH = {"no": 0.0, "yes": 1.0}


@dataclass(frozen=True)
class Column:
    """What is known of N images: numbers, or words.

    Of an image whose word is "", as labels files leave it, nothing is known: it becomes NaN.
    """

    values: np.ndarray  # (N,) float32, NaN where unknown; codes, where there are categories
    categories: tuple[str, ...] = ()  # code → word

    def __post_init__(self) -> None:
        if "" not in self.categories:
            return
        empty = self.categories.index("")
        codes = np.where(self.values == empty, np.float32(np.nan), self.values)
        words = self.categories[:empty] + self.categories[empty + 1 :]
        object.__setattr__(self, "values", codes - (codes > empty))
        object.__setattr__(self, "categories", words)


@dataclass(frozen=True)
class Test:
    """`name operator value`."""

    name: str
    operator: str
    value: str
    name_at: int  # characters from 1, for those who cannot read it
    value_at: int


@dataclass(frozen=True)
class Not:
    of: Condition


@dataclass(frozen=True)
class Both:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    parts: tuple[Condition, ...]


Condition = Test | Not | Both | Either


def parse(text: str) -> Condition:
    """Raises InputError that names the character where the condition cannot be read."""
    return _Reader(text).condition()


def tests(condition: Condition) -> list[Test]:
    """All comparisons in it, from left to right."""
    if isinstance(condition, Test):
        return [condition]
    parts = (condition.of,) if isinstance(condition, Not) else condition.parts
    return [test for part in parts for test in tests(part)]


def check(text: str, condition: Condition, known: Mapping[str, Sequence[str]]) -> None:
    """Raises InputError, naming the character, for what no image could be asked.

    known: the names of attributes, and of those of words, all words there are; none of numbers.
    """
    for test in tests(condition):
        if test.name == PATH:
            if test.operator not in ("=", "!=", "~"):
                _refuse(text, f"'{PATH}' is text: compare it by =, != or ~", test.name_at)
        elif test.name not in known:
            mend = nearest_name(test.name, [*known, PATH])
            _refuse(text, f"nothing is known of '{test.name}'; {mend}", test.name_at)
        elif words := known[test.name]:
            if test.operator not in ("=", "!=", "~"):
                _refuse(text, f"'{test.name}' is words: compare it by =, != or ~", test.name_at)
            if test.operator != "~" and test.value not in words:
                mend = nearest_name(test.value, words)
                _refuse(text, f"'{test.name}' is never '{test.value}'; {mend}", test.value_at)
        elif test.operator == "~":
            _refuse(text, f"'{test.name}' is numbers, and ~ looks into text", test.name_at)
        elif number(test.value) is None:
            _refuse(text, f"'{test.value}' is no number; give one, yes or no", test.value_at)


def holds(
    condition: Condition,
    columns: Mapping[str, Column],  # of N images; one that is missing is known of none
    paths: Callable[[], Iterable[str]],  # of the N images, asked for only if need be
    n: int,
) -> np.ndarray:
    """Of which images a condition holds that was checked: (N,) bool."""
    if isinstance(condition, Not):
        return ~holds(condition.of, columns, paths, n)
    if isinstance(condition, Both | Either):
        join = np.logical_and if isinstance(condition, Both) else np.logical_or
        return join.reduce([holds(part, columns, paths, n) for part in condition.parts])
    if condition.name == PATH:
        return np.fromiter((_says(condition, path) for path in paths()), bool, n)
    if condition.name not in columns:
        return np.zeros(n, bool)
    column = columns[condition.name]
    known = np.isfinite(column.values)
    if column.categories:
        meant = np.array([_says(condition, word) for word in column.categories])
        codes = np.where(known, column.values, 0).astype(np.int64)
        return known & meant[codes]
    value = number(condition.value)
    assert value is not None  # `check` has seen to it
    return known & OPERATORS[condition.operator](column.values, float(np.float32(value)))


def number(value: str) -> float | None:
    """0.5, yes or no; None of what is none of these."""
    try:
        return TRUTH[value] if value in TRUTH else float(value)
    except ValueError:
        return None


def _says(test: Test, text: str) -> bool:
    if test.operator == "~":
        return test.value.casefold() in text.casefold()
    return (text == test.value) == (test.operator == "=")


def _refuse(text: str, what: str, at: int) -> NoReturn:
    raise InputError(f"--where {text!r}: {what} (at character {at})")


class _Reader:
    """Reads from left to right; `i` is the next token."""

    def __init__(self, text: str):
        self.text, self.i, self.depth = text, 0, 0
        self.tokens: list[tuple[str, str, int]] = []  # kind, what it says, character from 1
        at = 0
        while text[at:].strip():
            match = TOKEN.match(text, at)
            if match is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                what = (
                    "a quote is not closed" if text[at] in "\"'" else f"'{text[at]}' means nothing"
                )
                _refuse(text, what, at + 1)
            kind = match.lastgroup or ""
            self.tokens.append((kind, match[kind], match.start(kind) + 1))
            at = match.end()

    def condition(self) -> Condition:
        if not self.tokens:
            raise InputError("--where is empty; write something like 'smile = yes and age > 0.5'")
        found = self.either()
        kind, said, at = self.next()
        if kind:
            what = (
                "a ')' closes nothing" if said == ")" else f"'and' or 'or' is missing before {said}"
            )
            _refuse(self.text, what, at)
        return found

    def either(self) -> Condition:
        parts = [self.both()]
        while self.word("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self) -> Condition:
        parts = [self.test()]
        while self.word("and"):
            parts.append(self.test())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def test(self) -> Condition:
        kind, said, at = self.next()
        self.depth += 1
        if self.depth > DEEPEST:
            _refuse(self.text, "it is nested too deeply", at)
        try:
            if self.word("not"):
                return Not(self.test())
            if kind == "sign" and said == "(":
                self.i += 1
                found = self.either()
                if self.next()[1] != ")":
                    _refuse(self.text, "a '(' is not closed", at)
                self.i += 1
                return found
        finally:
            self.depth -= 1
        return self.comparison()

    def comparison(self) -> Test:
        name, name_at = self.value("the name of an attribute is missing")
        kind, operator, at = self.next()
        if kind != "sign" or operator in "()":
            _refuse(self.text, f"=, !=, <, <=, >, >= or ~ is missing after {name}", at)
        self.i += 1
        value, value_at = self.value(f"a value is missing after {operator}")
        return Test(name, operator, value, name_at, value_at)

    def value(self, missing: str) -> tuple[str, int]:
        kind, said, at = self.next()
        if kind not in ("word", "quoted"):
            _refuse(self.text, missing, at)
        self.i += 1
        return (said[1:-1] if kind == "quoted" else said), at

    def word(self, wanted: str) -> bool:
        """Whether this word comes next; it is then taken."""
        kind, said, _ = self.next()
        self.i += (there := kind == "word" and said.lower() == wanted)
        return there

    def next(self) -> tuple[str, str, int]:
        return self.tokens[self.i] if self.i < len(self.tokens) else ("", "", len(self.text) + 1)
