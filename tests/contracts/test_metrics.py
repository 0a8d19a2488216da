"""Every metric in the tables keeps the contracts of `levelhead.testing`, also under hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead import metrics
from levelhead.metrics._table import Metric
from levelhead.testing import Sample, check_metric

EXAMPLES = 20
LARGEST = 40

LOOSE = {"smooth_ece": 1e-6}
"""The bandwidth is the solution of an equation, found to this many digits."""

IMPORTANCE = {"ece_l2_debiased"}
"""What chance adds depends on the number of samples, which importance weights do not say."""

confidences = st.one_of(
    st.sampled_from([i / 10 for i in range(11)]),  # every bin edge
    st.sampled_from([0.0, 1.0, 0.5, 0.3, 0.1 + 0.2, 0.7 + 1e-12, 0.99]),
    st.integers(0, 100).map(lambda k: k / 100),
    st.floats(0, 1, width=16),
    st.floats(0, 1),
)
labels = st.sampled_from([0.0, 1.0, 0.0, 1.0, 0.5])
rows = st.tuples(confidences, labels, st.integers(0, 4))


@st.composite
def given_samples(draw: st.DrawFn) -> Sample:
    """Many ties or none, one class or both, one row or more; at least one weight above 0."""
    pool = draw(st.lists(confidences, min_size=1, max_size=LARGEST))
    label = draw(st.sampled_from([labels, labels, st.just(1.0), st.just(0.0)]))
    found = draw(
        st.lists(
            st.tuples(st.sampled_from(pool), label, st.integers(0, 4)),
            min_size=1,
            max_size=LARGEST,
        )
    )
    c, y, w = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    if not w.any():
        w[0] = 1.0
    return Sample(c, y, w)


def check(row: Metric, inputs: list[Sample] | None = None) -> None:
    check_metric(
        row.function,
        low=row.low,
        high=row.high,
        plug_in=row.plug_in,
        weights="importance" if row.name in IMPORTANCE else "copies",
        tolerance=LOOSE.get(row.name, 1e-9),
        inputs=inputs,
        name=row.name,
    )


@pytest.mark.parametrize("row", metrics.TABLE, ids=lambda row: row.name)
def test_a_metric_keeps_its_contracts(row: Metric) -> None:
    check(row)


@pytest.mark.parametrize("row", metrics.TABLE, ids=lambda row: row.name)
@settings(max_examples=EXAMPLES, deadline=None)
@given(sample=given_samples())
def test_a_metric_keeps_its_contracts_on_any_sample(row: Metric, sample: Sample) -> None:
    check(row, [sample])


def test_names_are_unique_and_say_which_way_is_better() -> None:
    names = [row.name for row in metrics.TABLE]
    assert len(names) == len(set(names))
    assert len({row.label for row in metrics.TABLE}) == len(names)
    for row in metrics.TABLE:
        assert row.low < row.high
        assert row.name.isidentifier()


@pytest.mark.parametrize("row", [r for r in metrics.TABLE if r.better], ids=lambda row: row.name)
def test_the_better_end_is_better(row: Metric) -> None:
    """To be right and sure of it is at least as good as to be wrong and sure of it."""
    certain = np.concatenate([np.full(50, 0.98), np.full(50, 0.02)])
    right = np.repeat([1.0, 0.0], 50)
    good, bad = row.function(certain, right), row.function(certain, 1.0 - right)
    assert good <= bad if row.better == "lower" else good >= bad
    assert row.low <= good <= row.high
