"""The Inception-v3 that the Fréchet Inception distance is defined by, from its file of weights.

Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, as trained in
2015 and ported as `pt_inception-2015-12-05-6726825d.pth`. It differs from later ones: averages
over neighbours leave the padding out, the very last block takes their maximum instead, and there
are 1008 classes. Images are resized to 299 × 299 as TensorFlow 1 did: bilinear, without half-pixel
centres and without smoothing; other ways change the distance by as much as models differ
(Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 299
FEATURES = 2048
CLASSES = 1008
Size = int | tuple[int, int]
RESIZE = "8 bits, bilinear to 299 as TensorFlow 1"


class Conv(nn.Module):
    """Convolution, batch normalisation, rectifier."""

    def __init__(self, c: int, out: int, kernel: Size, stride: int = 1, pad: Size = 0):
        super().__init__()
        self.conv = nn.Conv2d(c, out, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def wide(c: int, out: int, n: int) -> Conv:
    """A 1 × n convolution that keeps the size."""
    return Conv(c, out, (1, n), pad=(0, n // 2))


def tall(c: int, out: int, n: int) -> Conv:
    """An n × 1 convolution that keeps the size."""
    return Conv(c, out, (n, 1), pad=(n // 2, 0))


class A(nn.Module):
    def __init__(self, c: int, pool: int):
        super().__init__()
        self.branch1x1 = Conv(c, 64, 1)
        self.branch5x5_1 = Conv(c, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, pad=2)
        self.branch3x3dbl_1 = Conv(c, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, pad=1)
        self.branch_pool = Conv(c, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(average(x))], 1)


class B(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.branch3x3 = Conv(c, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(c, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, pad=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class C(nn.Module):
    def __init__(self, c: int, c7: int):
        super().__init__()
        self.branch1x1 = Conv(c, 192, 1)
        self.branch7x7_1 = Conv(c, c7, 1)
        self.branch7x7_2 = wide(c7, c7, 7)
        self.branch7x7_3 = tall(c7, 192, 7)
        self.branch7x7dbl_1 = Conv(c, c7, 1)
        self.branch7x7dbl_2 = tall(c7, c7, 7)
        self.branch7x7dbl_3 = wide(c7, c7, 7)
        self.branch7x7dbl_4 = tall(c7, c7, 7)
        self.branch7x7dbl_5 = wide(c7, 192, 7)
        self.branch_pool = Conv(c, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(average(x))], 1)


class D(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.branch3x3_1 = Conv(c, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(c, 192, 1)
        self.branch7x7x3_2 = wide(192, 192, 7)
        self.branch7x7x3_3 = tall(192, 192, 7)
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, 2)], 1)


class E(nn.Module):
    def __init__(self, c: int, *, last: bool):
        super().__init__()
        self.last = last
        self.branch1x1 = Conv(c, 320, 1)
        self.branch3x3_1 = Conv(c, 384, 1)
        self.branch3x3_2a = wide(384, 384, 3)
        self.branch3x3_2b = tall(384, 384, 3)
        self.branch3x3dbl_1 = Conv(c, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, pad=1)
        self.branch3x3dbl_3a = wide(384, 384, 3)
        self.branch3x3dbl_3b = tall(384, 384, 3)
        self.branch_pool = Conv(c, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.last else average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([*parts, self.branch_pool(pooled)], 1)


class Inception(nn.Module):
    """Images (B, 1 or 3, H, W) in [−1, 1] → features (B, 2048); names are those of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, pad=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = A(192, 32)
        self.Mixed_5c = A(256, 64)
        self.Mixed_5d = A(288, 64)
        self.Mixed_6a = B(288)
        self.Mixed_6b = C(768, 128)
        self.Mixed_6c = C(768, 160)
        self.Mixed_6d = C(768, 160)
        self.Mixed_6e = C(768, 192)
        self.Mixed_7a = D(768)
        self.Mixed_7b = E(1280, last=False)
        self.Mixed_7c = E(2048, last=True)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = ((x.clamp(-1, 1) + 1) * 127.5).round()  # as 8-bit files hold it
        x = (resize(x.expand(-1, 3, -1, -1), SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Features (B, 2048) → logits (B, 1008) without the bias, as the Inception score has it."""
        return features @ self.fc.weight.T


def average(x: Tensor) -> Tensor:
    """The mean over 3 × 3 neighbours, of those that are inside."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def resize(x: Tensor, side: int) -> Tensor:
    """Images (B, C, H, W) to side × side: pixel i of the result lies at i · H/side."""
    for dim in (2, 3):
        n = x.shape[dim]
        at = torch.arange(side, device=x.device, dtype=torch.float64) * (n / side)
        low = at.floor().long()
        share = (at - low).to(x.dtype)
        share = share[:, None] if dim == 2 else share
        below, above = (x.index_select(dim, i) for i in (low, (low + 1).clamp_max(n - 1)))
        x = below + (above - below) * share
    return x
