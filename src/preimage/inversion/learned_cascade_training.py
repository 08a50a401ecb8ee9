"""Training a learned cascade on generated pairs, whose latents are known.

First f, on z of the prior. Then the step, from latents ẑ that lie between the true one and half as
far again as f's guess, so that long steps are learned and short ones; each counts by its share of
the way, ‖Δz − δ‖² / ‖δ‖² with δ = z − ẑ. Both start from the least-squares solution of their linear
part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from preimage.core import LatentModel, Step, seeds
from preimage.inversion.cascade import BATCH, CHECKED, Cascade, World
from preimage.inversion.learned_cascade import GUESSES, Components, LearnedCascade, Nets, frozen
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Decode, Operator
from preimage.inversion.starts import prior_latents

PAIRS = 49_152
STEPS = 6_000  # of training, for each net
COMPONENTS = 128  # of the features; more for more than 32 latents
ANALYSED = 8_192  # pairs whose features these are the components of
LEAST = 1e-2  # deviation of a component, in units of the largest, below which it counts as this

ROWS = 256  # pairs in a step of training
RATE = 2e-3
WARMUP = 200  # steps
WEIGHT_DECAY = 1e-4
CLIP = 1.0  # norm of the gradient
RIDGE = 1e-4  # on the linear parts, as a share of the mean variance
BEYOND = 1.5  # of the way from the true latent to f's guess
NEARBY = 0.03  # noise on where steps are learned from, in standard deviations of latents
SHORTEST = 1e-4  # squared length of a step in this unit, below which it counts as this
TOLD = 100  # steps of training between two of progress


@torch.no_grad()
def learning(
    model: LatentModel,
    cascade: Cascade,
    through: Operator | None = None,
    *,
    pairs: int = PAIRS,
    steps: int = STEPS,
    seed: int = 0,
    decode: Decode | None = None,
) -> Iterator[Step | LearnedCascade | None]:
    """Step by step; what it yields last is the learned cascade, or None where it is no better.

    cascade: of the same generator and operator. Its features are looked at, with noise as it was
        fitted to; and it must be farther off after as many guesses.
    decode: a quicker decoder than the model's own, of the same precision.
    """
    world = World(model, through or Identity(), decode or model.decode)
    lesson = _Lesson(world, cascade, pairs, seed)
    yield from lesson.draw()
    yield from lesson.learn_to_guess(steps)
    if not lesson.error < cascade.errors[0]:
        yield None
        return
    yield from lesson.learn_to_step(steps)
    learned = lesson.learned()
    same = min(GUESSES, len(cascade.errors)) - 1
    yield learned if learned.errors[same] < cascade.errors[same] else None


class _Lesson:
    """Pairs, the last `CHECKED` of them to judge by, and the nets that are learned from them."""

    def __init__(self, world: World, cascade: Cascade, pairs: int, seed: int):
        model, n = world.model, pairs + CHECKED
        self.world, self.noise, self.pairs = world, cascade.noise, pairs
        self.random = seeds.generator(seed, "learned cascade")
        self.z = prior_latents(model, n, self.random).flatten(1)
        self.labels = model.labels_for(n)
        self.features = cascade.features
        self.components = self._components()
        p, d = self.components.basis.shape[1], self.z.shape[1]
        self.y = self.z.new_empty(n, p)  # components of what is observed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "nets"))
            self.nets = Nets(p, d, max(len(model.classes), 1)).to(self.z.device)
        self.nets.centre.copy_(self.z.mean(0))
        self.nets.scale.copy_(self.z.std(0).clamp_min(1e-6))

    def draw(self) -> Iterator[Step]:
        """Observe the pairs."""
        yield from self._look(self.z, self.y, noise=self.noise)

    def learn_to_guess(self, steps: int) -> Iterator[Step]:
        """Train f."""
        nets, some = self.nets, slice(self.pairs)
        target, y = ((self.z - nets.centre) / nets.scale)[some], self.y[some]
        linear = _least_squares(y - y.mean(0), target)
        nn.init.zeros_(nets.f.linear.weight)  # of the class as well
        nets.f.linear.weight[:, : len(linear)] = linear.T
        nets.f.linear.bias.copy_(target.mean(0) - y.mean(0) @ linear)
        nn.init.zeros_(nets.f.last.weight)
        nn.init.zeros_(nets.f.last.bias)

        def loss(rows: Tensor) -> Tensor:
            off = nets.first(self.y[rows], self._labels(rows)) - self.z[rows]
            return (off / nets.scale).square().mean()

        for k in self._trained(list(nets.f.parameters()), loss, steps):
            yield Step(k, steps, {"error": self.error}, stage="learn to guess")

    def learn_to_step(self, steps: int) -> Iterator[Step]:
        """Train the step, from about where f's guesses are."""
        z, nets = self.z, self.nets
        guessed = torch.cat([nets.first(self.y[r], self._labels(r)) for r in self._parts()])
        share, near = torch.rand(len(z), 2, generator=self.random).to(z).split(1, dim=1)
        noise = torch.randn(z.shape, generator=self.random).to(z) * nets.scale
        ẑ = z + BEYOND * share * (guessed - z) + NEARBY * near * noise
        seen = torch.empty_like(self.y)
        yield from self._look(ẑ, seen)
        e, δ = self.y - seen, (z - ẑ) / nets.scale
        squared = δ.square().sum(1).clamp_min(SHORTEST)
        weights = squared.rsqrt()[: self.pairs, None]
        nets.W.copy_(_least_squares(weights * e[: self.pairs], weights * δ[: self.pairs]))

        def loss(rows: Tensor) -> Tensor:
            Δz = nets.step(ẑ[rows], e[rows], self._labels(rows)) / nets.scale
            return ((Δz - δ[rows]).square().sum(1) / squared[rows]).mean()

        step = [nets.W, nets.U, nets.V, *nets.g.parameters()]
        for k in self._trained(step, loss, steps):
            yield Step(k, steps, stage="learn to step")

    @property
    def error(self) -> float:
        """The median of ‖ẑ − z‖ / ‖z − z̄‖ of f's guesses, on the pairs to judge by."""
        return float(self._error(self._guesses()))

    def learned(self) -> LearnedCascade:
        """What was learned, with the errors it leaves on the pairs to judge by."""
        rows = self._judging()
        ẑ, y, labels = self._guesses(), self.y[rows], self._labels(rows)
        errors = [self._error(ẑ)]
        for _ in range(1, GUESSES):
            e = y - self._seen(ẑ, labels)
            ẑ = ẑ + self.nets.step(ẑ, e, labels)
            errors.append(self._error(ẑ))
        nets, errors = frozen(self.nets), torch.stack(errors)
        return LearnedCascade(self.features, self.components, nets, errors, self.noise)

    def _components(self) -> Components:
        """The principal components of the features of some pairs."""
        rows, features = torch.arange(min(ANALYSED, self.pairs)), self.features
        a = self.world.observe(self.z[rows], self._labels(rows), features.values)
        h = features.unlinked(a)
        mean = h.mean(0)
        variances, vectors = torch.linalg.eigh((h - mean).T @ (h - mean) / len(h))
        p = min(len(mean), max(COMPONENTS, 4 * self.z.shape[1]))
        deviations = variances[-p:].flip(0).clamp_min(0).sqrt()
        least = (LEAST * deviations[0]).clamp_min(1e-12)
        return Components(mean, vectors[:, -p:].flip(1) / deviations.clamp_min(least))

    def _look(self, z: Tensor, into: Tensor, *, noise: float = 0.0) -> Iterator[Step]:
        """The components of what is observed of latents (N, d), into (N, p)."""
        for rows in self._parts():
            into[rows] = self._seen(z[rows], self._labels(rows), noise=noise)
            yield Step(int(rows[-1]) + 1, len(z), stage="draw pairs")

    def _seen(self, z: Tensor, labels: Tensor | None, *, noise: float = 0.0) -> Tensor:
        a = self.world.observe(z, labels, self.features.values)
        if noise:
            a = a + noise * torch.randn(a.shape, generator=self.random).to(a)
        return self.components(self.features.unlinked(a))

    def _parts(self) -> Iterator[Tensor]:
        yield from torch.arange(len(self.z), device=self.z.device).split(BATCH)

    def _judging(self) -> Tensor:
        return torch.arange(self.pairs, len(self.z), device=self.z.device)

    def _guesses(self) -> Tensor:
        rows = self._judging()
        return self.nets.first(self.y[rows], self._labels(rows))

    def _error(self, ẑ: Tensor) -> Tensor:
        z = self.z[self.pairs :]
        lengths = (z - self.nets.centre).norm(dim=1).clamp_min(1e-12)
        return ((ẑ - z).norm(dim=1) / lengths).median()

    def _labels(self, rows: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[rows]

    def _trained(
        self, parameters: list[nn.Parameter], loss: Callable[[Tensor], Tensor], steps: int
    ) -> Iterator[int]:
        """AdamW, its rate falling to zero, on random pairs; yields how many steps are done."""
        optimizer = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY, fused=True)
        for k in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (k + 1) / WARMUP) * (1 - k / steps)
            rows = torch.randint(self.pairs, (ROWS,), generator=self.random).to(self.z.device)
            with torch.enable_grad():
                loss(rows).backward()
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            optimizer.zero_grad()
            if (k + 1) % TOLD == 0 or k + 1 == steps:
                yield k + 1


def _least_squares(e: Tensor, z: Tensor) -> Tensor:
    """argmin_W ‖z − e W‖² + a little ‖W‖²: (N, p), (N, d) → (p, d)."""
    C = e.T @ e
    C.diagonal().add_(RIDGE * C.diagonal().mean() + torch.finfo(C.dtype).tiny)
    return torch.linalg.solve(C, e.T @ z)
