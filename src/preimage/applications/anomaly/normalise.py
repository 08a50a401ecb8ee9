"""Uneven light taken out of a surface's photograph."""

from __future__ import annotations

from torch import Tensor

from preimage.inversion.operators import Blur

BLACK = 16.0  # grey levels added before the logarithm, so that noise in the dark stays small
FLOOR = 0.01  # added to the spread, so that an empty image stays empty
LARGEST = 8.0  # spreads; beyond them a pixel is no more odd


def normalised(x: Tensor, sigma: float = 12.0) -> Tensor:
    """Images (B, C, H, W) in [−1, 1] → local contrast in units of each image's own spread.

    Light multiplies what a surface reflects, so a logarithm makes it a sum, and the smooth part,
    a Gaussian blur of `sigma` pixels, is taken away. The spread is 1.48 times the median of
    absolute values: a defect hardly moves it.
    """
    u = ((x.clamp_min(-1) + 1) * 127.5 + BLACK).log()
    u = u - Blur(sigma)(u)
    spread = 1.48 * u.abs().flatten(1).median(1).values + FLOOR
    return (u / spread[:, None, None, None]).clamp(-LARGEST, LARGEST)
