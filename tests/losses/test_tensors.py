"""The checks that all losses share, and the one transfer of their statistics."""

from __future__ import annotations

import pytest
import torch

from levelhead.errors import InvalidInputError
from levelhead.losses._tensors import flags, floats, per_token, sums


def test_sums_are_plain_floats_without_gradient() -> None:
    a = torch.tensor([[1.5, 2.5]], requires_grad=True)
    out = sums({"a": a, "b": torch.tensor([True, False, True]), "none": torch.zeros(0)})
    assert out == {"a": 4.0, "b": 2.0, "none": 0.0}
    assert all(type(value) is float for value in out.values())
    many = torch.ones(1, dtype=torch.int64) * (2**24 + 1)  # which float32 does not hold
    assert sums({"tokens": many}) == {"tokens": 2.0**24 + 1}


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InvalidInputError, match="x: expected float32 or float64, got bfloat16"):
        floats("x", torch.zeros(2, dtype=torch.bfloat16))
    with pytest.raises(InvalidInputError, match=r"x: expected shape \(2,\) per row, got \(3,\)"):
        floats("x", torch.zeros(3), (2,), "per row")
    with pytest.raises(InvalidInputError, match="m: expected booleans, .* got float32"):
        flags("m", torch.zeros(2), (2,), "per row")
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(InvalidInputError, match=r"y: expected shape \(1, 2\) \(B, T\) as x has"):
        per_token("x", torch.zeros(1, 2), mask, y=torch.zeros(1, 3))
