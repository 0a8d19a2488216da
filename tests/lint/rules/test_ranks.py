"""`ranks`: what it finds, in the syntax of each tool, and what it leaves alone."""

from __future__ import annotations

import pytest

from levelhead.lint import check, read_text

RULE = "ranks"

FIRES = [
    (
        "rank_linear",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: rank_linear}\n",
        "error",
    ),
    ("top1", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: top1}\n", "error"),
    (
        "pl_zscore",
        "run.yaml",
        "rollout: {group_size: 8}\nalgorithm: {estimator: pl_zscore}\n",
        "error",
    ),
]

SILENT = [
    ("softmax", "run.yaml", "rollout: {group_size: 8}\nalgorithm: {estimator: pl_softmax}\n"),
]


@pytest.mark.parametrize("case", FIRES, ids=[row[0] for row in FIRES])
def test_fires(case: tuple[str, str, str, str]) -> None:
    _, file, text, severity = case
    found = [one for one in check(read_text(text, file)[0]) if one.rule == RULE]
    assert [one.severity for one in found] == [severity]
    assert found[0].message
    assert found[0].fix


@pytest.mark.parametrize("case", SILENT, ids=[row[0] for row in SILENT])
def test_is_silent(case: tuple[str, str, str]) -> None:
    _, file, text = case
    assert RULE not in {one.rule for one in check(read_text(text, file)[0])}
