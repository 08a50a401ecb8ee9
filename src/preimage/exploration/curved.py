"""Regression that is linear as far as the examples are, and curved where they say so.

y ≈ Wx + b + g(x): W and b in closed form by ridge regression, and g a net that learns what they
leave, starting from nothing. The state kept is that of the epoch which is best on a tenth of the
examples that the net does not see; where none is better than g = 0, that stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTH, EPOCHS, BATCH = 512, 90, 256  # small effects are learned last: 30 epochs miss some of them
LEARNING_RATE, DECAY = 2e-3, 1e-2
RIDGE = 1e-3  # of the mean square of the inputs
LEAST = 200  # examples below which a net is not tried


class Regression(nn.Module):
    """(N, inputs) → (N, outputs)."""

    mean: Tensor  # (inputs,)
    scale: Tensor  # (): of the inputs
    reach: Tensor  # (): of what the linear part leaves
    r_squared: Tensor  # (outputs,): of examples from which no weight was learned

    def __init__(self, inputs: int, outputs: int, width: int = WIDTH):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.net = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.output = nn.Linear(width, outputs)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("reach", torch.zeros(()))
        self.register_buffer("r_squared", torch.full((outputs,), torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        u = (x.float() - self.mean) / self.scale
        return self.linear(u) + self.reach * self.rest(u)

    def rest(self, u: Tensor) -> Tensor:
        return self.output(self.net(u))


def regression(
    x: Tensor,  # (N, inputs)
    y: Tensor,  # (N, outputs)
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,  # told how many epochs are done
) -> Regression:
    """Fit y on x, in the least squares of all outputs together."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Regression(x.shape[1], y.shape[1])
        order = torch.randperm(len(x))
        x, y = x[order].double(), y[order].double()
        made.mean.copy_(x.mean(0))
        made.scale.copy_((x - x.mean(0)).square().mean().sqrt().clamp_min(1e-12))
        u = (x - made.mean) / made.scale
        _solve(made.linear, u, y)
        held = max(len(x) // 10, 1)
        part = nn.Linear(u.shape[1], y.shape[1])  # of the examples the net sees
        _solve(part, u[held:], y[held:])
        rest, u = (y - _double(part, u)).float(), u.float()
        if len(x) >= LEAST:
            _learn(made, u, rest, held, epochs, progress)
        with torch.no_grad():
            missed = (rest[:held] - made.reach * made.rest(u[:held])).square().mean(0)
            made.r_squared.copy_(1 - missed / y.var(0).clamp_min(1e-12))
    return made.eval().requires_grad_(False)


@torch.no_grad()
def _solve(linear: nn.Linear, u: Tensor, y: Tensor) -> None:
    """Ridge regression, the intercept free."""
    ū, ȳ = u.mean(0), y.mean(0)
    C = (u - ū).T @ (u - ū) / len(u) + RIDGE * torch.eye(u.shape[1], dtype=u.dtype)
    W = torch.linalg.solve(C, (u - ū).T @ (y - ȳ) / len(u)).T
    linear.weight.copy_(W)
    linear.bias.copy_(ȳ - W @ ū)


@torch.no_grad()
def _double(linear: nn.Linear, u: Tensor) -> Tensor:
    return u @ linear.weight.double().T + linear.bias.double()


def _learn(
    made: Regression,
    u: Tensor,
    rest: Tensor,
    held: int,
    epochs: int,
    progress: Callable[[int], None] | None,
) -> None:
    """g, on what the linear part leaves, as of the best epoch, if any is better than none."""
    reach = rest[held:].square().mean().sqrt().clamp_min(1e-12)
    u_held, r_held, u, r = u[:held], rest[:held] / reach, u[held:], rest[held:] / reach
    parameters = [*made.net.parameters(), *made.output.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=DECAY)
    steps = epochs * math.ceil(len(u) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    best, kept = r_held.square().mean().item(), None
    for epoch in range(epochs):
        for rows in torch.randperm(len(u)).split(BATCH):
            loss = (made.rest(u[rows]) - r[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            error = (made.rest(u_held) - r_held).square().mean().item()
        if error < best:
            best, kept = error, {k: v.clone() for k, v in made.state_dict().items()}
        if progress is not None:
            progress(epoch + 1)
    if kept is not None:
        made.load_state_dict(kept)
        made.reach.copy_(reach)
