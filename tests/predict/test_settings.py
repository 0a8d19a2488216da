"""What decides a request: ranges, and what does not go together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levelhead.errors import InvalidInputError
from levelhead.predict.methods import METHODS
from levelhead.predict.settings import NAMES, Settings

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": " "}, "model: expected the name of a model, got nothing"),
    ({"method": "optoins"}, "did you mean 'options'"),
    ({"endpoint": "talk"}, "endpoint: expected one of chat, completions, got 'talk'"),
    ({"elicitation": "percent"}, "elicitation: expected one of"),
    ({"samples": 0}, "samples: expected a whole number from 1 to 10000, got 0"),
    ({"top_logprobs": 21}, "top_logprobs: expected a whole number from 1 to 20, got 21"),
    ({"temperature": float("nan")}, "temperature: expected a finite number >= 0, got nan"),
    ({"method": "options", "samples": 3}, "samples: expected 1 with the method options"),
    ({"method": "consistency"}, "samples: expected at least 2 answers to compare, got 1"),
    (
        {"method": "consistency", "samples": 3, "temperature": 0.0},
        "temperature: expected more than 0 with the method consistency",
    ),
    ({"options": ("Yes", "yes")}, "options: expected different words (case and marks such as"),
    ({"options": ("(A)", "A")}, "do not make them different), got '(A)', 'A'"),
    ({"options": ("*", "A")}, "do not make them different), got '*', 'A'"),
    (
        {"body": {"temperature": 0.3}},
        "body: expected no value for temperature, which has a setting",
    ),
    ({"body": {"seed": 0}}, "of its own (--seed; null takes the field out), got 0"),
    ({"body": {"max_tokens": 50}}, "(--max-tokens; null takes the field out), got 50"),
    ({"options": ("Yes",)}, "options: expected at least 2, got 'Yes' alone"),
    ({"body": {"n": 2, "messages": []}}, "does not set itself, got messages, n"),
]


@pytest.mark.parametrize(("values", "text"), WRONG)
def test_what_is_wrong_is_said(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Settings(**{"model": "m", **values})
    assert text in str(caught.value)


def test_the_description_is_plain_json_and_complete() -> None:
    settings = Settings("m", options=("A", "B"), body={"top_k": 3})
    told = settings.described()
    assert json.loads(json.dumps(told)) == told
    assert told["options"] == ["A", "B"]
    assert {"model", "temperature", "seed", "max_tokens", "system", "body", "method"} <= set(told)


def test_the_names_of_the_methods_are_those_of_their_table() -> None:
    assert tuple(METHODS) == NAMES
