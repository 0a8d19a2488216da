"""Checked tensors: what every loss asks of its arguments, without waiting for a device.

Shapes and types are known on the host; values are looked at only where a loss says so. Half precision
is refused: a ratio of two policies that are near to one another is lost in its rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError

__all__ = ["LARGEST_EXPONENT", "flags", "floats", "per_sequence", "per_token", "sums"]

LARGEST_EXPONENT = 20.0
"""Differences of log-probabilities above this are held there, where their gradient is 0. A token that
has become e^20 times as likely says that the policies have nothing in common; without a bound its
exponential overflows, and the gradient of the infinite branch that a clip discards is NaN."""

EXACT = (torch.float32, torch.float64)


def floats(name: str, tensor: Tensor, shape: tuple[int, ...] | None = None, axes: str = "") -> None:
    """Refuse what is no tensor of float32 or float64 numbers of this shape (any, where it is None)."""
    if tensor.dtype not in EXACT:
        raise InvalidInputError(
            f"{name}: expected float32 or float64, got {str(tensor.dtype).removeprefix('torch.')}; "
            "convert it first, since differences of log-probabilities need the digits"
        )
    _shape(name, tensor, shape, axes)


def flags(name: str, tensor: Tensor, shape: tuple[int, ...], axes: str) -> None:
    """Refuse what is no boolean tensor of this shape."""
    if tensor.dtype != torch.bool:
        raise InvalidInputError(
            f"{name}: expected booleans, True where something counts, got "
            f"{str(tensor.dtype).removeprefix('torch.')}"
        )
    _shape(name, tensor, shape, axes)


def per_token(
    name: str, tensor: Tensor, mask: Tensor, weights: Tensor | None = None, **others: Tensor
) -> None:
    """Check one (B, T) tensor, its mask, the weights (B,) of its sequences and what is alike."""
    floats(name, tensor)
    if tensor.ndim != 2:
        raise InvalidInputError(f"{name}: expected shape (B, T), got {tuple(tensor.shape)}")
    shape = (tensor.shape[0], tensor.shape[1])
    flags("mask", mask, shape, f"(B, T) as {name} has")
    if weights is not None:
        floats("weights", weights, shape[:1], "(B,), one per sequence")
    for other, like in others.items():
        floats(other, like, shape, f"(B, T) as {name} has")


def per_sequence(name: str, tensor: Tensor, n_sequences: int) -> None:
    """Refuse what is not one number per sequence."""
    floats(name, tensor, (n_sequences,), "(B,), one per sequence")


def _shape(name: str, tensor: Tensor, shape: tuple[int, ...] | None, axes: str) -> None:
    if shape is not None and tuple(tensor.shape) != shape:
        raise InvalidInputError(f"{name}: expected shape {shape} {axes}, got {tuple(tensor.shape)}")


def sums(parts: Mapping[str, Tensor]) -> dict[str, float]:
    """The sum of each tensor as a plain float, brought from the device in one transfer."""
    with torch.no_grad():
        totals = [part.detach().sum() for part in parts.values()]
        exact = torch.float32 if totals[0].device.type == "mps" else torch.float64  # mps lacks it
        stacked = torch.stack([total.to(exact) for total in totals])
        return dict(zip(parts, stacked.tolist(), strict=True))
