"""Which rows claim something: an empty answer does not, where answers are given at all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from levelhead.guard._rows import gives_answers, rows_of, unanswered
from levelhead.guard.guard import Guard, apply_guard, evaluate, fit_guard, set_threshold
from levelhead.records import Predictions

EMPTY = [None, "", "  \n", "x"]


def world(n: int = 600, seed: int = 0, empty: int = 0) -> Predictions:
    """`p_true` knows how hard a question is; each of the first `empty` has no answer."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2.0, 1.0, n)
    answers = [EMPTY[i % 3] if i < empty else f"a{i}" for i in range(n)]
    return Predictions.from_arrays(
        "answer", [0.9] * n, (rng.random(n) < truth) & (np.arange(n) >= empty),
        prompt_id=[f"{seed}-{i}" for i in range(n)],
        columns={"p_true": truth, "answer": pa.array(answers, pa.string())},
    )  # fmt: skip


@pytest.fixture(scope="module")
def guard() -> Guard:
    p = world(empty=60)
    return set_threshold(fit_guard(p), p, max_error=0.4, escalate_above=0.0)


def made(answers: list[str | None], kind: str = "answer"):
    p = Predictions.from_arrays(
        kind, [0.9] * len(answers), [1] * len(answers),  # type: ignore[arg-type]
        columns={"answer": pa.array(answers, pa.string())},
    )  # fmt: skip
    return p


def test_what_counts_as_empty() -> None:
    assert unanswered(made(EMPTY), False).tolist() == [True, True, True, False]
    # where nobody answers, the column is no column of answers, unless the fit had some
    assert not unanswered(made([None, ""]), False).any()
    assert unanswered(made([None, ""]), True).all()
    assert not unanswered(made(EMPTY, "event"), True).any()
    bare = Predictions.from_arrays("answer", [0.9], [1])
    assert not unanswered(bare, True).any()
    assert [gives_answers(p) for p in (made(EMPTY), made([None]), bare)] == [True, False, False]


def test_an_empty_answer_claims_nothing() -> None:
    rows = rows_of(made(EMPTY), None)
    assert rows.claim.tolist() == [False, False, False, True]
    assert np.isnan(rows.correct).tolist() == [True, True, True, False]


def test_the_fit_leaves_them_out_and_says_so(guard: Guard) -> None:
    assert guard.answers
    assert guard.notes[0] == "60 rows without an answer left out: the guard never answers these"
    assert sum(part["rows"] for part in guard.counts.values()) == 540


def test_they_are_never_answered(guard: Guard) -> None:
    new = world(200, seed=1, empty=40)
    out = apply_guard(guard, new)
    decision = out.columns["decision"].to_pylist()
    assert set(decision[:40]) == {"abstain"}
    assert set(decision[40:]) == {"answer", "escalate"}
    assert np.isnan(out.confidence[:40]).all()
    assert out.status_counts() == {"ok": 160, "refusal": 40}
    assert guard.unanswered(new) == 40
    alone = apply_guard(guard, new.take(np.array([0])))  # whatever else is in the file
    assert alone.columns["decision"].to_pylist() == ["abstain"]
    e = evaluate(guard, new)
    assert e.outcome.n_prompts == 200
    assert e.outcome.n_answered <= 160
    assert e.counts["without_answer"] == 40
    assert "40 rows without an answer, which are never answered" in e.notes


def test_another_sample_answers_for_one_that_is_empty(guard: Guard) -> None:
    new = world(2, seed=1, empty=1)
    pair = dataclasses.replace(new, prompt_id=pa.array(["q", "q"]))
    out = apply_guard(guard, pair)
    assert out.columns["rank"].to_pylist() == [None, 1]
