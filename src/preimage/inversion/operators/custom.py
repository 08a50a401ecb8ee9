"""A person's own operator: any callable on images, tried once before it is trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from preimage.core import DataSpec, InputError, seeds
from preimage.inversion.operators.base import Compose, ImageOperator
from preimage.inversion.operators.image import Identity
from preimage.inversion.problem import Operator

Function = Callable[[Tensor], Tensor]

TOLERANCE = 1e-3  # relative: rounding differs with the shape of a batch


class Custom(ImageOperator):
    """y = f(x), with any differentiable f that takes each image by itself."""

    name = "custom"

    def __init__(self, function: Function, *, linear: bool = False):
        """
        function: images (B, C, H, W) in [−1, 1] → (B, …). A module is set to eval().
        linear: whether it is linear, which makes Jacobians cheaper.
        """
        if isinstance(function, nn.Module):
            function.eval()
        self.function, self.linear = function, linear

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)

    def carry(self, seen: Tensor | None) -> None:
        """Nothing is known of which values saw what, so all count alike."""
        return

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "function": self._title, "linear": self.linear}

    def __str__(self) -> str:
        return f"{self._title}()"

    @property
    def _title(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def as_operator(
    through: Any, data: DataSpec | None = None, *, device: torch.device | str = "cpu"
) -> Operator:
    """The operator that `through=` means: None, an operator, a callable, or some in a row.

    data: what images look like; where given, the operator is tried on such images (see
        `check_operator`), and wrong sizes, batch coupling and the like are said at once.

    Raises InputError.
    """
    if through is None:
        return Identity()
    operator = _operator(through)
    if data is not None:
        check_operator(operator, data, device=device)
    return operator


def _operator(through: Any) -> Operator:
    if isinstance(through, ImageOperator):
        return through
    if isinstance(through, list | tuple) and through:
        return Compose(*map(_part, through))
    if callable(through):
        own = hasattr(through, "select") and hasattr(through, "linear")
        return cast(Operator, through) if own else Custom(cast(Function, through))
    raise InputError(
        f"through= is a {type(through).__name__}; give an operator like Mask(mask), a callable on "
        "images (B, C, H, W), or a list of them"
    )


def _part(through: Any) -> ImageOperator:
    operator = _operator(through)
    if not isinstance(operator, ImageOperator):
        raise InputError(f"in a list of operators {operator} must be an ImageOperator; derive it")
    return operator


def check_operator(
    operator: Operator, data: DataSpec, *, device: torch.device | str = "cpu"
) -> None:
    """Try an operator on a few images.

    Raises InputError where it fails, gives anything but finite numbers with a row an image, gives
    an image another answer alone than among others, has no gradient, or is not linear but says so.
    """
    x = 2 * torch.rand(3, *data.shape, generator=seeds.generator(0, "operator")) - 1
    x = x.to(device)
    first = torch.zeros(3, dtype=torch.int64, device=x.device)  # one image's mask for all three
    one, three = operator.select(first[:1]), operator.select(first)
    y = _tried(three, x.requires_grad_())
    alone = _tried(one, x[1:2].detach())
    if len(alone) != 1 or _differ(alone, y[1:2]):
        raise InputError(
            f"the operator {operator} gives an image another answer alone than among others; "
            "make it treat each by itself, and draw no random numbers"
        )
    if not y.requires_grad:
        raise InputError(f"the operator {operator} gives no gradient; use torch's own functions")
    (slope,) = torch.autograd.grad(y.square().sum(), x, allow_unused=True)
    if slope is None or not slope.any():
        raise InputError(f"the gradient of the operator {operator} is 0; do not round or threshold")
    if not slope.isfinite().all():
        raise InputError(f"the gradient of the operator {operator} is not finite; mend it")
    if operator.linear:
        x = x.detach()
        of_sum = _tried(one, 2 * x[:1] - 3 * x[1:2])
        sum_of = 2 * _tried(one, x[:1]) - 3 * _tried(one, x[1:2])
        if _differ(of_sum, sum_of):
            raise InputError(f"the operator {operator} is not linear; leave linear=True out")


def _tried(operator: Operator, x: Tensor) -> Tensor:
    """A(x). Raises InputError where it fails or is no batch of finite numbers."""
    try:
        y = operator(x)
    except InputError:
        raise
    except Exception as error:  # it is a person's own code, and may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the operator {operator} fails on images {tuple(x.shape)}: {reason}"
        ) from error
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.dim() < 2 or len(y) != len(x):
        what = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise InputError(
            f"the operator {operator} gives {what} for {len(x)} images; give a float tensor "
            "(B, …), a row an image"
        )
    if not y.isfinite().all():
        raise InputError(f"the operator {operator} gives NaN or ∞ for images in [−1, 1]; mend it")
    return y


def _differ(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return True
    scale = torch.maximum(a.abs().max(), b.abs().max()).clamp_min(1e-6)
    return bool((a - b).abs().max() > TOLERANCE * scale)
