"""What the readers of logs share: texts of messages, ids of prompts, probabilities of tokens."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead.errors import RecordError
from levelhead.readers import _columns
from levelhead.readers._base import ReadLog, ReadOptions
from levelhead.readers._logs import (
    LogRows,
    message_text,
    number,
    pick,
    probability_of_tokens,
    prompt_key,
    stated,
    token_evidence,
    token_logprobs,
)

LOG = Path("log.jsonl")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("a", "a"),
        ({"role": "assistant", "content": "a"}, "a"),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "a"),
        ([{"role": "assistant", "content": "a"}, {"role": "tool", "content": "t"}], "a"),
        ([{"role": "user", "content": "q"}], None),
        ([{"type": "text", "text": "a"}, {"type": "image", "image": "x"}, "b"], "ab"),
        ([{"type": "output_text", "text": "a"}, {"type": "reasoning", "text": "r"}], "a"),
        ([], None),
        ({}, None),
    ],
)
def test_texts_of_messages(value: Any, text: str | None) -> None:
    assert message_text(value, "completion", LOG) == text


@pytest.mark.parametrize("value", [3, True, [3], {"content": 3}, [["a"]]])
def test_what_is_no_message(value: Any) -> None:
    with pytest.raises(RecordError, match=r"log\.jsonl:7: completion.*: expected text"):
        message_text(value, "completion", LOG, 7)


@given(st.text(max_size=200), st.text(max_size=200))
def test_prompts_have_one_id_each(a: str, b: str) -> None:
    key, other = prompt_key(a), prompt_key(b)
    assert (key == other) == (a == b)
    assert key is not None
    assert len(key) <= 80


def test_ids_of_prompts() -> None:
    assert prompt_key(None) is None
    assert prompt_key("2+2?") == "2+2?"
    assert prompt_key([{"b": 1, "a": 2}]) == prompt_key([{"a": 2, "b": 1}])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("-5.86", -5.86), (1, 1.0), ("-inf", -math.inf), (True, None), ("x", None), (None, None),
     ([1], None), (10**400, None)],
)  # fmt: skip
def test_numbers(value: Any, expected: float | None) -> None:
    assert number(value) == expected


def test_stated_confidences() -> None:
    assert stated(0.5) == {"confidence": 0.5, "status": "ok", "provenance": "reported"}
    assert stated("0.5")["confidence"] == 0.5
    assert stated(None)["status"] == stated(math.nan)["status"] == "missing"
    assert stated("high")["status"] == stated([0.5])["status"] == "unparsable"


TOKENS = st.lists(
    st.tuples(st.sampled_from([b"a", b"", b" <", b"x>"]), st.floats(-50, 0)), min_size=1
)


@given(TOKENS)
def test_rules_for_tokens(tokens: list[tuple[bytes, float]]) -> None:
    probabilities = [math.exp(v) for _, v in tokens]
    joint, mean, least = (probability_of_tokens(tokens, r) for r in ("joint", "mean", "min"))
    assert joint == pytest.approx(math.prod(probabilities))
    assert mean == pytest.approx(math.prod(p ** (1 / len(tokens)) for p in probabilities))
    assert least == min(probabilities)
    assert joint is not None
    assert mean is not None
    assert least is not None
    assert joint <= least * (1 + 1e-9)
    assert least <= mean * (1 + 1e-9)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 100])
def test_tokens_inside_the_last_closed_tags(pieces: int) -> None:
    text = b"<answer>no</answer> well <ANSWER>yes</ANSWER> and <answer>open"
    size = -(-len(text) // pieces)
    cut = [text[i : i + size] for i in range(0, len(text), size)]
    start, end = text.index(b"yes"), text.index(b"yes") + 3
    inside = [i for i in range(len(cut)) if i * size < end and (i + 1) * size > start]
    tokens = [(raw, -1.0 - i) for i, raw in enumerate(cut)]
    expected = math.exp(sum(-1.0 - i for i in inside))
    assert probability_of_tokens(tokens, "joint") == pytest.approx(expected)


def test_tokens_without_a_probability() -> None:
    assert probability_of_tokens([], "joint") is None
    assert probability_of_tokens([(b"a", math.nan)], "min") is None
    assert probability_of_tokens([(b"<answer></answer>", -1.0)], "joint") is None
    tokens = [(b"x", math.nan), (b"<answer>", -1.0), (b"4", -2.0), (b"</answer>", -1.0)]
    assert probability_of_tokens(tokens, "joint") == pytest.approx(math.exp(-2.0))


def test_reading_tokens() -> None:
    content = [{"token": "a", "logprob": -1, "bytes": [97]}, {"token": "é", "logprob": 0.009},
               {"token": "b", "logprob": None, "bytes": [1000]}, {"logprob": -2.0}]  # fmt: skip
    tokens = token_logprobs(content, LOG)
    assert [raw for raw, _ in tokens] == [b"a", "é".encode(), b"b", b""]
    assert tokens[0][1] == -1.0
    assert tokens[1][1] == 0.0
    assert math.isnan(tokens[2][1])


@pytest.mark.parametrize("content", ["x", {"a": 1}, [1], [{"token": "a"}], [{"logprob": "x"}],
                                     [{"logprob": 0.5}], [{"logprob": True}]])  # fmt: skip
def test_malformed_tokens(content: Any) -> None:
    with pytest.raises(RecordError, match=r"log\.jsonl:3: logprob"):
        token_logprobs(content, LOG, 3)


def rows(**options: Any) -> LogRows:
    return LogRows(LOG, ReadOptions(**options), ReadLog())


def test_picking_a_column() -> None:
    log = rows()
    assert pick("correctness", None, ["a", "acc"], ["acc", "correct"], log) == "acc"
    assert log.log.notes == ["correctness is read from 'acc'"]
    assert pick("correctness", "a", ["a", "acc"], ["acc"], log) == "a"
    with pytest.raises(RecordError, match="which of acc, correct holds it; choose with --scorer"):
        pick("correctness", None, ["acc", "correct"], ["acc", "correct"], log)
    with pytest.raises(RecordError, match="expected one of none, got 'x'"):
        pick("correctness", "x", [], [], log)


def test_blocks_by_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_columns, "BATCH_ROWS", 2)
    log = rows(by=("a.b", "c"))
    blocks = []
    for i, model in enumerate(["m", "n", "m", "m", None]):
        row = {"confidence": 0.5, "label": 1.0, "prompt_id": i, "line": i + 1}
        blocks += log.add(model=model, slices=[{"a": {"b": i}}, {"c": "x", "a": 1}], **row)
    assert [(b.model, len(b)) for b in blocks] == [("m", 2)]
    blocks += log.rest()
    assert [(b.model, len(b)) for b in blocks] == [("m", 2), ("m", 1), ("n", 1), ("log", 1)]
    assert blocks[0].columns["a.b"].to_pylist() == ["0", "2"]
    assert blocks[0].columns["c"].to_pylist() == ["x", "x"]


def test_a_log_without_records_or_slices() -> None:
    with pytest.raises(RecordError, match=r"log\.jsonl: expected at least one record"):
        list(rows().rest())
    log = rows(by=("d",))
    list(log.add(confidence=0.5, label=1.0, slices=[{"a": 1, "b": 2}]))
    with pytest.raises(RecordError, match="no record has the field 'd'; the fields are a, b"):
        list(log.rest())


def test_texts_without_any_confidence_are_warned_of() -> None:
    log = rows()
    list(log.add(**log.text("<answer>37</answer>"), label=1.0))
    list(log.rest())
    assert "none of its 1 texts states a confidence" in log.log.warnings[0]
    log = rows()
    list(log.add(**log.text("<confidence>0.5</confidence>"), label=1.0))
    list(log.rest())
    assert not log.log.warnings


def test_evidence_keeps_its_type_and_is_never_the_answer() -> None:
    log = rows(evidence=("token_logprobs", "judge_scores", "answer", "text", "weight"))
    record = {"token_logprobs": [-0.5, -1.0], "answer": "gold", "text": "all", "weight": 3.0}
    assert not list(log.add(confidence=0.5, label=1.0, slices=[{}, record]))
    (block,) = log.rest()
    assert block.columns["token_logprobs"].to_pylist() == [[-0.5, -1.0]]
    assert block.columns.column_names == ["token_logprobs", "location"]
    assert block.weight is None


def test_evidence_of_the_answers_tokens_alone() -> None:
    texts = ["x<answer>", "4", "2", "</answer>"]
    content: list[dict[str, Any]] = [
        {"token": t, "logprob": -0.1 * i, "top_logprobs": [{"token": t, "logprob": -0.1 * i},
         {"token": "?", "logprob": -5.0}]} for i, t in enumerate(texts)
    ]  # fmt: skip
    found = token_evidence(content, ("token_logprobs", "top_logprobs"), Path("x"))
    assert found == {"token_logprobs": [-0.1, -0.2], "top_logprobs": [[-0.1, -5.0], [-0.2, -5.0]]}
    content[1]["top_logprobs"] = []
    assert list(token_evidence(content, ("top_logprobs",), Path("x"))) == []
