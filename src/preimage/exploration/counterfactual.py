"""What an image would be with one attribute changed: a move that bends with the image.

A head that is turned changes otherwise when it smiles than one seen from the front, so no one
vector is right for both. Here the latent's mean given all attributes is a function, z = m(x) + ε,
and a change goes by the three steps of Pearl, "Causality", 2009, §7.1 (in deep generators:
Pawlowski et al., "Deep Structural Causal Models for Tractable Counterfactual Inference", 2020):

    abduction   x̂ = f(z), ε = z − m(x̂)
    action      x′ = x̂ with the one attribute changed
    prediction  z′ = m(x′) + ε = z + m(x′) − m(x̂)

What m does not explain, ε, stays as it is. Both m and f are linear where that is all the examples
say, which is the multiple regression of `joint.py`; a net adds what is curved, and is kept as far
as it helps on examples that it has not seen. That all attributes are given which go together, and
that none of them causes another, is the person's to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.core.words import counted
from preimage.exploration.attributes import LEAST, Attribute
from preimage.exploration.curved import EPOCHS, Regression, regression
from preimage.exploration.direction import owner
from preimage.exploration.labelled import check_latents


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """m and f of one latent space, and what the columns of x mean."""

    latent: Regression  # m: attributes (N, J), standardised → latents (N, d)
    reader: Regression  # f: latents (N, d) → attributes (N, J), standardised
    columns: tuple[Attribute, ...]  # without their values
    mean: Tensor  # (J,): of the attributes, in their own units
    deviation: Tensor  # (J,)
    low: Tensor  # (J,): the least there was of each, standardised; beyond it nothing was learned
    high: Tensor  # (J,): the most
    model: str  # fingerprint of the model it belongs to
    space: str | None = None
    examples: int = 0  # that it was learned from

    def read(self, z: Tensor) -> Tensor:
        """x̂: how many standard deviations above its mean each attribute stands, (B, J)."""
        return self.reader(z.flatten(1))

    @torch.no_grad()
    def move(self, z: Tensor, changes: Mapping[str, float | Tensor]) -> Tensor:
        """Latents (B, *shape) with attributes changed, each by so many standard deviations.

        A strength is one number, or one for each latent (B,). An image is taken to be of the class
        that it is read as; 1/σ, σ being that of a class's column, changes the class altogether,
        and no strength does more than that. Nor does any lead beyond what there was to learn from.
        """
        x̂ = self.taken(z)
        x = self.changed(x̂, changes)
        return z + (self.latent(x) - self.latent(x̂)).reshape(z.shape).to(z)

    @torch.no_grad()
    def taken(self, z: Tensor) -> Tensor:
        """x̂ as an edit takes it, (B, J): within what there was, and each class altogether."""
        return self._classed(self.read(z))

    def changed(self, x̂: Tensor, changes: Mapping[str, float | Tensor]) -> Tensor:
        """x′ of x̂ as `taken`, (B, J): what of the changes can be had, one after another."""
        x = x̂
        for name, strength in changes.items():
            s = torch.as_tensor(strength, dtype=x.dtype, device=x.device).expand(len(x))
            x = self._changed(x, self.index(name), s)
        return x

    def altogether(self, name: str) -> float:
        """The strength that changes a class altogether: 1/σ of its column."""
        return 1 / self.deviation[self.index(name)].item()

    def report(self) -> dict[str, Any]:
        """What it was learned from, and how well it reads, as JSON holds it.

        R² is of a tenth of the examples, from which nothing was learned but when to stop.
        """
        readings = zip(self.columns, self.reader.r_squared.tolist(), strict=True)
        return {
            "examples": self.examples,
            "attributes": [{"name": c.name, "r_squared": round(r, 4)} for c, r in readings],
        }

    def to(self, device: torch.device | str) -> Counterfactual:
        return replace(self, latent=self.latent.to(device), reader=self.reader.to(device))

    def check(self, model: LatentModel) -> None:
        """Raises InputError where it belongs to another model, naming both, or does not fit into
        its latents.
        """
        if self.model != (weights := owner(model)):
            raise InputError(
                f"these counterfactuals were fitted on model {self.model}, and this is model "
                f"{weights}; fit them again with: preimage direction --counterfactual"
            )
        given, own = self.latent.linear.out_features, model.named_space(self.space).size
        if given != own:
            raise InputError(
                f"these counterfactuals are of latents of {given} numbers; this model's have {own}"
            )

    def index(self, name: str) -> int:
        """Which column is of that name. Raises InputError where none is."""
        names = [column.name for column in self.columns]
        if name not in names:
            raise InputError(f"no attribute '{name}'; {nearest_name(name, names)}")
        return names.index(name)

    def _group(self, j: int) -> list[int]:
        """The columns of the attribute that column j is of."""
        return [i for i, c in enumerate(self.columns) if c.group == self.columns[j].group]

    def _classed(self, x̂: Tensor) -> Tensor:
        """Each within what there was, and each class attribute of the class it is nearest to."""
        x = x̂.clamp(self.low.to(x̂), self.high.to(x̂)) * self.deviation.to(x̂) + self.mean.to(x̂)
        for j, column in enumerate(self.columns):
            group = self._group(j)
            if not column.binary or j != group[0]:
                continue
            if len(group) == 1:
                x[:, j] = (x[:, j] > 0.5).to(x)
            else:
                x[:, group] = F.one_hot(x[:, group].argmax(1), len(group)).to(x)
        return self._standardised(x)

    def _standardised(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x)) / self.deviation.to(x)

    def _changed(self, x: Tensor, j: int, s: Tensor) -> Tensor:
        """x′: column j changed by s (B,), and of one attribute's other values what gives way."""
        x = x.clone()
        if not self.columns[j].binary:
            x[:, j] = (x[:, j] + s).clamp(self.low[j].to(x), self.high[j].to(x))
            return x
        group = self._group(j)
        p = self.mean[group].to(x)  # how often each value comes
        own = torch.eye(len(group)).to(x)[group.index(j)]
        others = p * (1 - own) / (p * (1 - own)).sum().clamp_min(1e-12)
        raw = x * self.deviation.to(x) + self.mean.to(x)
        now, t = raw[:, group], (s * self.deviation[j].to(x)).clamp(-1, 1)[:, None]
        has = raw[:, [j]]
        raw[:, group] = now + torch.where(t > 0, t * (own - now), -t * has * (others - own))
        return self._standardised(raw)


def fit_counterfactual(
    latents: Tensor,  # (N, *space.shape)
    attributes: Mapping[str, Attribute],  # columns of N values, by name
    *,
    model: str,  # fingerprint of the model the latents are of
    space: str | None = None,
    epochs: int = EPOCHS,  # of the nets: fewer are quicker, and miss small effects
    seed: int = 0,
    progress: Callable[[Step], None] | None = None,
) -> Counterfactual:
    """Learn m and f from labelled latents. Images of which any attribute is unknown are left out.

    Raises InputError for too few examples, and for one class only.
    """
    columns = list(attributes.values())
    if not columns:
        raise InputError("no attributes to learn counterfactuals of")
    check_latents(latents, columns)
    for column in columns:
        column.check()
    x = torch.stack([column.values for column in columns], 1)
    known = x.isfinite().all(1)
    x, z = x[known], latents[known].flatten(1).double().cpu()
    if len(x) < (least := 2 * (len(columns) + LEAST)):
        raise InputError(
            f"{counted(len(x), 'example')} for {len(columns)} attributes together; at least "
            f"{least} are needed, with all of them known"
        )
    mean, deviation = x.mean(0), x.std(0)
    if constant := [c.name for c, σ in zip(columns, deviation, strict=True) if not σ > 0]:
        raise InputError(f"where all attributes are known together, '{constant[0]}' never varies")
    x = (x - mean) / deviation

    def tell(epoch: int) -> None:
        if progress is not None:
            progress(Step(epoch, 2 * epochs, stage="fit"))

    return Counterfactual(
        latent=regression(x, z, epochs=epochs, seed=seed, progress=tell),
        reader=regression(
            z, x, epochs=epochs, seed=seed, progress=lambda epoch: tell(epochs + epoch)
        ),
        columns=_without_values(columns),
        mean=mean.float(),
        deviation=deviation.float(),
        low=x.amin(0).float(),
        high=x.amax(0).float(),
        model=model,
        space=space,
        examples=len(x),
    )


def _without_values(columns: Sequence[Attribute]) -> tuple[Attribute, ...]:
    return tuple(Attribute(c.name, torch.empty(0), c.group, c.meaning) for c in columns)
