"""What a result tells beside its fields."""

from __future__ import annotations

from levelhead.diagnose.updates._result import TensorUpdate


def update(n: int, changed: int) -> TensorUpdate:
    return TensorUpdate("x", None, "x", (n,), "bfloat16", n, changed, (changed,), changed, 0.0, 0.0,
                        0, None, None, None, None)  # fmt: skip


def test_density_without_finite_weights_is_undefined() -> None:
    assert update(0, 0).density is None
    assert update(8, 2).density == 0.25
