"""Brier, Brier skill, NLL and the KS error against loops, and the table of the unbinned metrics."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from levelhead.errors import InvalidInputError
from levelhead.metrics.unbinned import TABLE, brier, brier_skill, ks_error, nll

EXACT = 1e-12

rows = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.99, 1.0]), st.floats(0, 1)),
        st.sampled_from([0.0, 1.0, 0.5]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=20,
).filter(lambda rows: any(row[2] for row in rows))


def columns(rows):
    return (np.array(column, dtype=float) for column in zip(*rows, strict=True))


def loop_ks(c, y, w):
    total = sum(w)
    return max(
        abs(sum(wi * (ci - yi) for ci, yi, wi in zip(c, y, w, strict=True) if ci <= v)) / total
        for v in c
    )


def loop_mean(loss, c, y, w):
    """Expected loss of each sample, with correct = 1 and correct = 0 as two weighted samples."""
    total = 0.0
    for ci, yi, wi in zip(c, y, w, strict=True):
        total += wi * (yi * loss(ci, 1) + (1 - yi) * loss(ci, 0))
    return total / sum(w)


def clipped_log(c, y, eta=0.01):
    c = min(max(c, eta), 1 - eta)
    return -math.log(c if y else 1 - c)


def test_golden_values():
    c, y = [0.9, 0.6, 0.2, 1.0], [1, 0, 0, 0]
    assert brier(c, y) == pytest.approx((0.01 + 0.36 + 0.04 + 1) / 4, abs=EXACT)
    assert brier_skill(c, y) == pytest.approx(1 - 0.3525 / 0.1875, abs=EXACT)
    logs = math.log(0.9) + math.log(0.4) + math.log(0.8) + math.log(0.01)
    assert nll(c, y) == pytest.approx(-logs / 4, abs=EXACT)
    # cumulated from below: .2, .8, .8 - .1, 1.7, of 4
    assert ks_error(c, y) == pytest.approx(1.7 / 4, abs=EXACT)


@settings(deadline=None)
@given(rows)
def test_match_loops(rows):
    c, y, w = columns(rows)
    assert brier(c, y, weights=w) == pytest.approx(
        loop_mean(lambda q, o: (q - o) ** 2, c, y, w), abs=EXACT
    )
    assert nll(c, y, weights=w) == pytest.approx(loop_mean(clipped_log, c, y, w), abs=EXACT)
    assert ks_error(c, y, weights=w) == pytest.approx(loop_ks(c, y, w), abs=EXACT)
    accuracy = np.average(y, weights=w)
    if 0 < accuracy < 1:
        skill = 1 - brier(c, y, weights=w) / (accuracy * (1 - accuracy))
        assert brier_skill(c, y, weights=w) == pytest.approx(skill, abs=1e-9)
    else:
        assert math.isnan(brier_skill(c, y, weights=w))


def test_match_sklearn():
    rng = np.random.default_rng(0)
    c, w = rng.random(500), rng.random(500)
    y = rng.random(500) < c
    assert brier(c, y, weights=w) == pytest.approx(
        brier_score_loss(y, c, sample_weight=w), abs=EXACT
    )
    assert nll(c, y, eta=0.0, weights=w) == pytest.approx(
        sklearn_log_loss(y, c, sample_weight=w), abs=EXACT
    )


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
@settings(deadline=None)
@given(rows=rows)
def test_every_metric_keeps_its_contract(metric, rows):
    c, y, w = columns(rows)
    value = metric.function(c, y, weights=w)
    times = w.astype(int)
    same = [
        metric.function(c.repeat(times), y.repeat(times)),
        metric.function(np.tile(c, 3), np.tile(y, 3), weights=np.tile(w, 3)),
        metric.function(c[::-1], y[::-1], weights=w[::-1]),
        metric.function(
            np.tile(c, 2),
            np.repeat([1.0, 0.0], c.size),
            weights=np.concatenate([w * y, w * (1 - y)]),
        ),
    ]
    assert same == pytest.approx([value] * len(same), abs=2e-6, nan_ok=True)
    if not math.isnan(value):
        assert isinstance(value, float)
        assert metric.low - 1e-9 <= value <= metric.high + 1e-9


def test_table_is_complete():
    assert [metric.name for metric in TABLE] == [
        "brier",
        "brier_skill",
        "nll",
        "smooth_ece",
        "ks_error",
    ]
    for metric in TABLE:
        assert metric.function.__name__ == metric.name
        assert metric.reference


def test_ks_keeps_ties_whole():
    """Residuals at .8 are -.2 and .8: the whole tie gives .6 of 2, half of it .2 or .8 of 2."""
    assert ks_error([0.8, 0.8], [1, 0]) == pytest.approx(0.3, abs=EXACT)
    assert ks_error([0.8, 0.8], [0, 1]) == pytest.approx(0.3, abs=EXACT)


def test_nll_clips_the_prediction():
    assert nll([0.0, 1.0], [1, 0]) == pytest.approx(-math.log(0.01), abs=EXACT)
    assert nll([1.0], [1]) == pytest.approx(-math.log(0.99), abs=EXACT)
    assert nll([0.0], [1], eta=0.2) == pytest.approx(-math.log(0.2), abs=EXACT)
    assert nll([0.0], [1], eta=0.0) == math.inf
    assert nll([0.0, 0.5], [1, 1], eta=0.0, weights=[0, 1]) == pytest.approx(math.log(2), abs=EXACT)


def test_brier_skill_is_undefined_with_one_class():
    assert math.isnan(brier_skill([0.5, 0.9], [1, 1]))
    assert math.isnan(brier_skill([0.5, 0.9], [0, 0]))
    assert brier_skill([0.5, 0.5], [1, 0]) == pytest.approx(0.0, abs=EXACT)
    assert brier_skill([1.0, 0.0], [1, 0]) == 1.0


def test_certain_answers_have_brier_equal_to_the_error_rate():
    """A is right 80% of the time and knows when; B is right 95% of the time and always certain."""
    assert brier([1.0] * 16 + [0.0] * 4, [1] * 16 + [0] * 4) == 0.0
    assert brier([1.0] * 20, [1] * 19 + [0]) == pytest.approx(0.05, abs=EXACT)
    assert brier([0.95] * 20, [1] * 19 + [0]) == pytest.approx(0.0475, abs=EXACT)


def test_import_needs_numpy_alone():
    code = (
        "import sys, levelhead.metrics.unbinned;"
        "print([m for m in ('scipy', 'matplotlib', 'torch', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_errors(metric):
    for confidence, correct, weights, message in [
        ([], [], None, "confidence: expected at least one value, got none"),
        (
            [87.0],
            [1],
            None,
            "confidence: expected values in [0, 1], got 87.0 at index 0; percentages",
        ),
        ([0.5], [1, 0], None, "correct: expected 1 values, one for each of confidence, got 2"),
        ([0.5], [1], [math.inf], "weights: expected finite values >= 0, got inf at index 0"),
    ]:
        with pytest.raises(InvalidInputError) as raised:
            metric.function(confidence, correct, weights=weights)
        assert str(raised.value).startswith(message)
    with pytest.raises(InvalidInputError, match=r"eta: expected a number in \[0, 0.5\), got 0.7"):
        nll([0.5], [1], eta=0.7)
