"""A discriminator: a backbone, and a head that may look at the class by projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.nets import Net


class Critic(nn.Module):
    """Logits of an image being real: one for an image, or one for each patch of it."""

    def __init__(self, net: Net, data: DataSpec, classes: int):
        super().__init__()
        self.backbone = net.encoder(data)
        features = int(self.backbone.features)  # type: ignore[arg-type]
        self.head = nn.Linear(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def logits(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) → logits (B, P): P = 1, or the number of patches.

        With classes, ⟨embedding(y), features⟩ is added: Miyato & Koyama 2018, equation 3.
        """
        return self.judge(self.maps(x), labels)

    def judge(self, h: Tensor, labels: Tensor | None = None) -> Tensor:
        """What `maps` found → logits (B, P)."""
        # a patch net gives (B, F, h, w) → (B, h·w, F), any other (B, F) → (B, 1, F)
        h = h.flatten(2).transpose(1, 2) if h.dim() == 4 else h[:, None]
        out = self.head(h)[..., 0].float()
        if self.embedding is not None and labels is not None:
            out = out + torch.einsum("bpf,bf->bp", h, self.embedding(labels).to(h.dtype)).float()
        return out

    def maps(self, x: Tensor) -> Tensor:
        """Images → the backbone's last features as they are, (B, F, h, w) for a patch net."""
        return self.backbone(x)

    def features(self, x: Tensor) -> Tensor:
        """Images → features (B, F), averaged over patches."""
        h = self.backbone(x)
        return (h.flatten(2).mean(2) if h.dim() == 4 else h).float()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logits(x, labels).mean(1)
