"""Arithmetic on latents: `"a.png - b.png + 0.5 * (c.png + d.png)"`, read and summed up.

z(smiling woman) − z(woman) + z(man) decodes to a smiling man, where a model has put the same
difference in the same direction everywhere (Radford, Metz & Chintala, "Unsupervised Representation
Learning with DCGANs", 2016, §6.3.2).

    sum     = ["-"] product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = number | name | "(" sum ")" | "-" factor

A name is a word up to the next space, bracket or `*`, or anything in quotes. A `-`, `+` or `/`
belongs to the word it stands in, as in `faces/img-01.png`: operators have spaces around them, or
stand behind a name that is known. A result is a sum of names with coefficients, so of two factors
one is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from preimage.core import InputError

NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?")
WORD = re.compile(r"[^\s()*\"']+")
MINUS = "-−–"  # as it is typed, and as typesetters have it
SIGNS = {"+": 1.0, **dict.fromkeys(MINUS, -1.0)}


@dataclass(frozen=True)
class Term:
    """A name, how often it counts, and where it stands first."""

    name: str
    coefficient: float
    position: int  # character, from 1


def parse(text: str, known: Callable[[str], bool] = lambda name: False) -> tuple[Term, ...]:
    """The terms of an expression, each name once, in the order in which they stand.

    known: whether a name is that of a file, or of something else there is. It decides where words
        like `a.png-b.png` end.

    Raises InputError that names the character where the expression cannot be read.
    """
    try:
        found = _Reader(text, known).expression()
    except RecursionError:
        raise InputError("the expression is nested too deeply") from None
    if not found.parts:
        raise InputError(f"{text!r} names no image; write something like 'a.png - b.png + c.png'")
    terms = tuple(Term(name, value, at) for name, (value, at) in found.parts.items())
    for term in terms:
        if not math.isfinite(term.coefficient):
            what = f"'{term.name}' counts {term.coefficient:g} times, which is no number to draw"
            raise InputError(f"{text!r}: {what} (at character {term.position})")
    return terms


def combined(terms: Sequence[Term], latents: Mapping[str, Tensor]) -> Tensor:
    """Σ cᵢ zᵢ of the terms' latents, each (*space.shape)."""
    return torch.stack([term.coefficient * latents[term.name] for term in terms]).sum(0)


@dataclass
class _Sum:
    """A number, and names with their coefficients and positions."""

    number: float = 0.0
    parts: dict[str, tuple[float, int]] = field(default_factory=dict)

    def times(self, factor: float) -> _Sum:
        parts = {name: (factor * value, at) for name, (value, at) in self.parts.items()}
        return _Sum(factor * self.number, parts)

    def plus(self, other: _Sum) -> _Sum:
        parts = dict(self.parts)
        for name, (value, at) in other.parts.items():
            before, first = parts.get(name, (0.0, at))
            parts[name] = (before + value, first)
        return _Sum(self.number + other.number, parts)


class _Reader:
    """Reads from left to right; `i` is the next character."""

    def __init__(self, text: str, known: Callable[[str], bool]):
        self.text, self.known, self.i = text, known, 0

    def expression(self) -> _Sum:
        if not self.text.strip():
            raise InputError("the expression is empty; write something like 'a.png - b.png'")
        found = self.sum()
        if self._next() == ")":
            raise self._error("a ')' closes nothing")
        if self._next():
            mend = "names with spaces stand in quotes"
            raise self._error(f"'+' or '-' is missing before {self._rest()}; {mend}")
        return found

    def sum(self) -> _Sum:
        total = self.product()
        while (operator := self._next()) in SIGNS:
            self.i += 1
            self._next()
            at, term = self.i, self.product()
            if bool(total.parts) != bool(term.parts):
                raise self._error("a number and an image cannot be summed; write 2 * a.png", at)
            total = total.plus(term.times(SIGNS[operator]))
        return total

    def product(self) -> _Sum:
        left = self.factor()
        while (operator := self._next()) and operator in "*/":
            at = self.i
            self.i += 1
            right = self.factor()
            if operator == "/":
                if right.parts:
                    raise self._error("nothing can be divided by an image", at)
                if right.number == 0:
                    raise self._error("a division by 0", at)
                left = left.times(1 / right.number)
            elif left.parts and right.parts:
                raise self._error("images cannot be multiplied with one another", at)
            else:
                left = right.times(left.number) if right.parts else left.times(right.number)
        return left

    def factor(self) -> _Sum:
        character = self._next()
        if not character:
            raise self._error("an image is missing")
        if character in SIGNS:
            self.i += 1
            return self.factor().times(SIGNS[character])
        if character == "(":
            return self._bracket()
        if character in "\"'":
            return self._quoted(character)
        word = WORD.match(self.text, self.i)
        if word is None:
            raise self._error(f"an image is missing before {self._rest()}")
        return self._word(word.group())

    def _bracket(self) -> _Sum:
        opened = self.i
        self.i += 1
        inside = self.sum()
        if self._next() != ")":
            if not self._next():
                raise self._error("the '(' is never closed", opened)
            raise self._error(f"'+', '-' or ')' is missing before {self._rest()}")
        self.i += 1
        return inside

    def _quoted(self, quote: str) -> _Sum:
        begun = self.i
        end = self.text.find(quote, begun + 1)
        if end < 0:
            raise self._error("the quote is never closed", begun)
        if end == begun + 1:
            raise self._error("a name is empty", begun)
        self.i = end + 1
        return self._name(self.text[begun + 1 : end], begun)

    def _word(self, word: str) -> _Sum:
        begun = self.i
        if not self.known(word):
            if NUMBER.fullmatch(word):
                self.i += len(word)
                return _Sum(float(word))
            ends = [k for k, c in enumerate(word) if k and (c in SIGNS or c == "/")]
            shorter = (word[:k] for k in reversed(ends))  # the longest first
            word = next((name for name in shorter if self.known(name)), word)
        self.i += len(word)
        return self._name(word, begun)

    def _name(self, name: str, begun: int) -> _Sum:
        return _Sum(parts={name: (1.0, begun + 1)})

    def _next(self) -> str:
        """The next character that is no space; "" at the end."""
        while self.i < len(self.text) and self.text[self.i].isspace():
            self.i += 1
        return self.text[self.i : self.i + 1]

    def _rest(self) -> str:
        word = WORD.match(self.text, self.i)
        return repr(word.group() if word else self.text[self.i])

    def _error(self, what: str, at: int | None = None) -> InputError:
        place = (self.i if at is None else at) + 1
        return InputError(f"{self.text!r}: {what} (at character {place})")
