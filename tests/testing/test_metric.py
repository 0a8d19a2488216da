"""The contract checks catch wrong metrics, each by the contract that it breaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from levelhead._arrays import FloatArray, paired
from levelhead.errors import InvalidInputError
from levelhead.testing import ContractError, Sample, check_metric, samples

Arrays = tuple[FloatArray, FloatArray, FloatArray]


def checked(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, weights: npt.ArrayLike | None
) -> Arrays:
    c, y, w = paired(confidence, correct, weights)
    return c, y, np.ones_like(c) if w is None else w


def good(confidence, correct, *, weights=None) -> float:
    c, y, w = checked(confidence, correct, weights)
    return float(np.sum(w * (y * (1 - c) ** 2 + (1 - y) * c**2)) / np.sum(w))


def test_a_right_metric_passes() -> None:
    check_metric(good, low=0.0, high=1.0)


def out_of_range(confidence, correct, *, weights=None) -> float:
    return 3.0 * good(confidence, correct, weights=weights)


def not_a_float(confidence, correct, *, weights=None):
    return np.asarray(good(confidence, correct, weights=weights))


def random_part(confidence, correct, *, weights=None) -> float:
    return good(confidence, correct, weights=weights) + 1e-3 * np.random.default_rng().uniform()


def first_wins_ties(confidence, correct, *, weights=None) -> float:
    c, y, _ = checked(confidence, correct, weights)
    order = np.argsort(-c, kind="stable")
    risk = np.cumsum((1 - y)[order]) / np.arange(1, c.size + 1)
    return float(risk.mean())


def single_precision(confidence, correct, *, weights=None) -> float:
    c, y, w = checked(confidence, correct, weights)
    short = np.asarray(confidence, dtype=np.float32).astype(np.float64)
    return good(
        short if np.asarray(confidence).dtype == np.float32 else np.minimum(c, 0.99), y, weights=w
    )


def needs_arrays(confidence, correct, *, weights=None) -> float:
    good(confidence, correct, weights=weights)
    if isinstance(confidence, list):
        return 0.0
    return good(confidence, correct, weights=weights)


def bool_is_minus(confidence, correct, *, weights=None) -> float:
    value = good(confidence, correct, weights=weights)
    return value / 2 if np.asarray(correct).dtype == np.uint8 else value


def sorts_in_place(confidence, correct, *, weights=None) -> float:
    value = good(confidence, correct, weights=weights)
    if isinstance(confidence, np.ndarray) and confidence.flags.writeable:
        confidence.sort()
    return value


def needs_writeable(confidence, correct, *, weights=None) -> float:
    value = good(confidence, correct, weights=weights)
    if isinstance(confidence, np.ndarray):
        confidence[...] = confidence
    return value


def sample_variance(confidence, correct, *, weights=None) -> float:
    c, y, w = checked(confidence, correct, weights)
    return float(np.sum(w * (c - y) ** 2) / max(np.sum(w) - 1, 1))


def counts_rows(confidence, correct, *, weights=None) -> float:
    c, _, _ = checked(confidence, correct, weights)
    return good(confidence, correct, weights=weights) * (1 - 1 / (c.size + 1))


def shrunk_when_few(confidence, correct, *, weights=None) -> float:
    _, _, w = checked(confidence, correct, weights)
    return good(confidence, correct, weights=weights) * (1 - 1 / (w.sum() + 1))


def undefined_with_weights(confidence, correct, *, weights=None) -> float:
    value = good(confidence, correct, weights=weights)
    return value if weights is None else float("nan")


def no_weights(confidence, correct) -> float:
    return good(confidence, correct)


def weights_ignored(confidence, correct, *, weights=None) -> float:
    checked(confidence, correct, weights)
    return good(confidence, correct)


def weights_not_normalized(confidence, correct, *, weights=None) -> float:
    _, _, w = checked(confidence, correct, weights)
    scale = 1.0 if weights is None else float(w.max())
    return good(confidence, correct, weights=weights) * min(scale, 1.0)


def square_of_fraction(confidence, correct, *, weights=None) -> float:
    c, y, w = checked(confidence, correct, weights)
    return float(np.sum(w * (c - y) ** 2) / np.sum(w))


def nan_for_bad(confidence, correct, *, weights=None) -> float:
    try:
        return good(confidence, correct, weights=weights)
    except InvalidInputError:
        return float("nan")


def plain_value_error(confidence, correct, *, weights=None) -> float:
    try:
        return good(confidence, correct, weights=weights)
    except InvalidInputError as error:
        raise ValueError(str(error)) from None


def nameless_error(confidence, correct, *, weights=None) -> float:
    try:
        return good(confidence, correct, weights=weights)
    except InvalidInputError:
        raise InvalidInputError("bad input") from None


def bad_weights_pass(confidence, correct, *, weights=None) -> float:
    c, y, _ = paired(confidence, correct)
    w = np.ones_like(c) if weights is None else np.resize(np.asarray(weights, dtype=float), c.shape)
    with np.errstate(all="ignore"):
        return float(np.sum(w * (y * (1 - c) ** 2 + (1 - y) * c**2)) / np.sum(w))


@pytest.mark.parametrize(
    ("wrong", "contract"),
    [
        (out_of_range, r"expected a value in \[0.0, 2.0\] or NaN, got 3.0"),
        (not_a_float, "expected a float, got ndarray"),
        (random_part, "the same input gives the same value"),
        (first_wins_ties, "the order of samples does not matter"),
        (single_precision, "the number type and the layout do not matter"),
        (needs_arrays, "the number type and the layout do not matter"),
        (bool_is_minus, "the number type and the layout do not matter"),
        (sorts_in_place, "not written to: confidence has changed"),
        (needs_writeable, "not written to: read-only arrays give"),
        (sample_variance, "three copies of every sample change nothing"),
        (shrunk_when_few, "three copies of every sample change nothing"),
        (undefined_with_weights, "a whole weight equals that many copies: .*got nan"),
        (no_weights, "expected it to take weights=..., got TypeError"),
        (weights_ignored, "a whole weight equals that many copies"),
        (weights_not_normalized, r"a constant weight \(0.3\) changes nothing"),
        (square_of_fraction, "a fraction of correctness is a split sample"),
        (nan_for_bad, "expected InvalidInputError for NaN in confidence, got nan"),
        (plain_value_error, "expected InvalidInputError for NaN in confidence, got ValueError"),
        (nameless_error, "the error about NaN in confidence to name confidence, got: bad input"),
        (bad_weights_pass, "expected InvalidInputError for a negative weight"),
    ],
)
def test_a_wrong_metric_is_caught(wrong: Callable[..., float], contract: str) -> None:
    with pytest.raises(ContractError, match=f"^{wrong.__name__}: .*{contract}"):
        check_metric(wrong, low=0.0, high=2.0)


def test_declared_exceptions_are_let_through() -> None:
    check_metric(no_weights, low=0.0, high=1.0, weights="none")
    check_metric(square_of_fraction, low=0.0, high=1.0, linear=False)
    check_metric(sample_variance, low=0.0, high=4.0, plug_in=False, linear=False)
    check_metric(counts_rows, low=0.0, high=1.0, plug_in=False, weights="importance")


def test_importance_weights_must_not_count_as_copies() -> None:
    with pytest.raises(ContractError, match=r"a constant weight \(0.3\) changes nothing"):
        check_metric(sample_variance, low=0.0, high=4.0, plug_in=False, weights="importance")


def test_the_message_shows_the_sample() -> None:
    sample = Sample(np.array([0.25, 0.5]), np.array([1.0, 0.0]), np.array([1.0, 2.0]))
    with pytest.raises(ContractError) as caught:
        check_metric(weights_ignored, inputs=[sample], name="mine")
    text = str(caught.value)
    assert text.startswith("mine: a whole weight equals that many copies: expected 0.3541666")
    assert text.endswith("(confidence, correct, weight) = (0.25, 1, 1), (0.5, 0, 2)")


def test_samples_are_reproducible_and_hold_the_cases_that_matter() -> None:
    found, again = samples(), samples()
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(found, again, strict=True))
    assert any(s.confidence.size == 1 for s in found)
    assert any(len(set(s.confidence)) < s.confidence.size for s in found)
    assert any((s.correct == 1).all() for s in found)
    assert any((s.correct == 0).all() for s in found)
    assert any((s.correct == 0.5).any() for s in found)
    assert any((s.weights == 0).any() for s in found)
    assert any(0.3 in s.confidence and 1.0 in s.confidence for s in found)


def test_a_sample_refuses_fractional_weights() -> None:
    with pytest.raises(InvalidInputError, match="weights: expected whole numbers, got fractions"):
        Sample(np.array([0.5]), np.array([1.0]), np.array([0.5]))
