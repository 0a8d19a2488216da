"""Features: their values by hand, what they may depend on, and the claim that they are about."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard.evidence import NAMES
from levelhead.guard.features import TABLE, claim_correct, features
from levelhead.metrics import top_label
from levelhead.readers import ReadOptions, load
from levelhead.records import STATUSES, Kind, Predictions

TIGHT = 1e-12
SECONDS = 6.0
"""Time in which 100,000 rows with all evidence must be done; a quiet machine takes a quarter."""

NAN = math.nan
WORDS = ["maybe it is", "I'm sure it is so, clearly", "red blue", "it may be, I think", None]


def random_predictions(kind: Kind = "answer", n: int = 60, seed: int = 0) -> Predictions:
    """Records with every kind of evidence, each now and then without it, in a few prompts."""
    rng = np.random.default_rng(seed)

    def some(values: list[Any]) -> list[Any]:
        return [None if rng.random() < 0.1 else value for value in values]

    lengths = rng.integers(1, 6, n)
    columns = {
        "token_logprobs": some([list(-rng.exponential(0.4, k)) for k in lengths]),
        "token_entropies": some([list(rng.exponential(0.4, k)) for k in lengths]),
        "top_probs": some([[[p, (1 - p) / 2] for p in rng.uniform(0.5, 1, k)] for k in lengths]),
        "logits": some([list(rng.normal(size=4)) for _ in range(n)]),
        "answer": some([str(a) for a in rng.integers(0, 3, n)]),
        "cluster": some([str(a) for a in rng.integers(0, 2, n)]),
        "p_true": some(list(rng.random(n))),
        "text": some([WORDS[i] for i in rng.integers(0, len(WORDS), n)]),
        "retrieval_support": some(list(rng.random(n))),
        "contradiction": some(list(rng.random(n))),
        "judge_scores": some([list(rng.integers(1, 10, 3).astype(float)) for _ in range(n)]),
        "pass_rate": some(list(rng.random(n))),
    }
    status = rng.choice(len(STATUSES), n, p=[0.7, 0.1, 0.05, 0.05, 0.1])
    confidence = np.where(status == 0, np.round(rng.random(n), 2), np.nan)
    return Predictions.from_arrays(
        kind,
        confidence,
        rng.integers(0, 2, n),
        status=status,
        prompt_id=[f"p{i}" for i in rng.integers(0, n // 4, n)],
        columns=columns,
    )


ANSWER_ONLY = {"answer_log_characters", "answer_log_words"}
EVENT_ONLY = {"claims_event", "samples_mean", "others_mean", "samples_sd"}


@pytest.mark.parametrize(("kind", "absent"), [("answer", EVENT_ONLY), ("event", ANSWER_ONLY)])
def test_all_features_of_a_record_that_carries_everything(kind: Kind, absent: set[str]) -> None:
    p = random_predictions(kind)
    found = features(p)
    assert found.names == tuple(name for name in TABLE if name not in absent)
    assert found.values.shape == (60, len(found.names))
    assert found.values.dtype == np.float64
    assert not np.isinf(found.values).any()
    assert np.ptp(np.nan_to_num(found.values), axis=0).all()  # none is constant here
    for j, name in enumerate(found.names):
        np.testing.assert_array_equal(TABLE[name](p), found.values[:, j])


def values(columns: dict[str, Any], name: str, **other: Any) -> list[float]:
    n = len(next(iter(columns.values()))) if columns else len(other["confidence"])
    kind = other.pop("kind", "answer")
    confidence = other.pop("confidence", [0.5] * n)
    p = Predictions.from_arrays(kind, confidence, [1.0] * n, columns=columns, **other)
    found = features(p, [name])
    assert found.names == (name,)
    return found.values[:, 0].tolist()


FOUR = {"prompt_id": ["p", "p", "p", "q"]}
EVENT = {"kind": "event", "confidence": [0.9, 0.7, 0.2, 0.6], **FOUR}
LN2 = math.log(2.0)
TOKENS = {"token_probs": [[0.5, 0.125], [1.0]]}
BY_HAND: list[tuple[str, dict[str, Any], dict[str, Any], list[float]]] = [
    ("stated", {}, {"confidence": [0.25, None]}, [0.25, NAN]),
    ("stated", {}, {"confidence": [0.25, None], "kind": "event"}, [0.75, NAN]),
    ("stated_missing", {}, {"confidence": [0.5, *[None] * 4], "status": [0, 1, 2, 3, 4]},
     [0, 1, 1, 1, 0]),
    ("refused", {}, {"confidence": [0.5, *[None] * 4], "status": [0, 1, 2, 3, 4]}, [0, 0, 0, 0, 1]),
    ("claims_event", {}, {"confidence": [0.5, 0.4, None], "kind": "event"}, [1, 0, NAN]),
    ("mean_logprob", TOKENS, {}, [-2 * LN2, 0.0]),  # ln(1/2) and ln(1/8)
    ("min_token_prob", TOKENS, {}, [0.125, 1.0]),
    ("sequence_prob", TOKENS, {}, [0.0625, 1.0]),
    ("mean_token_entropy", {"token_entropies": [[0.5, 1.0], []]}, {}, [0.75, NAN]),
    ("token_gap", {"top_probs": [[[0.75, 0.25], [1.0, 0.0]]]}, {}, [0.75]),
    ("class_top", {"probs": [[0.5, 0.25, 0.25]]}, {}, [0.5]),
    ("class_gap", {"probs": [[0.5, 0.25, 0.25], [0.5, 0.5]]}, {}, [0.25, 0.0]),
    ("class_gap", {"probs": [[1.0]]}, {}, [NAN]),
    ("class_gap", {"logits": [[0.0, -math.inf]]}, {}, [1.0]),
    ("class_entropy", {"probs": [[0.5, 0.25, 0.25], [1.0, 0.0]]}, {}, [1.5 * LN2, 0.0]),
    ("agreement", {"answer": ["4", "4.0", "5", "4"]}, FOUR, [2 / 3, 2 / 3, 1 / 3, NAN]),
    ("agreement", {}, EVENT, [2 / 3, 2 / 3, 1 / 3, NAN]),
    ("agreement_others", {"answer": ["4", "4", "5", "4"]}, FOUR, [0.5, 0.5, 0.0, NAN]),
    ("n_clusters", {"answer": ["4", "4", "5", "4"]}, FOUR, [2, 2, 2, NAN]),
    ("semantic_entropy", {"cluster": ["x", "x", "x", "y"]}, FOUR, [0, 0, 0, NAN]),
    ("semantic_entropy", {"answer": ["4", "4", "5", "4"]}, FOUR,
     [math.log(3) - 2 / 3 * LN2] * 3 + [NAN]),
    # The mean is 0.6; the third row claims that it does not happen.
    ("samples_mean", {}, EVENT, [0.6, 0.6, 0.4, NAN]),
    ("others_mean", {}, EVENT, [0.45, 0.55, 0.2, NAN]),
    ("samples_sd", {}, EVENT, [math.sqrt(0.13)] * 3 + [NAN]),  # (0.09 + 0.01 + 0.16) / 2
    ("p_true", {"p_true": [0.5, None]}, {}, [0.5, NAN]),
    ("stated_minus_token", TOKENS, {"confidence": [0.75, None]}, [0.5, NAN]),  # sqrt(1/16)
    ("text_log_characters", {"text": ["é b", "", None]}, {}, [math.log(4), 0.0, NAN]),
    ("text_log_words", {"text": ["é b", "", None]}, {}, [math.log(3), 0.0, NAN]),
    ("answer_log_characters", {"answer": ["ab c", None]}, {}, [math.log(5), NAN]),
    ("answer_log_words", {"answer": ["ab c", None]}, {}, [math.log(3), NAN]),
    ("hedges", {"text": ["maybe a b c", "", None]}, {}, [25.0, NAN, NAN]),
    ("assertions", {"text": ["clearly a b c", "not clearly a b", None]}, {}, [25.0, 0.0, NAN]),
    ("retrieval_support", {"retrieval_support": [0.5, None]}, {}, [0.5, NAN]),
    ("contradiction", {"contradiction": [True, False]}, {}, [1.0, 0.0]),
    ("judge_mean", {"judge_scores": [[1.0, 4.0], [3.0]]}, {}, [2.5, 3.0]),
    ("judge_disagreement", {"judge_scores": [[1.0, 3.0], [3.0]]}, {}, [math.sqrt(2), NAN]),
    ("pass_rate", {"pass_rate": [0.25]}, {}, [0.25]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "columns", "other", "expected"), BY_HAND)
def test_values_by_hand(
    name: str, columns: dict[str, Any], other: dict[str, Any], expected: list[float]
) -> None:
    np.testing.assert_allclose(values(columns, name, **other), expected, rtol=TIGHT, atol=TIGHT)


def test_every_feature_has_a_value_by_hand() -> None:
    assert {case[0] for case in BY_HAND} == set(TABLE)


# ---- what features may depend on


@pytest.mark.parametrize("kind", ["answer", "event"])
def test_labels_decide_nothing(kind: Kind) -> None:
    p = random_predictions(kind)
    found = features(p)
    for label in (
        1.0 - p.label,
        np.full(60, np.nan),
        np.random.default_rng(1).permutation(p.label),
    ):
        again = features(dataclasses.replace(p, label=label))
        assert again.names == found.names
        np.testing.assert_array_equal(again.values, found.values)


@pytest.mark.parametrize("kind", ["answer", "event"])
def test_the_order_of_the_rows_decides_nothing(kind: Kind) -> None:
    p = random_predictions(kind)
    order = np.random.default_rng(2).permutation(60)
    np.testing.assert_allclose(
        features(p.take(order)).values, features(p).values[order], rtol=TIGHT, atol=TIGHT
    )


@pytest.mark.parametrize("kind", ["answer", "event"])
def test_a_prompt_is_its_own_world(kind: Kind) -> None:
    p = random_predictions(kind)
    assert p.clusters is not None
    whole = features(p)
    for code in range(5):
        rows = np.flatnonzero(p.clusters == code)
        alone = features(p.take(rows), whole.names)
        np.testing.assert_allclose(alone.values, whole.values[rows], rtol=TIGHT, atol=TIGHT)


def test_blocks_of_columns_are_one_column() -> None:
    p = random_predictions()
    chunked = dataclasses.replace(
        p, columns=p.take(np.arange(60) < 20).columns.from_batches(p.columns.to_batches(17))
    )
    np.testing.assert_array_equal(features(chunked).values, features(p).values)


# ---- which features


def test_confidences_alone_are_enough() -> None:
    p = Predictions.from_arrays("answer", [0.5, None], [1, 0])
    found = features(p)
    assert (found.names, found.empty) == (("stated", "stated_missing", "refused"), ())
    np.testing.assert_array_equal(found.values, [[0.5, 0, 0], [NAN, 1, 0]])


def test_features_without_a_value_are_left_out_and_named() -> None:
    columns = {"p_true": [None, None], "answer": ["a", "b"]}
    p = Predictions.from_arrays("answer", [0.5, 0.6], [1, 0], columns=columns, prompt_id=["x", "y"])
    found = features(p)
    assert found.empty == (
        "agreement", "agreement_others", "n_clusters", "semantic_entropy", "p_true",
    )  # fmt: skip
    assert not set(found.empty) & set(found.names)
    asked = features(p, ["p_true", "stated"])
    assert (asked.names, asked.empty) == (("p_true", "stated"), ("p_true",))
    np.testing.assert_array_equal(asked.values, [[NAN, 0.5], [NAN, 0.6]])


def test_the_asked_order_is_kept() -> None:
    p = random_predictions()
    names = ["hedges", "stated", "agreement"]
    assert features(p, names).names == tuple(names)
    assert features(p, []).values.shape == (60, 0)


P = Predictions.from_arrays("answer", [0.5], [1], columns={"text": ["x"], "step": [3]})
E = Predictions.from_arrays("event", [0.5], [1], columns={"answer": ["37"]})
REFUSED = [
    (P, ["statd"], "feature: expected one of "),
    (P, ["stated", "stated"], "names: expected each feature once, got 'stated' again"),
    (P, ["mean_logprob"], "mean_logprob: expected a column token_logprobs or token_probs, got text, "
     "step; add it, or leave the feature out"),
    (P, ["token_gap"], "token_gap: expected a column top_logprobs or top_probs or top1_logprobs with "
     "top2_logprobs, got text, step;"),
    (P, ["agreement"], "agreement: expected prompt ids, which say whose samples belong together, got "
     "none; add"),
    (dataclasses.replace(E, kind="answer", columns=E.columns.drop_columns(["answer"])),
     ["answer_log_words"], "expected a column answer, got no columns besides confidences;"),
    (P, ["claims_event"], "claims_event: expected events, got answers; leave the feature out"),
    (E, ["answer_log_words"], "answer_log_words: expected answers, got events; leave the feature out"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "names", "words"), REFUSED)
def test_features_that_cannot_be_had(p: Predictions, names: list[str], words: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        features(p, names)


def test_a_column_of_ones_own_may_be_spelled() -> None:
    """CSV has nothing but text where a cell is empty or quoted."""
    spelled = ["0.5", "", None, " 2 ", "n/a", "true"]
    p = Predictions.from_arrays("answer", [0.5] * 6, [1] * 6, columns={"mine": spelled})
    found = features(p, [], ["mine"])
    assert found.names == ("column mine",)
    np.testing.assert_array_equal(found.values[:, 0], [0.5, NAN, NAN, 2.0, NAN, 1.0])
    for word, message in (
        ("high", "mine: expected a column of numbers as evidence, got one of type string"),
        ("inf", "mine: expected finite numbers as evidence, got inf in row 2"),
    ):
        p = Predictions.from_arrays("answer", [0.5] * 2, [1] * 2, columns={"mine": ["1", word]})
        with pytest.raises(InvalidInputError, match=re.escape(message)):
            features(p, [], ["mine"])


def test_agreement_without_answers_is_refused_by_name() -> None:
    p = dataclasses.replace(P, prompt_id=E.columns["answer"])
    with pytest.raises(InvalidInputError, match="agreement: expected a column answer, got text"):
        features(p, ["agreement"])


# ---- the claim


def test_the_claims_of_answers() -> None:
    p = Predictions.from_arrays(
        "answer", [0.9, None, None, 0.1], [1, 0, 1, None], status=[0, 2, 4, 0]
    )
    stated, correct = claim_correct(p)
    np.testing.assert_array_equal(stated, [0.9, NAN, NAN, 0.1])
    np.testing.assert_array_equal(correct, [1, 0, NAN, NAN])  # a refusal is no answer


def test_the_claims_of_events() -> None:
    p = Predictions.from_arrays(
        "event",
        [0.9, 0.9, 0.1, 0.1, 0.5, 0.5, None, None, None, 0.3],
        [1, 0, 1, 0, 1, 0, 1, 0, 1, None],
        status=[0, 0, 0, 0, 0, 0, 1, 3, 4, 0],
    )
    stated, correct = claim_correct(p)
    np.testing.assert_array_equal(stated, [0.9, 0.9, 0.9, 0.9, 0.5, 0.5, NAN, NAN, NAN, 0.7])
    np.testing.assert_array_equal(correct, [1, 0, 0, 1, 1, 0, 0, 0, NAN, NAN])


def test_claims_are_the_top_label_reading_except_at_one_half() -> None:
    rng = np.random.default_rng(0)
    p, happened = np.round(rng.random(500), 2), rng.integers(0, 2, 500)
    stated, correct = claim_correct(Predictions.from_arrays("event", p, happened))
    sure, right = top_label(p, happened)
    np.testing.assert_array_equal(stated, sure)
    np.testing.assert_array_equal(correct[p != 0.5], right[p != 0.5])
    np.testing.assert_array_equal(correct[p == 0.5], happened[p == 0.5])
    assert (p == 0.5).any()


def test_what_comes_out_is_the_callers_own() -> None:
    p = random_predictions("event")
    before = p.confidence.copy()
    stated, correct = claim_correct(p)
    stated[:], correct[:] = 7.0, 7.0
    features(p).values[:] = 7.0
    np.testing.assert_array_equal(p.confidence, before)
    assert p.label.max() == 1.0


# ---- real files and size


def test_gene_effects(shared_data: Path) -> None:
    options = ReadOptions(evidence=NAMES)
    (p,) = load([shared_data / "crispr/predictions/final_grpo"], options).values()
    found = features(p)
    assert found.empty == ()
    assert found.names == (
        "stated", "stated_missing", "refused", "claims_event", "agreement", "agreement_others",
        "n_clusters", "semantic_entropy", "samples_mean", "others_mean", "samples_sd",
        "text_log_characters", "text_log_words", "hedges", "assertions",
    )  # fmt: skip
    assert p.clusters is not None
    share = found.values[:, found.names.index("agreement")]
    claims = p.confidence >= 0.5
    for i in range(0, 200, 7):
        mates = (p.clusters == p.clusters[i]) & ~np.isnan(p.confidence)
        assert share[i] == pytest.approx((claims[mates] == claims[i]).mean(), abs=TIGHT)


def test_answers_of_several_models(shared_data: Path) -> None:
    options = ReadOptions(evidence=NAMES)
    models = load([shared_data / "rlcr/commonsenseqa"], options)
    assert len(models) == 5
    for p in models.values():
        found = features(p)
        assert "agreement" in found.empty  # one sample a prompt
        assert {"stated", "hedges", "answer_log_words"} <= set(found.names)


def test_a_hundred_thousand_rows_take_seconds() -> None:
    small = random_predictions(n=1000)
    p = small.take(np.tile(np.arange(1000), 100))
    p = dataclasses.replace(
        p, prompt_id=Predictions.from_arrays(
            "event", [0.5] * 100_000, [0] * 100_000, prompt_id=np.arange(100_000) // 4
        ).prompt_id,
    )  # fmt: skip
    start = time.process_time()
    assert features(p).values.shape == (100_000, len(TABLE) - len(EVENT_ONLY))
    assert time.process_time() - start < SECONDS
