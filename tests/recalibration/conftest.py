"""Predictions to calibrate: stated confidences, class scores, and records without a confidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from levelhead.records import STATUSES, Predictions


def _answers(n: int = 200, *, seed: int = 0, truth: float = 0.6) -> Predictions:
    """Says 0.9, is right with probability `truth`; two samples a prompt."""
    rng = np.random.default_rng(seed)
    return Predictions.from_arrays(
        "answer",
        np.where(np.arange(n) % 2, 0.9, 0.8),
        (rng.random(n) < truth).astype(float),
        prompt_id=[f"q{seed}-{i // 2}" for i in range(n)],
        columns={"subject": [f"s{i % 4}" for i in range(n)]},
    )


def _scored(n: int = 120, k: int = 4, *, seed: int = 0, scale: float = 3.0) -> Predictions:
    """Class scores `scale` times as large as the truth's."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, k))
    probs = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    target = np.array([rng.choice(k, p=p) for p in probs])
    logits = truth * scale
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions.from_arrays(
        "answer",
        said.max(axis=1),
        (said.argmax(axis=1) == target).astype(float),
        prompt_id=[str(i) for i in range(n)],
        columns={"logits": logits.tolist(), "target_index": target.tolist()},
    )


def _holed(n: int = 60, *, hits: int = 5, weight: np.ndarray | None = None) -> Predictions:
    """Of every three rows one has a confidence, one has none, and one is a refusal or cannot be read."""
    status = np.tile([STATUSES.index(s) for s in ("ok", "missing", "refusal", "ok", "unparsable",
                                                  "out_of_range")], n // 6)  # fmt: skip
    confidence = np.where(status == 0, np.tile([0.9, 0.8], n // 2), np.nan)
    label = np.tile([1.0, 0.0], n // 2)
    unstated = np.flatnonzero((status != 0) & (status != STATUSES.index("refusal")))
    label[unstated] = 0.0
    label[unstated[:hits]] = 1.0
    label[unstated[-1]] = np.nan
    return Predictions.from_arrays("answer", confidence, label, status=status, weight=weight)


@pytest.fixture
def answers() -> Callable[..., Predictions]:
    return _answers


@pytest.fixture
def scored() -> Callable[..., Predictions]:
    return _scored


@pytest.fixture
def holed() -> Callable[..., Predictions]:
    return _holed
