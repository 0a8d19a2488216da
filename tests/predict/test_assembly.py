"""Samples as predictions: nothing dropped, labels where they are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from levelhead import readers
from levelhead.elicitation import Elicited
from levelhead.errors import InvalidInputError
from levelhead.predict.assembly import Answered, assembled
from levelhead.predict.methods import Said
from levelhead.predict.questions import Questions
from levelhead.tasks import Prompt
from levelhead.tasks._base import user_message
from levelhead.tasks._verify import Verifier

PROMPT = Prompt("p", user_message("Capital?"), targets=("Rome",), columns={"text": "t", "level": 2})
QUESTIONS = Questions("geo", "answer", (PROMPT,), "answer_confidence_tags", Verifier("exact"))


def sample(answer: str | None, confidence: float | None, status: str = "ok") -> Answered:
    said = Said(Elicited(answer, confidence, status), "words \ud800", None, "stop", {"votes": 2})
    return Answered(PROMPT, said, None, 10, 5)


def test_every_sample_is_a_record(tmp_path: Path) -> None:
    answered = [
        sample("rome", 0.9),
        sample("Oslo", 0.4),
        sample("Rome", None, "out_of_range"),
        sample(None, None, "missing"),
        Answered(PROMPT, None, "the server replied 500"),
    ]
    found = assembled(answered, QUESTIONS, "m")
    assert found.status_counts() == {"ok": 2, "missing": 2, "out_of_range": 1}
    # Right, wrong, right without a confidence, no answer is wrong, and a lost one nobody knows.
    assert found.label.tolist()[:4] == [1.0, 0.0, 1.0, 0.0]
    assert math.isnan(found.label[4])
    columns = found.columns.to_pydict()
    assert columns["failure"] == [None, None, None, None, "the server replied 500"]
    assert columns["answer"] == ["rome", "Oslo", "Rome", None, None]
    assert columns["text"][0] == "words \\ud800"
    assert columns["geo_text"] == ["t"] * 5  # a column of that name is ours
    assert columns["level"] == [2] * 5
    assert columns["votes"] == [2, 2, 2, 2, None]
    assert columns["prompt_tokens"] == [10, 10, 10, 10, None]
    path = tmp_path / "a.parquet"
    readers.write(path, found)
    again = readers.load([path])["m" if "m" in readers.load([path]) else "a"]
    assert again.status.tolist() == found.status.tolist()


def test_a_lost_event_has_no_label_either() -> None:
    event = Prompt("e", user_message("Rain?"), outcome=1.0)
    questions = Questions("w", "event", (event,), "percent_tag")
    said = Said(Elicited("70", 0.7, "ok"), "<answer>70</answer>")
    found = assembled([Answered(event, said), Answered(event, None, "x")], questions, "m")
    assert found.kind == "event"
    assert found.label[0] == 1.0
    assert math.isnan(found.label[1])


def test_no_samples_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="answered: expected at least one sample"):
        assembled([], QUESTIONS, "m")
