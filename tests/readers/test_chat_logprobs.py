"""Chat completions: token probabilities or stated confidences, raw responses or batch output."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.chat_logprobs import READER
from levelhead.records import Predictions, concat

Tokens = list[tuple[str, float | None]]
TOKENS: Tokens = [("4", -0.2), (".", -0.3)]


def choice(
    text: str | None = None, tokens: Tokens | None = TOKENS, **message: Any
) -> dict[str, Any]:
    said = "".join(t for t, _ in tokens or []) if text is None else text
    logprobs = None if tokens is None else {
        "content": [{"token": t, "logprob": v, "bytes": list(t.encode())} for t, v in tokens]
    }  # fmt: skip
    return {"index": 0, "message": {"role": "assistant", "content": said} | message,
            "logprobs": logprobs}  # fmt: skip


def response(name: str = "a", *choices: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "object": "chat.completion",
        "model": "m",
        "choices": list(choices) or [choice()],
    } | changes


def batch(name: str, body: Any, status: int = 200, error: Any = None) -> dict[str, Any]:
    answer = None if body is None else {"status_code": status, "body": body}
    return {"id": "batch_1", "custom_id": name, "response": answer, "error": error}


def lines(folder: Path, *rows: Any, name: str = "chat.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, *gold: dict[str, Any], **options: Any) -> tuple[Predictions, ReadLog]:
    """Reads with labels; one row for each name with the gold answer 4 unless others are given."""
    labels = path.parent / "labels.jsonl"
    rows = gold or tuple({"id": name, "gold": 4} for name in "abcdef")
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(labels=labels, **options), log))), log


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [(None, math.exp(-0.5)), ("joint", math.exp(-0.5)), ("mean", math.exp(-0.25)),
     ("min", math.exp(-0.3))],
)  # fmt: skip
def test_confidences_from_token_probabilities(
    tmp_path: Path, scorer: str | None, expected: float
) -> None:
    p, log = read(lines(tmp_path, response()), scorer=scorer)
    assert p.confidence.tolist() == pytest.approx([expected])
    assert p.provenance_counts() == {"computed": 1}
    assert p.label.tolist() == [1.0]
    assert p.model == "m"
    assert sum("probab" in note for note in log.notes) == 1


def test_only_the_tokens_inside_the_answer_tags_count(tmp_path: Path) -> None:
    # The last closed pair; its first token also holds the bracket, as tokenizers do.
    tokens: Tokens = [("<answer>9</answer>", -5.0), ("So <", -1.0), ("answer", -1.0), (">4", -0.2),
                      ("2</", -0.1), ("answer>", -1.0), (" ok", -2.0)]  # fmt: skip
    p, _ = read(lines(tmp_path, response("a", choice(None, tokens))))
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.3)])
    assert p.columns["answer"].to_pylist() == ["42"]
    assert p.label.tolist() == [0.0]


def test_tokens_that_are_parts_of_characters(tmp_path: Path) -> None:
    pieces = [b"<answer>", b"\xe2\x98", b"\x83", b"</answer>"]
    content = [{"token": "?", "logprob": -0.1 * (i + 1), "bytes": list(raw)}
               for i, raw in enumerate(pieces)]  # fmt: skip
    one = choice("<answer>\u2603</answer>")
    one["logprobs"] = {"content": content}
    p, _ = read(lines(tmp_path, response("a", one)))
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.5)])


def test_a_stated_confidence_is_parsed_unless_a_rule_is_asked_for(tmp_path: Path) -> None:
    tokens: Tokens = [("<answer>", -0.1), ("4", -0.2), ("</answer>", -0.1),
                      ("<confidence>0.9</confidence>", -0.4)]  # fmt: skip
    path = lines(tmp_path, response("a", choice(None, tokens)))
    p, _ = read(path)
    assert p.confidence.tolist() == [0.9]
    assert p.provenance_counts() == {"parsed": 1}
    p, _ = read(path, scorer="joint")
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.2)])
    p, log = read(lines(tmp_path, response("a", choice(None, tokens)), response("b")))
    assert p.provenance_counts() == {"parsed": 1, "computed": 1}
    assert any("which are different things" in warning for warning in log.warnings)
    p, _ = read(lines(tmp_path, response("b")), elicitation="answer_confidence_tags")
    assert p.status_counts() == {"missing": 1}


def test_extreme_log_probabilities(tmp_path: Path) -> None:
    rows = [
        response("a", choice(None, [("4", -9999.0)])),
        response("b", choice(None, [("4", 1e-4)])),
        response("c", choice(None, [("4", -math.inf)])),
        response("d", choice(None, [("4", None)])),
        response("e", choice("4", None)),
        response("f", choice("4", [])),
    ]
    p, _ = read(lines(tmp_path, *rows))
    assert p.confidence[:3].tolist() == [0.0, 1.0, 0.0]
    assert p.status_counts() == {"ok": 3, "missing": 3}
    assert p.label.tolist() == [1.0] * 6


def test_refusals_are_abstentions(tmp_path: Path) -> None:
    p, _ = read(lines(tmp_path, response("a", choice("", None, content=None, refusal="No."))))
    assert p.status_counts() == {"refusal": 1}
    assert p.columns["text"].to_pylist() == ["No."]
    assert p.label.tolist() == [0.0]


def test_several_choices_are_samples_of_one_prompt(tmp_path: Path) -> None:
    path = lines(tmp_path, response("a", choice(), choice(None, [("5", -1.0)])))
    p, _ = read(path)
    assert p.label.tolist() == [1.0, 0.0]
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0]
    with pytest.raises(RecordError, match=r"'a' has several answers.*give 'gold' instead"):
        read(path, {"id": "a", "correct": 1})


def test_batch_output(tmp_path: Path) -> None:
    rows = [
        batch("c", None, error={"message": "expired"}),
        batch("b", response("chat-1", choice(None, [("4", -0.5)]))),
        batch("a", response("chat-2", choice(None, [("5", -0.1)]))),
        batch("d", {"error": {"message": "rate limit"}}, status=429),
    ]
    p, log = read(lines(tmp_path, *rows))
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["c", "b", "a", "d"]
    assert p.status_counts() == {"missing": 2, "ok": 2}
    assert [p.row(i).correct for i in range(4)] == [None, 1.0, 0.0, None]
    assert any("2 requests failed" in warning for warning in log.warnings)
    # Failed requests name no model: they count for the one that answered the others.
    options = ReadOptions(labels=tmp_path / "labels.jsonl")
    blocks = list(READER.read(tmp_path / "chat.jsonl", options, ReadLog()))
    assert [(b.model, len(b)) for b in blocks] == [("m", 4)]
    p, _ = read(lines(tmp_path, rows[0]))
    assert p.model == "chat"


def test_several_models_in_one_file(tmp_path: Path) -> None:
    path = lines(tmp_path, response("a"), response("a", model="n"), response("b"))
    read(path)
    options = ReadOptions(labels=tmp_path / "labels.jsonl")
    blocks = list(READER.read(path, options, ReadLog()))
    assert [(b.model, b.label.tolist()) for b in blocks] == [("m", [1.0, 1.0]), ("n", [1.0])]


@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_or_an_array(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "chat.json"
    for content in (response(), [response()], [batch("a", response())]):
        path.write_text(json.dumps(content, indent=indent))
        p, _ = read(path)
        assert p.label.tolist() == [1.0]
        assert p.prompt_id is not None
        assert p.prompt_id.to_pylist() == ["a"]


def test_without_labels_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"chat\.jsonl: chat completions do not say .* --labels"):
        list(READER.read(lines(tmp_path, response()), ReadOptions(), ReadLog()))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "choices": "x"}, ":2: choices: expected a list of answers"),
        ({"id": "a"}, ":2: choices: expected a list of answers"),
        (response("a", {"index": 0}), ":2: message: expected an object"),
        (response("a", {"message": {"content": 5}}), r":2: content(\.content)?: expected text"),
        (response("a", choice(None, [("4", 0.9)])), r":2: logprob: .*at most 0\), got 0\.9"),
        (response("a", choice() | {"logprobs": {"content": [{"token": "4"}]}}),
         r":2: logprob: .* got none"),
        (response("a", choice() | {"logprobs": {"content": "x"}}), ":2: logprobs: expected a list"),
        (response("a", choice() | {"logprobs": [1]}), ":2: logprobs: expected a list of tokens"),
    ],
)  # fmt: skip
def test_malformed_responses_name_the_line(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(RecordError, match=r"chat\.jsonl" + message):
        read(lines(tmp_path, response("b"), row))


def test_labels_that_name_prompts_are_not_joined_by_order(tmp_path: Path) -> None:
    path = lines(tmp_path, response("a"), response("b"))
    rows = [{"question": "2+2?", "correct": 1}, {"question": "3+1?", "correct": 0}]
    with pytest.raises(RecordError, match=r"'question' cannot be matched: chat\.jsonl"):
        read(path, *rows)
    with pytest.raises(RecordError, match="none of the 2 records has its id"):
        read(path, {"id": "x", "correct": 1}, {"id": "y", "correct": 1})


def test_malformed_files(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text("[1]")
    with pytest.raises(RecordError, match=r"chat\.json:1: expected chat completions"):
        read(path)
    path.write_text("[]")
    with pytest.raises(RecordError, match="at least one record"):
        read(path)
    path.write_text("\n\n")
    with pytest.raises(RecordError, match="at least one record"):
        read(path)
    path.write_text('{"choices": [\n')
    with pytest.raises(RecordError, match="expected JSON"):
        read(path)
    path.write_text(json.dumps(response()) + "\n{broken}\n")
    with pytest.raises(RecordError, match=r"chat\.json:2: expected JSON"):
        read(path)
    with pytest.raises(RecordError, match="expected one of joint, mean, min, got 'max'"):
        read(lines(tmp_path, response()), scorer="max")


def test_what_is_recognized() -> None:
    path = Path("chat.jsonl")
    assert READER.recognizes(Head(path, "jsonl", tuple(response()), response()))
    assert READER.recognizes(Head(path, "json", tuple(batch("a", {})), batch("a", {})))
    assert not READER.recognizes(Head(path, "jsonl", ("choices",), {"choices": ["A", "B"]}))
    assert not READER.recognizes(Head(path, "jsonl", ("custom_id", "answer")))


def test_the_published_sample(shared_data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"gold": "4"}\n')
    log = ReadLog()
    path = shared_data / "formats" / "openai_chat_logprobs.json"
    p = concat(list(READER.read(path, ReadOptions(labels=labels), log)))
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.22)])
    assert p.label.tolist() == [1.0]
    assert any("joined by order" in note for note in log.notes)


def test_probabilities_of_tokens_are_kept_as_evidence(tmp_path: Path) -> None:
    said = choice("<answer>4</answer><confidence>0.7</confidence>", [("4", -0.2)])
    path = lines(tmp_path, response("a"), response("b", said), response("c", choice("4", None)))
    found, _ = read(path, evidence=("token_logprobs",))
    assert found.columns["token_logprobs"].to_pylist() == [[-0.2, -0.3], [-0.2], None]
    assert "token_logprobs" not in read(path)[0].columns.column_names
