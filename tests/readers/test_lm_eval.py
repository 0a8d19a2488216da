"""lm-evaluation-harness samples: strings for numbers, filters, repeats, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.lm_eval import READER
from levelhead.records import Predictions, concat


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "samples_task.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, **options: Any) -> tuple[Predictions, ReadLog]:
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def choice(doc_id: int = 0, **changes: Any) -> dict[str, Any]:
    """A multiple-choice row as new versions write it: probabilities 0.2, 0.5 and 0.3."""
    logliks = changes.pop("logliks", [math.log(0.2), math.log(0.5), math.log(0.3)])
    options = changes.pop("options", [" red", " blue", " green"])
    pairs = [[str(v), "False"] for v in logliks]
    row = {
        "doc_id": doc_id,
        "doc": {"question": "Which?", "topic": "color"},
        "target": "1",
        "arguments": {
            f"gen_args_{i}": {"arg_0": "Q: Which?", "arg_1": text} for i, text in enumerate(options)
        },
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": f"hash{doc_id}",
        "acc": 1.0,
        "acc_norm": 1.0,
    }
    return row | changes


def generation(texts: list[str], doc_id: int = 0, **changes: Any) -> dict[str, Any]:
    row = {
        "doc_id": doc_id,
        "doc": {"question": "2+2?"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": "2+2?", "arg_1": {"until": ["\n"]}}},
        "resps": [texts],
        "filtered_resps": [texts[0]],
        "filter": "first",
        "metrics": ["exact_match"],
        "doc_hash": f"hash{doc_id}",
        "exact_match": 1.0,
    }
    return row | changes


def test_options_become_probabilities_and_the_largest_is_the_confidence(tmp_path: Path) -> None:
    p, log = read(write(tmp_path, choice(), choice(1, target="2", acc=0.0)))
    assert p.confidence.tolist() == pytest.approx([0.5, 0.5])
    assert p.label.tolist() == [1.0, 0.0]
    assert p.columns["probs"].to_pylist()[0] == pytest.approx([0.2, 0.5, 0.3])
    assert p.columns["target_index"].to_pylist() == [1, 2]
    assert p.columns["answer"].to_pylist() == ["blue", "blue"]
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["hash0", "hash1"]
    assert p.provenance_counts() == {"computed": 2}
    assert p.columns["location"].to_pylist()[1].endswith("samples_task.jsonl:2")
    assert "not" not in " ".join(log.warnings)
    assert any("acc_norm" in note for note in log.notes)


def test_old_versions_write_numbers_and_lists_of_arguments(tmp_path: Path) -> None:
    row = choice(
        target=1,
        arguments=[["Q: Which?", " red"], ["Q: Which?", " blue"], ["Q: Which?", " green"]],
        filtered_resps=[[math.log(0.2), False], [math.log(0.5), True], [math.log(0.3), False]],
    )
    for name in ("filter", "metrics", "doc_hash"):
        del row[name]
    p, _ = read(write(tmp_path, row))
    assert p.confidence.tolist() == pytest.approx([0.5])
    assert p.label.tolist() == [1.0]
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["0"]


def test_acc_norm_divides_by_the_bytes_of_the_option(tmp_path: Path) -> None:
    # Two options of 2 and 4 bytes (the snowman is three): -2/2 = -1 and -2.4/4 = -0.6.
    row = choice(
        logliks=[-2.0, -2.4],
        options=[" a", " \u2603"],
        target="1",
        acc=0.0,
        acc_norm=1.0,
    )
    plain, _ = read(write(tmp_path, row))
    assert plain.label.tolist() == [0.0]
    assert plain.confidence.tolist() == pytest.approx([1 / (1 + math.exp(-0.4))])
    normalized, log = read(write(tmp_path, row), scorer="acc_norm")
    assert normalized.label.tolist() == [1.0]
    assert normalized.confidence.tolist() == pytest.approx([1 / (1 + math.exp(-0.4))])
    assert normalized.columns["probs"].to_pylist()[0][1] > 0.5
    assert any("per byte" in note for note in log.notes)


@pytest.mark.parametrize(
    ("target", "right"),
    [(1, {1}), ("1", {1}), (" blue", {1}), ("blue", {1}), ([1, 2], {1, 2}), ("[0, 1]", {0, 1})],
)
def test_a_target_is_an_index_a_text_or_several(
    tmp_path: Path, target: Any, right: set[int]
) -> None:
    p, log = read(write(tmp_path, choice(target=target)))
    assert p.label.tolist() == [1.0]
    assert p.columns["target_index"].to_pylist() == [min(right)]
    assert not log.warnings


def test_a_digit_that_is_also_an_option_is_read_as_the_log_grades_it(tmp_path: Path) -> None:
    # "2" is the index 2 or the option that reads 2 (index 1, the most likely one).
    row = choice(options=[" 1", " 2", " 3"], target="2")
    by_text, log = read(write(tmp_path, row | {"acc": 1.0}))
    assert by_text.label.tolist() == [1.0]
    assert by_text.columns["target_index"].to_pylist() == [1]
    by_index, _ = read(write(tmp_path, row | {"acc": 0.0}))
    assert by_index.label.tolist() == [0.0]
    assert by_index.columns["target_index"].to_pylist() == [2]
    assert not log.warnings


def test_rows_that_disagree_with_the_logs_own_metric_are_counted(tmp_path: Path) -> None:
    p, log = read(write(tmp_path, choice(), choice(1, acc=0.0), choice(2, acc=0.0)))
    assert p.label.tolist() == [1.0, 1.0, 1.0]
    assert len(log.warnings) == 1
    assert "in 2 rows (first on line 2)" in log.warnings[0]


@pytest.mark.parametrize("acc", [1.0, None])
def test_where_no_reading_agrees_with_the_log_the_index_counts(
    acc: float | None, tmp_path: Path
) -> None:
    # "2" is the index 2 or the text of option 1; the most likely option is neither.
    logliks = [math.log(0.5), math.log(0.2), math.log(0.3)]
    p, log = read(
        write(tmp_path, choice(logliks=logliks, options=[" 1", " 2", " 3"], target="2", acc=acc))
    )
    assert p.label.tolist() == [0.0]
    assert p.columns["target_index"].to_pylist() == [2]
    assert len(log.warnings) == (acc is not None)
    p, _ = read(
        write(tmp_path, choice(logliks=[math.nan] * 3, options=[" 1", " 2", " 3"], target="2"))
    )
    assert p.columns["target_index"].to_pylist() == [2]


def test_of_two_equal_options_the_first_counts_as_in_the_harness(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, choice(logliks=[-1.0, -1.0, -2.0], target="0")))
    assert p.label.tolist() == [1.0]
    p, _ = read(write(tmp_path, choice(logliks=[-1.0, -1.0, -2.0], target="1", acc=0.0)))
    assert p.label.tolist() == [0.0]


def test_unconditional_requests_of_mutual_information_are_left_out(tmp_path: Path) -> None:
    row = choice(logliks=[math.log(0.2), math.log(0.5), math.log(0.3), -1.0, -2.0, -3.0],
                 options=[" red", " blue", " green"] * 2)  # fmt: skip
    for i in (3, 4, 5):
        row["arguments"][f"gen_args_{i}"]["arg_0"] = ""
    p, _ = read(write(tmp_path, row))
    assert p.columns["probs"].to_pylist()[0] == pytest.approx([0.2, 0.5, 0.3])


def test_a_document_that_is_there_once_per_filter_counts_once(tmp_path: Path) -> None:
    text = "<answer>4</answer><confidence>0.9</confidence>"
    rows = [
        generation([text], 0),
        generation([text], 0, filter="strict", exact_match=0.0),
        generation([text], 1),
        generation([text], 1, filter="strict", exact_match=0.0),
    ]
    p, log = read(write(tmp_path, *rows))
    assert p.label.tolist() == [1.0, 1.0]
    assert any("'first', not 'strict'" in note for note in log.notes)
    p, _ = read(write(tmp_path, *rows), scorer="strict")
    assert p.label.tolist() == [0.0, 0.0]
    p, _ = read(write(tmp_path, *rows), scorer="exact_match,strict")
    assert p.label.tolist() == [0.0, 0.0]
    with pytest.raises(RecordError, match="one of the filters first, strict or of the metrics"):
        read(write(tmp_path, *rows), scorer="loose")


def test_one_sample_has_the_logs_metric(tmp_path: Path) -> None:
    text = "<answer>5</answer><confidence>0.9</confidence>"
    p, log = read(write(tmp_path, generation([text], exact_match=1.0)))
    # The metric, not our comparison of 5 with the target 4, says what is right.
    assert p.label.tolist() == [1.0]
    assert p.confidence.tolist() == [0.9]
    assert p.provenance_counts() == {"parsed": 1}
    assert p.columns["prompt"].to_pylist() == ["2+2?"]
    assert any("'exact_match'" in note for note in log.notes)


def test_repeats_are_records_of_one_prompt_graded_one_by_one(tmp_path: Path) -> None:
    texts = [
        "<answer>4</answer><confidence>0.9</confidence>",
        "<answer>5</answer><confidence>0.7</confidence>",
        "no tags",
    ]
    p, log = read(write(tmp_path, generation(texts, exact_match=1.0)))
    assert p.label.tolist() == [1.0, 0.0, 0.0]
    assert p.status_counts() == {"ok": 2, "missing": 1}
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0, 0]
    assert any("compared with the target" in note for note in log.notes)


def test_an_answer_that_is_a_number_is_not_taken_for_a_percentage(tmp_path: Path) -> None:
    p, log = read(write(tmp_path, generation(["<answer>4</answer>"])))
    assert p.status_counts() == {"missing": 1}
    assert any("none of its 1 texts" in warning for warning in log.warnings)


def test_several_metrics_must_be_chosen_among(tmp_path: Path) -> None:
    row = generation(["4"], metrics=["f1", "rouge"], f1=0.3, rouge=1.0)
    with pytest.raises(RecordError, match=r":1: correctness: .* the metrics f1, rouge"):
        read(write(tmp_path, row))
    p, _ = read(write(tmp_path, row), scorer="rouge")
    assert p.label.tolist() == [1.0]
    with pytest.raises(RecordError, match=r"f1: expected 0 or 1, got 0\.3"):
        read(write(tmp_path, row), scorer="f1")


def test_slices_come_from_the_document(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, choice()), by=("topic",))
    assert p.columns["topic"].to_pylist() == ["color"]
    with pytest.raises(RecordError, match=r"no record has the field 'level'.*topic"):
        read(write(tmp_path, choice()), by=("level",))


def test_a_log_likelihood_of_nan_leaves_a_record_without_a_confidence(tmp_path: Path) -> None:
    rows = [choice(logliks=[-1.0, float("nan"), -2.0]), choice(1, logliks=[-math.inf] * 3)]
    p, _ = read(write(tmp_path, *rows))
    assert p.status_counts() == {"missing": 2}
    assert p.label.tolist() == [1.0, 1.0]


def test_an_impossible_option_has_probability_zero(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, choice(logliks=[-math.inf, -1.0, -1.0])))
    assert p.columns["probs"].to_pylist()[0] == pytest.approx([0.0, 0.5, 0.5])


def test_a_target_that_is_no_option_is_graded_by_the_log(tmp_path: Path) -> None:
    p, _ = read(write(tmp_path, choice(target="the continuation", acc=1.0)))
    assert p.label.tolist() == [1.0]
    assert p.columns["target_index"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (choice(target="7"), r":1: target: expected the index \(0 to 2\)"),
        (choice(target=-1), r":1: target: expected the index"),
        (choice(target="purple", acc=None), r":1: target: .* got 'purple'"),
        (choice(target=True, acc=None), r":1: target: "),
        (choice(logliks=[-1.0], options=[" red"]), r":1: .*two options, got one"),
        (choice(arguments={}), r":1: arguments: expected a context and a continuation .* of 3"),
        (choice(arguments="x"), r":1: arguments: "),
        (choice(filtered_resps=[]), r":1: resps: expected a list"),
        (choice(filtered_resps=5), r":1: resps: expected a list"),
        (choice(filtered_resps=[["-1.0", "False"], ["x", "False"], ["-2", "False"]]),
         r":1: filtered_resps: expected \[log-likelihood"),
        (generation(["4"], resps=[[1, 2]]), r":1: resps: expected a list of generated texts"),
        (generation(["4"], resps=[[]], filtered_resps=[[]]), r":1: resps: expected a list of gen"),
        (generation(["4"], exact_match=0.5), r":1: exact_match: expected 0 or 1, got 0\.5"),
        ({"doc_id": 1}, r":1: expected the fields of a sample, got none named 'arguments'"),
    ],
)  # fmt: skip
def test_malformed_rows_name_the_file_and_the_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError, match=r"samples_task\.jsonl" + message):
        read(write(tmp_path, row))


def test_the_results_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {}, "configs": {}, "versions": {}}, indent=2))
    head = Head(path, "json", ("results", "configs", "versions"))
    assert READER.recognizes(head)
    with pytest.raises(RecordError, match=r"averages only.*--log_samples.*samples_\*\.jsonl"):
        read(path)


def test_what_is_recognized() -> None:
    path = Path("samples.jsonl")
    assert READER.recognizes(Head(path, "jsonl", tuple(choice())))
    assert READER.recognizes(Head(path, "json", tuple(generation(["x"]))))
    assert not READER.recognizes(Head(path, "jsonl", ("confidence", "correct")))
    assert not READER.recognizes(Head(path, "parquet", tuple(choice())))


def test_the_real_multiple_choice_log(shared_data: Path) -> None:
    path = shared_data / "formats" / "lmeval_samples_mcq.jsonl"
    p, log = read(path)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert p.label.tolist() == [row["acc"] for row in rows]
    assert not log.warnings
    for probs, row in zip(p.columns["probs"].to_pylist(), rows, strict=True):
        theirs = [float(v) for v in row["brier_score"][1].strip("[]").split()]
        assert probs == pytest.approx(theirs, abs=1e-7)
    p, log = read(path, scorer="acc_norm")
    assert p.label.tolist() == [row["acc_norm"] for row in rows]
    assert not log.warnings


def test_the_real_generation_log(shared_data: Path) -> None:
    p, log = read(shared_data / "formats" / "lmeval_samples_gen.jsonl")
    assert len(p) == 18  # six documents, three samples each; the second filter repeats them
    assert p.status_counts() == {"missing": 18}
    assert p.label.tolist() == [0.0] * 18
    assert any("'all3', not 'first'" in note for note in log.notes)
    with pytest.raises(RecordError, match="averages only"):
        read(shared_data / "formats" / "lmeval_results.json")
