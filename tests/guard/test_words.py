"""What a guard says: evidence in words, advice that helps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from levelhead.guard.features import TABLE
from levelhead.guard.threshold import conformal_threshold, risk_threshold
from levelhead.guard.words import advice, evidence_words, promise_words


def test_every_input_has_words() -> None:
    for name, feature in TABLE.items():
        assert evidence_words(name) == feature.description
        assert feature.description in evidence_words(f"{name} missing")
    assert evidence_words("my own") == "my own"


def rows(n: int, errors: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n, 0.9), np.arange(n) < errors


def test_a_promise_does_not_stand_unqualified_behind_an_alarm() -> None:
    assert promise_words("At most 5% of them", changed=False) == "At most 5% of them"
    assert promise_words("", changed=True) == ""
    said = promise_words("At most 5% of them", changed=True)
    assert said == "The promise need not hold here, as the alarm says. It was: at most 5% of them"


def test_nothing_is_advised_where_something_is_answered() -> None:
    assert advice(risk_threshold(*rows(200, 0), max_error=0.05)) == ""


def test_too_few_prompts_for_any_test() -> None:
    found = advice(risk_threshold(*rows(50, 0), max_error=0.05))
    assert found == "It takes at least 60 prompts to set this threshold on; there are 50."
    found = advice(conformal_threshold(*rows(50, 0), max_loss=0.01))
    # (0 + 1) / (n + 1) <= 0.01 from n = 99 on
    assert found == "It takes at least 99 prompts to set this threshold on; there are 50."


def test_a_surest_group_that_is_too_often_wrong_needs_evidence_and_not_prompts() -> None:
    found = advice(risk_threshold(*rows(200, 60), max_error=0.1))
    assert found.startswith(
        "30% of its surest 200 answers are wrong, so more prompts alone will hardly"
    )
    assert "--max-error above 10%" in found
    near = advice(risk_threshold(*rows(200, 22), max_error=0.1))
    assert "alone may not help" in near


@pytest.mark.parametrize(("n", "errors", "limit"), [(100, 8, 0.1), (200, 6, 0.05), (80, 3, 0.05)])
def test_the_advised_number_of_prompts_is_enough(n: int, errors: int, limit: float) -> None:
    found = advice(risk_threshold(*rows(n, errors), max_error=limit))
    advised = int(found.split()[1].replace(",", ""))
    rate = errors / n

    def shown(size: int) -> bool:
        return bool(stats.binom.cdf(np.floor(rate * size), size, limit) <= 0.05)

    enough = next(size for size in range(n, 100_000, n) if shown(size))
    assert enough - n < advised <= 1.2 * enough + n
    assert f"there are {n:,}" in found


def test_no_number_is_advised_beyond_reason() -> None:
    found = advice(risk_threshold(*rows(20_000, 1_999), max_error=0.1))
    assert "about as often as the limit" in found
