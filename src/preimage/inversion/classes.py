"""The class of an image that a conditional generator was not told: the one that fits best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from preimage.inversion.problem import Problem
from preimage.inversion.search import Search

AT_ONCE = 512  # pairs of an image and a class that are tried in one batch

Try = Callable[[Problem], Search]  # a short search for the latents of a problem


def found_classes(problem: Problem, attempt: Try) -> Tensor:
    """The class (B,) of each image that a short search under it fits best.

    Every class is tried with every image, each pair by itself.
    """
    n, device = len(problem.model.classes), problem.target.device
    best = torch.zeros(len(problem), dtype=torch.int64, device=device)
    for rows in torch.arange(len(problem), device=device).split(max(1, AT_ONCE // n)):
        tried = problem.select(rows.repeat_interleave(n))
        labels = torch.arange(n, device=device).repeat(len(rows))
        loss = attempt(replace(tried, labels=labels)).loss
        loss = loss.nan_to_num(torch.inf, torch.inf, torch.inf)
        best[rows] = loss.reshape(len(rows), n).argmin(1)
    return best
