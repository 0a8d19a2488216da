"""What the table says about its estimators."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead import advantages
from levelhead.advantages import TABLE, EmaStd, Estimator

ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())


def test_the_names_and_their_order() -> None:
    assert list(TABLE) == [
        "reinforce",
        "rloo",
        "grpo_no_std",
        "rloo_notebook",
        "batch_std",
        "reinforce_pp",
        "ema_std",
        "grpo",
        "loo_std",
        "rank_linear",
        "top1",
        "pl_softmax",
        "pl_zscore",
        "max_at_k",
    ]
    assert all(name == row.name for name, row in TABLE.items())
    for name, row in TABLE.items():
        if row.new is None:
            assert row.function is getattr(advantages, name)
    assert TABLE["ema_std"].new is EmaStd


@ROWS
def test_dense_blocks_are_the_function(row: Estimator) -> None:
    draw = np.random.default_rng(0)
    for block in (
        draw.normal(size=(7, 5)),
        draw.integers(0, 3, (9, 4)) / 2.0,
        np.full((2, 3), 0.1),
        draw.normal(size=(3, 2)),
    ):
        given = block.copy()
        given.flags.writeable = False
        groups = np.repeat(np.arange(len(block)), block.shape[1])
        expected = row.start()(block.ravel(), groups).reshape(block.shape)
        np.testing.assert_allclose(row.dense(given), expected, atol=1e-14)


@ROWS
def test_declarations_go_together(row: Estimator) -> None:
    assert (row.factor is not None) == (row.name in {*BY_HAND, "ema_std"})
    if row.gradient == "unbiased":
        assert row.factor is not None
        assert row.factor(4) == 1.0
    if row.gradient == "biased":
        assert row.fixed_point == "extremes"
    if row.gradient in ("unbiased", "proportional"):
        assert row.fixed_point == "truth"
    assert row.reference


BY_HAND = {"reinforce": 1.0, "rloo": 1.0, "grpo_no_std": 0.75, "rloo_notebook": 1.0}


@pytest.mark.parametrize("name", BY_HAND)
def test_factors(name: str) -> None:
    factor = TABLE[name].factor
    assert factor is not None
    assert factor(4) == BY_HAND[name]
