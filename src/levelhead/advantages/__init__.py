"""Advantage estimators: from rewards and their groups to what each sample's log-probability is pushed by.

Every estimator is `f(rewards, groups, *, valid=None, ...) -> (N,) float64`, numpy only. Rewards that
are NaN, or where `valid` is False, could not be scored: they are in no statistic and get 0.

    >>> from levelhead.advantages import TABLE, grpo, rloo
    >>> rewards, groups = [1.0, 0.0, 0.0, 1.0, 1.0], [7, 7, 7, 8, 8]
    >>> rloo(rewards, groups)
    array([ 1. , -0.5, -0.5,  0. ,  0. ])
    >>> TABLE["grpo"].gradient, TABLE["grpo"].fixed_point
    ('biased', 'extremes')

`TABLE` lists the estimators with what they declare about themselves; the contract tests hold them to
it. `gae` works on tokens with a critic and is not in it.
"""

from __future__ import annotations

from levelhead.advantages._table import AdvantageFunction, Estimator
from levelhead.advantages.baselines import (
    GRPO_NO_STD,
    REINFORCE,
    RLOO,
    RLOO_NOTEBOOK,
    gae,
    grpo_no_std,
    reinforce,
    rloo,
    rloo_notebook,
)
from levelhead.advantages.history import EMA_STD, EmaStd
from levelhead.advantages.normalized import (
    BATCH_STD,
    GRPO,
    LOO_STD,
    REINFORCE_PP,
    batch_std,
    grpo,
    loo_std,
    reinforce_pp,
)
from levelhead.advantages.ranked import (
    MAX_AT_K,
    PL_SOFTMAX,
    PL_ZSCORE,
    RANK_LINEAR,
    TOP1,
    max_at_k,
    pl_softmax,
    pl_zscore,
    rank_linear,
    top1,
)

__all__ = [
    "AdvantageFunction",
    "EmaStd",
    "Estimator",
    "TABLE",
    "batch_std",
    "gae",
    "grpo",
    "grpo_no_std",
    "loo_std",
    "max_at_k",
    "pl_softmax",
    "pl_zscore",
    "rank_linear",
    "reinforce",
    "reinforce_pp",
    "rloo",
    "rloo_notebook",
    "top1",
]

TABLE: dict[str, Estimator] = {
    row.name: row
    for row in (
        REINFORCE,
        RLOO,
        GRPO_NO_STD,
        RLOO_NOTEBOOK,
        BATCH_STD,
        REINFORCE_PP,
        EMA_STD,
        GRPO,
        LOO_STD,
        RANK_LINEAR,
        TOP1,
        PL_SOFTMAX,
        PL_ZSCORE,
        MAX_AT_K,
    )
}
"""Every estimator of one signature by name: unbiased and proportional ones first."""
