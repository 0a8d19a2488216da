"""Every calibrator in the table keeps the contracts of `levelhead.testing`, also under hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.calibrators import TABLE, Calibrator, make
from levelhead.testing import CalibrationRows, check_calibrator

EXAMPLES = 4
LARGEST = 25
REFUSES_FEW = ("matrix", "dirichlet")
"""A penalty is chosen by cross-validation, which needs rows that differ."""

KINDS = list(TABLE.values())
SCALAR = [kind for kind in KINDS if kind.input == "confidence"]
CLASSES = [kind for kind in KINDS if kind.input == "classes"]

confidences = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 0.9, 1e-300, 1e-9, 1.0 - 2.0**-53]),
    st.integers(0, 100).map(lambda k: k / 100),
    st.floats(0, 1),
)


@st.composite
def scalar_rows(draw: st.DrawFn) -> CalibrationRows:
    """Many ties or none; right and wrong rows, each of a weight above 0."""
    pool = draw(st.lists(confidences, min_size=1, max_size=LARGEST))
    label = st.sampled_from([0.0, 1.0, 0.0, 1.0, 0.5, 0.25])
    row = st.tuples(st.sampled_from(pool), label, st.integers(0, 4))
    rows = draw(st.lists(row, min_size=0, max_size=LARGEST))
    rows += [(pool[0], 1.0, 1), (pool[-1], 0.0, 2)]
    c, y, w = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return CalibrationRows(c, y, w)


@st.composite
def class_rows(draw: st.DrawFn) -> CalibrationRows:
    """Logits of two to four classes, some far apart, some equal.

    Every class happens at the same logits, so that the best fit is a finite one.
    """
    k, n = draw(st.integers(2, 4)), draw(st.integers(6, LARGEST))
    logit = st.one_of(st.integers(-3, 3).map(float), st.floats(-30, 30, width=16))
    cells = draw(st.lists(logit, min_size=n * k, max_size=n * k))
    y = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    w = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    X = np.array(cells).reshape(n, k)
    X[0, 0] = 5.0  # nothing that looks like probabilities
    X = np.concatenate([X, np.repeat(X[:2], k, axis=0)])
    y += [*range(k), *range(k)]
    w += [1] * (2 * k)
    return CalibrationRows(X, np.array(y, dtype=np.float64), np.array(w, dtype=np.float64))


@pytest.mark.parametrize("kind", SCALAR, ids=lambda kind: kind.method)
def test_a_calibrator_keeps_its_contracts(kind: type[Calibrator]) -> None:
    check_calibrator(
        kind, input=kind.input, monotone=kind.monotone, nests_identity=kind.nests_identity
    )


@pytest.mark.parametrize("inputs", ["logits", "probs"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.method)
def test_a_calibrator_of_classes_keeps_its_contracts(kind: type[Calibrator], inputs: str) -> None:
    check_calibrator(
        lambda: make(kind.method, "classes", inputs=inputs),  # pyright: ignore[reportArgumentType]
        input="classes",
        inputs=inputs,  # pyright: ignore[reportArgumentType]
        monotone=kind.monotone,
        nests_identity=kind.nests_identity,
        refuses_few=kind.method in REFUSES_FEW,
    )


@pytest.mark.parametrize("kind", SCALAR, ids=lambda kind: kind.method)
@settings(max_examples=EXAMPLES, deadline=None)
@given(rows=scalar_rows())
def test_and_on_any_rows(kind: type[Calibrator], rows: CalibrationRows) -> None:
    check_calibrator(
        kind,
        input=kind.input,
        monotone=kind.monotone,
        nests_identity=kind.nests_identity,
        rows=[rows],
    )


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.method)
@settings(max_examples=EXAMPLES, deadline=None)
@given(rows=class_rows())
def test_and_on_any_rows_of_classes(kind: type[Calibrator], rows: CalibrationRows) -> None:
    check_calibrator(
        lambda: make(kind.method, "classes"),
        input="classes",
        monotone=kind.monotone,
        nests_identity=kind.nests_identity,
        refuses_few=True,
        rows=[rows],
    )


def test_the_table_says_who_is_who() -> None:
    assert {name: kind.method for name, kind in TABLE.items()} == {name: name for name in TABLE}
    assert {kind.input for kind in KINDS} == {"confidence", "classes"}
    for some in (SCALAR, CLASSES):
        ranks = [kind.simplicity for kind in some]
        assert ranks[0] == 0  # the identity
        assert len(set(ranks)) == len(ranks)
