"""lm-polygraph managers: pickles are refused, uncertainties are no probabilities by themselves."""

from __future__ import annotations

import math
import pickle
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from levelhead.errors import MissingDependencyError, RecordError
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.lm_polygraph import READER, from_manager
from levelhead.records import Predictions, concat

MSP, PERPLEXITY, STATED = "MaximumSequenceProbability", "Perplexity", "Verbalized1S"


def manager(metrics: Any = (1.0, 0.0), **estimations: Any) -> dict[str, Any]:
    estimations = estimations or {MSP: [0.22, 1.1]}
    gen = {} if metrics is None else {("sequence", "Accuracy"): metrics}
    return {
        "estimations": defaultdict(list, {("sequence", k): v for k, v in estimations.items()}),
        "gen_metrics": defaultdict(list, gen),
        "stats": {"greedy_texts": ["4", "Rome"], "input_texts": ["2+2?", "Capital?"]},
    }


def convert(content: Any, **options: Any) -> tuple[Predictions, ReadLog]:
    log = ReadLog()
    blocks = from_manager(content, Path("run.man"), ReadOptions(**options), log)
    return concat(list(blocks)), log


def test_a_pickle_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "run.man"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(RecordError, match=r"run\.man: this is a Python pickle.*--allow-pickle"):
        list(READER.read(path, ReadOptions(), ReadLog()))


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[polygraph\]'"):
        list(READER.read(tmp_path / "x.man", ReadOptions(allow_pickle=True), ReadLog()))


@pytest.mark.parametrize("error", [pickle.UnpicklingError("bad\nlines"), RuntimeError("central"),
                                   ModuleNotFoundError("no lm_polygraph"), EOFError()])  # fmt: skip
def test_a_damaged_pickle_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise error

    module = ModuleType("torch")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    with pytest.raises(RecordError, match=r"x\.man: cannot be opened as a torch pickle: [^\n]+$"):
        list(READER.read(tmp_path / "x.man", ReadOptions(allow_pickle=True), ReadLog()))


def test_a_negative_log_probability_becomes_a_probability(tmp_path: Path) -> None:
    p, log = convert(manager())
    assert p.model == "run"
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.22), math.exp(-1.1)])
    assert p.label.tolist() == [1.0, 0.0]
    assert p.provenance_counts() == {"computed": 2}
    assert p.columns["answer"].to_pylist() == ["4", "Rome"]
    assert p.columns["prompt"].to_pylist() == ["2+2?", "Capital?"]
    assert any("-log p of the sequence" in note for note in log.notes)
    assert "correctness is read from 'Accuracy'" in log.notes


def test_arrays_and_managers_that_are_objects(tmp_path: Path) -> None:
    content = manager(np.array([1, 0]), **{PERPLEXITY: np.array([0.1, 0.2], dtype=np.float32)})
    p, log = convert(SimpleNamespace(**content))
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.1), math.exp(-0.2)], abs=1e-7)
    assert any("the mean -log p" in note for note in log.notes)


def test_a_stated_confidence_and_one_that_was_not_parsed() -> None:
    p, _ = convert(manager(**{f"{STATED}Tian": [0.1, math.nan]}))
    assert p.row(0).confidence == pytest.approx(0.9)
    # Another tool ranks a NaN as the most confident answer; here it is a record without one.
    assert p.row(1).status == "unparsable"
    assert p.provenance_counts() == {"parsed": 1, "missing": 1}
    p, _ = convert(manager(**{STATED: [-89.0, 1.5]}))
    assert p.status_counts() == {"out_of_range": 2}


def test_several_estimators_must_be_chosen_among() -> None:
    content = manager(**{MSP: [0.2, 1.0], STATED: [0.1, 0.2], "PTrue": [-0.9, -0.4]})
    with pytest.raises(RecordError, match=f"a probability: {MSP}, {STATED}; choose with --scorer"):
        convert(content)
    assert convert(content, scorer=STATED)[0].confidence.tolist() == pytest.approx([0.9, 0.8])


def test_a_rank_is_no_probability() -> None:
    content = manager(**{"SemanticEntropy": [0.1, 3.0], MSP: [0.2, 1.0]})
    with pytest.raises(
        RecordError, match=rf"'SemanticEntropy' is an uncertainty .* converted: {MSP}"
    ):
        convert(content, scorer="SemanticEntropy")
    with pytest.raises(RecordError, match=f"scorer: expected one of {MSP}, got 'Typo'"):
        convert(content, scorer="Typo")
    with pytest.raises(RecordError, match="can be converted to a probability: none"):
        convert(manager(SemanticEntropy=[0.1, 3.0]))


def test_correctness_comes_from_a_metric_or_from_labels(tmp_path: Path) -> None:
    content = manager(None)
    with pytest.raises(RecordError, match=r"do not say which answers are right; pass --labels"):
        convert(content)
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"gold": 4}\n{"gold": "Paris"}\n')
    assert convert(content, labels=labels)[0].label.tolist() == [1.0, 0.0]
    content["gen_metrics"] = {("sequence", "Rouge"): [1, 0], ("sequence", "Bert"): [0.3, 0.2]}
    with pytest.raises(RecordError, match="not clear which of the metrics Rouge, Bert"):
        convert(content)
    assert convert(content, correct="Rouge")[0].label.tolist() == [1.0, 0.0]
    with pytest.raises(RecordError, match=r"run\.man:1: Bert: expected 0 or 1, got 0\.3"):
        convert(content, correct="Bert")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "estimations: expected a table"),
        (7, "estimations: expected a table"),
        (manager(**{MSP: 0.3}), r"estimations\[MaximumSequenceProbability\]: expected a list"),
        (manager(1.0), r"gen_metrics\[Accuracy\]: expected a list of values, got float"),
        (manager() | {"stats": {"greedy_texts": "x"}}, "greedy_texts: expected a list of values"),
        (manager() | {"gen_metrics": [1]}, "gen_metrics: expected a table"),
        (manager([1.0]), "Accuracy: expected 2 values, one for each text, got 1"),
        (manager(**{MSP: [0.1, -3.0]}), r"2: MaximumSequenceProbability: expected an uncertainty"),
        (manager() | {"stats": {"greedy_texts": ["4"]}}, "greedy_texts: expected 2 texts, got 1"),
        (manager() | {"stats": {"greedy_texts": [4, 5]}}, "1: greedy_texts: expected text"),
        (manager([], **{MSP: []}) | {"stats": {}}, "at least one record"),
        ({"estimations": {"x": [1]}, "gen_metrics": {}}, "can be converted to a probability: none"),
    ],
)
def test_malformed_managers(content: Any, message: str) -> None:
    with pytest.raises(RecordError, match=r"run\.man:.*" + message):
        convert(content)


def test_an_unknown_metric_is_an_unknown_label() -> None:
    p, _ = convert(manager([math.nan, 1.0]))
    assert [p.row(0).correct, p.row(1).correct] == [None, 1.0]


def test_what_is_recognized() -> None:
    assert READER.recognizes(Head(Path("run.man"), "zip", members=("run/data.pkl",)))
    assert READER.recognizes(Head(Path("run.man"), "unknown"))
    assert READER.recognizes(Head(Path("run.pt"), "zip", members=("archive/data.pkl",)))
    assert not READER.recognizes(Head(Path("run.eval"), "zip", members=("header.json",)))


def test_the_published_sample_is_refused(shared_data: Path) -> None:
    path = shared_data / "formats" / "lmpolygraph.man"
    with pytest.raises(RecordError, match="--allow-pickle"):
        list(READER.read(path, ReadOptions(), ReadLog()))


def test_the_published_sample_with_torch(shared_data: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    path = shared_data / "formats" / "lmpolygraph.man"
    options = ReadOptions(allow_pickle=True, scorer=MSP)
    p = concat(list(READER.read(path, options, ReadLog())))
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.22), math.exp(-1.1)])
    assert p.label.tolist() == [1.0, 0.0]
