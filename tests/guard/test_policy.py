"""What is answered, escalated and abstained from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard.policy import (
    ABSTAIN,
    ANSWER,
    DECISIONS,
    ESCALATE,
    Policy,
    decision_names,
)
from levelhead.guard.threshold import Threshold, conformal_threshold, risk_threshold

NAN = float("nan")


def at(value: float | None, n: int = 100) -> Threshold:
    """A threshold at `value` (of its own grid), or one that answers nothing."""
    if value is None:
        return risk_threshold([0.9] * n, [1] * n, max_error=0.1, delta=0.05)
    return risk_threshold([value] * n, [0] * n, max_error=0.1, delta=0.05, grid=[value])


def test_the_codes_have_names() -> None:
    assert DECISIONS[ANSWER] == "answer"
    assert DECISIONS[ESCALATE] == "escalate"
    assert DECISIONS[ABSTAIN] == "abstain"
    assert decision_names(np.array([0, 2, 1], np.int8)) == ["answer", "abstain", "escalate"]


def test_one_threshold_for_all() -> None:
    policy = Policy({"": at(0.7)}, escalate_above=0.4)
    decided = policy.decide([0.7, np.nextafter(0.7, 0), 0.4, 0.39, NAN, 1.0])
    assert decision_names(decided) == [
        "answer",
        "escalate",
        "escalate",
        "abstain",
        "abstain",
        "answer",
    ]
    assert decided.dtype == np.int8
    assert decision_names(Policy({"": at(0.7)}).decide([0.69])) == ["abstain"]


def test_nothing_answered() -> None:
    assert decision_names(Policy({"": at(None)}).decide([1.0, np.inf])) == ["abstain"] * 2
    policy = Policy({"": at(None)}, escalate_above=0.5)
    assert decision_names(policy.decide([1.0, 0.1])) == ["escalate", "abstain"]


def test_a_threshold_for_each_slice() -> None:
    policy = Policy(
        {"law": at(0.9), "math": at(0.5), "art": at(None)}, by="domain", escalate_above=0.6
    )
    decided = policy.decide(
        [0.7, 0.7, 0.7, 0.7, 0.95], slices=["law", "math", "art", "sport", "sport"]
    )
    assert decision_names(decided) == ["escalate", "answer", "escalate", "escalate", "escalate"]
    # a slice that nobody has seen is never answered, and handed on as others without a threshold are
    assert decision_names(policy.decide([0.59], slices=["sport"])) == ["abstain"]
    assert decision_names(Policy({"law": at(0.5)}, by="x").decide([0.9], slices=["y"])) == [
        "abstain"
    ]
    assert policy.unseen(["law", "sport", "x", "sport"]) == {"sport": 2, "x": 1}
    assert policy.unseen(["law"]) == {}
    assert Policy({"": at(0.5)}).unseen(["anything"]) == {}


def test_slices_are_compared_as_texts() -> None:
    policy = Policy({"1": at(0.5), "": at(0.9)}, by="fold")
    decided = policy.decide([0.6, 0.6, 0.6, 0.6], slices=[1, 1.0, "1", None])
    assert decision_names(decided) == ["answer", "answer", "answer", "abstain"]
    assert decision_names(policy.decide([0.6], slices=np.array([1.0]))) == ["answer"]


def test_the_promise_holds_for_all_slices_at_once() -> None:
    policy = Policy({"a": at(0.5), "b": at(None)}, by="domain")
    assert policy.promise == (
        "At most 10% of the answered are wrong in each of the 2 values of domain, with 90% certainty "
        "for all of them at once, as long as new prompts are like these 200"
    )
    assert policy.sentence.startswith("domain 'a': Answers at a score of at least 0.5: 100 of 100")
    assert "; domain 'b': Answers nothing: " in policy.sentence
    single = Policy({"": at(0.5)})
    assert (single.promise, single.sentence) == (at(0.5).promise, at(0.5).sentence)
    assert Policy({"a": at(None)}, by="domain").promise == (
        "Nothing is answered, so no answer is wrong: no threshold passed in any domain"
    )
    marginal = conformal_threshold([0.9] * 99, [0] * 99, max_loss=0.1)
    assert Policy({"a": marginal}, by="domain").promise.startswith(
        "In each domain that is answered: The mean loss per prompt, 0 where nothing is answered"
    )


@pytest.mark.parametrize(
    "policy",
    [
        Policy({"": at(0.7)}),
        Policy({"law": at(1 / 3), "": at(None)}, by="domain", escalate_above=0.1, margin=0.3),
    ],
)
def test_json_keeps_everything(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy
    score = np.linspace(0, 1, 101)
    slices = None if policy.by is None else ["law", "other"] * 50 + [None]
    assert again.decide(score, slices).tolist() == policy.decide(score, slices).tolist()


def test_bad_input_is_named() -> None:
    with pytest.raises(
        InvalidInputError, match=r"^thresholds: expected a Threshold for each slice, g"
    ):
        Policy({})
    with pytest.raises(InvalidInputError, match=r"got something else for 'a'$"):
        Policy({"a": 0.5}, by="domain")  # type: ignore[dict-item]
    with pytest.raises(
        InvalidInputError, match=r"^thresholds: expected the single entry '' without s"
    ):
        Policy({"a": at(0.5)})
    with pytest.raises(
        InvalidInputError, match=r"^escalate_above: expected a finite number or None,"
    ):
        Policy({"": at(0.5)}, escalate_above=NAN)
    with pytest.raises(InvalidInputError, match=r"^margin: expected a value in \[0, 1\], got 1.5$"):
        Policy({"": at(0.5)}, margin=1.5)
    with pytest.raises(
        InvalidInputError, match=r"^slices: expected the column 'domain', by which the"
    ):
        Policy({"a": at(0.5)}, by="domain").decide([0.5])
    with pytest.raises(
        InvalidInputError, match=r"^slices: expected 1 values, one for each score, got"
    ):
        Policy({"a": at(0.5)}, by="domain").decide([0.5], ["a", "b"])
    with pytest.raises(
        InvalidInputError, match=r"^slices: expected none, since this policy has one t"
    ):
        Policy({"": at(0.5)}).decide([0.5], ["a"])


def test_a_tampered_policy_is_refused() -> None:
    state = Policy({"": at(0.7)}).state()
    with pytest.raises(InvalidInputError, match=r"^policy: expected JSON, got something else"):
        Policy.from_json("{")
    with pytest.raises(
        InvalidInputError, match=r"^policy: expected the entries thresholds, by, esc"
    ):
        Policy.from_json("[]")
    with pytest.raises(
        InvalidInputError, match=r"^policy: expected the entries thresholds, by, esc"
    ):
        Policy.from_state({**state, "extra": 1})
    with pytest.raises(
        InvalidInputError, match=r"^policy: expected thresholds by slice and the name"
    ):
        Policy.from_state({**state, "by": 3})
    with pytest.raises(InvalidInputError, match=r"^threshold: expected the entries "):
        Policy.from_state({**state, "thresholds": {"": {}}})
    with pytest.raises(InvalidInputError, match=r"^margin: expected a number, got str 'wide'$"):
        Policy.from_json(json.dumps({**state, "margin": "wide"}))
