"""Inspect logs: JSON and archives, scores of every kind, epochs, attachments, failed samples."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from levelhead.errors import RecordError
from levelhead.readers import _zip
from levelhead.readers._base import Head, ReadLog, ReadOptions
from levelhead.readers.inspect_log import READER
from levelhead.records import Predictions, concat

HEADER = {"version": 2, "status": "success", "eval": {"task": "t", "model": "lab/model"}}


def score(value: Any, **more: Any) -> dict[str, Any]:
    return {"value": value, "answer": "4", "explanation": "", "metadata": {}} | more


def sample(name: str = "q1", epoch: int = 1, **changes: Any) -> dict[str, Any]:
    text = changes.pop("text", "<answer>4</answer><confidence>0.9</confidence>")
    tokens = [("<answer>", -0.5), ("4", -0.2), ("!", -0.1), ("</answer>", -0.5), ("rest", -3.0)]
    row = {
        "id": name,
        "epoch": epoch,
        "input": "What is 2+2?",
        "target": "4",
        "metadata": {"topic": "math"},
        "scores": {"match": score("C")},
        "attachments": {},
        "output": {
            "model": "lab/model",
            "choices": [
                {
                    "message": {"role": "assistant", "content": text},
                    "logprobs": {"content": [{"token": t, "logprob": v} for t, v in tokens]},
                }
            ],
        },
    }
    return row | changes


def as_json(folder: Path, *samples: Any, **header: Any) -> Path:
    path = folder / "log.json"
    path.write_text(json.dumps(HEADER | {"samples": list(samples)} | header, indent=1), "utf-8")
    return path


def as_archive(folder: Path, *samples: Any, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w", method) as archive:
        for s in samples:
            archive.writestr(f"samples/{s['id']}_epoch_{s['epoch']}.json", json.dumps(s))
        archive.writestr("header.json", json.dumps(HEADER))
    return path


def as_zstd(path: Path, members: dict[str, bytes], crc: int | None = None) -> Path:
    """A ZIP archive with members of method 93, written by hand from the format's description."""
    body, directory = b"", b""
    for name, data in members.items():
        packed, raw = zstandard.ZstdCompressor().compress(data), name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 93, 0, 0, zlib.crc32(data) if crc is None else crc,
            len(packed), len(data), len(raw), 0,
        )  # fmt: skip
        entry = b"PK\x01\x02" + struct.pack("<H", 20) + common
        directory += entry + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + raw
        body += b"PK\x03\x04" + common + raw + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def read(path: Path, **options: Any) -> tuple[Predictions, ReadLog]:
    log = ReadLog()
    return concat(list(READER.read(path, ReadOptions(**options), log))), log


def test_a_json_log(tmp_path: Path) -> None:
    p, log = read(as_json(tmp_path, sample(), sample("q2", scores={"match": score("I")})))
    assert p.model == "lab/model"
    assert p.confidence.tolist() == [0.9, 0.9]
    assert p.label.tolist() == [1.0, 0.0]
    assert p.provenance_counts() == {"parsed": 2}
    assert p.prompt_id is not None
    assert p.prompt_id.to_pylist() == ["q1", "q2"]
    assert p.columns["prompt"].to_pylist() == ["What is 2+2?"] * 2
    assert "correctness is read from the scorer 'match'" in log.notes
    assert not log.warnings


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_of_the_usual_kinds(tmp_path: Path, method: int) -> None:
    p, _ = read(as_archive(tmp_path, sample(), sample(epoch=2), method=method))
    assert p.model == "lab/model"
    assert p.clusters is not None
    assert p.clusters.tolist() == [0, 0]  # epochs are samples of one prompt
    assert p.columns["epoch"].to_pylist() == [1, 2]


def test_an_archive_packed_with_zstandard(tmp_path: Path) -> None:
    members = {
        "samples/q1_epoch_1.json": json.dumps(sample()).encode(),
        "samples/q2_epoch_1.json": json.dumps(sample("q2")).encode(),
        "header.json": json.dumps(HEADER).encode(),
    }
    p, _ = read(as_zstd(tmp_path / "log.eval", members))
    assert p.confidence.tolist() == [0.9, 0.9]
    with pytest.raises(RecordError, match=r"header\.json' is damaged: its size or checksum"):
        read(as_zstd(tmp_path / "log.eval", members, crc=1))


def test_a_scorer_whose_value_is_empty_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"log\.json:1: .* which of the scorers none says what"):
        read(as_json(tmp_path, sample(scores={"match": score({})})))


def test_a_run_that_was_interrupted_has_no_header_yet(tmp_path: Path) -> None:
    members = {
        "_journal/start.json": json.dumps(HEADER).encode(),
        "samples/q1_epoch_1.json": json.dumps(sample()).encode(),
    }
    p, log = read(as_zstd(tmp_path / "log.eval", members))
    assert p.model == "lab/model"
    assert any("the run did not end" in warning for warning in log.warnings)


@pytest.mark.parametrize(
    ("value", "label"),
    [("C", 1.0), ("I", 0.0), ("N", 0.0), ("P", None), (1, 1.0), (0.0, 0.0), (True, 1.0),
     (False, 0.0), ("yes", 1.0), (None, None)],
)  # fmt: skip
def test_values(tmp_path: Path, value: Any, label: float | None) -> None:
    p, log = read(as_json(tmp_path, sample(scores={"match": score(value)})))
    assert p.row(0).correct == label
    assert any("scored P" in w for w in log.warnings) == (value == "P")
    assert any("scored N" in n for n in log.notes) == (value == "N")


def test_a_graded_value_is_no_correctness(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"log\.json:1: scores\.match\.value: expected 0 or 1"):
        read(as_json(tmp_path, sample(scores={"match": score(0.5)})))


def test_one_of_several_scorers_must_be_chosen(tmp_path: Path) -> None:
    scores = {"match": score("C"), "judge": score({"style": 0.7, "right": 0})}
    path = as_json(tmp_path, sample(scores=scores))
    with pytest.raises(RecordError, match=r"scorers match, judge\.style, judge\.right says what"):
        read(path)
    assert read(path, scorer="match")[0].label.tolist() == [1.0]
    assert read(path, scorer="judge.right")[0].label.tolist() == [0.0]
    with pytest.raises(RecordError, match=r"expected one of match, judge\.style.* got 'other'"):
        read(path, scorer="other")


def test_the_confidence_of_the_scores_metadata_comes_first(tmp_path: Path) -> None:
    rows = [
        sample(scores={"match": score("C", metadata={"confidence": 0.6})}),
        sample("q2", text="no tags", scores={"match": score("C", metadata={"confidence": "0.7"})}),
        sample("q3", text="no tags", scores={"match": score("C", metadata=None)}),
    ]
    p, log = read(as_json(tmp_path, *rows))
    assert p.confidence[:2].tolist() == [0.6, 0.7]
    assert p.provenance_counts() == {"reported": 2, "missing": 1}
    assert "the confidence is read from the metadata of the scores" in log.notes


def test_metadata_and_text_together_are_warned_of(tmp_path: Path) -> None:
    rows = [sample(), sample("q2", scores={"match": score("C", metadata={"confidence": 0.6})})]
    p, log = read(as_json(tmp_path, *rows))
    assert p.provenance_counts() == {"reported": 1, "parsed": 1}
    assert any("1 confidences come from the scores' metadata and 1" in w for w in log.warnings)


def test_percentages_in_metadata_are_said(tmp_path: Path) -> None:
    path = as_json(tmp_path, sample(scores={"match": score("C", metadata={"confidence": 60})}))
    with pytest.raises(RecordError, match=r"log\.json:1: confidence: .* pass --percent"):
        read(path)
    assert read(path, percent=True)[0].confidence.tolist() == [0.6]


def test_token_probabilities_only_when_asked_for(tmp_path: Path) -> None:
    path = as_json(tmp_path, sample())
    # The tokens inside the tags: -0.2 - 0.1.
    for scorer in ("logprobs", "match+logprobs"):
        p, log = read(path, scorer=scorer)
        assert p.confidence.tolist() == pytest.approx([math.exp(-0.3)])
        assert p.provenance_counts() == {"computed": 1}
        assert any("joint probability" in note for note in log.notes)
    without = sample()
    without["output"]["choices"][0]["logprobs"] = None
    p, _ = read(as_json(tmp_path, without), scorer="logprobs")
    assert p.status_counts() == {"missing": 1}


def test_contents_in_parts_and_attachments_are_resolved(tmp_path: Path) -> None:
    parts = [
        {"type": "reasoning", "reasoning": "<confidence>0.1</confidence>"},
        {"type": "text", "text": "<answer>4</answer>"},
        {"type": "text", "text": "<confidence>0.8</confidence>"},
    ]
    rows = [
        sample(text=parts),
        sample(
            "q2",
            text="attachment://abc",
            input=[{"role": "user", "content": "attachment://def"}],
            attachments={"abc": "<confidence>0.3</confidence>", "def": "long question"},
        ),
    ]
    p, _ = read(as_json(tmp_path, *rows))
    assert p.confidence.tolist() == [0.8, 0.3]
    assert p.columns["prompt"].to_pylist()[1] == "long question"


def test_failed_samples_are_counted(tmp_path: Path) -> None:
    failed = sample("q2", error={"message": "boom"}, scores=None, output={"choices": []})
    p, log = read(as_json(tmp_path, sample(), failed))
    assert p.status_counts() == {"ok": 1, "missing": 1}
    assert p.row(1).correct is None
    assert any("1 samples ended in an error" in w for w in log.warnings)


def test_a_sample_without_scores_or_output_has_neither_label_nor_confidence(tmp_path: Path) -> None:
    p, _ = read(as_json(tmp_path, sample(), sample("q2", scores={}, output={"choices": []})))
    assert p.row(1).correct is None
    assert p.row(1).status == "missing"


def test_slices_come_from_the_metadata(tmp_path: Path) -> None:
    p, _ = read(as_json(tmp_path, sample()), by=("topic",))
    assert p.columns["topic"].to_pylist() == ["math"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text", r":2: expected a sample with an 'id'"),
        ({"epoch": 1}, r":2: expected a sample with an 'id'"),
        (sample(scores=[1]), r":2: scores: expected an object"),
        (sample(scores={"match": 1}), r":2: scores\.match: expected an object with a 'value'"),
        (sample(scores={"match": score([1, 0])}), r":2: value: .* got a list"),
        (sample(scores={"match": score("maybe")}), r":2: scores\.match\.value: expected 0 or 1"),
        (sample(output={"choices": "x"}), r":2: output: expected an object with a list"),
        (sample(output="x"), r":2: output: expected an object with a list"),
        (sample(text=7), r":2: output\.message\.content: expected text"),
    ],
)
def test_malformed_samples_name_their_place(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(RecordError, match=r"log\.json" + message):
        read(as_json(tmp_path, sample(), row))


def test_malformed_logs(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"at least one sample, got none \(status .*'error'"):
        read(as_json(tmp_path, status="error"))
    with pytest.raises(RecordError, match="at least one sample"):
        read(as_json(tmp_path, samples=None))
    path = as_archive(tmp_path, sample())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"log\.eval: expected a complete ZIP archive"):
        read(path)
    with pytest.raises(RecordError, match="at least one sample"):
        read(as_zstd(path, {"header.json": b"{}"}))
    with pytest.raises(RecordError, match=r"samples/a\.json: expected JSON"):
        read(as_zstd(path, {"header.json": b"{}", "samples/a.json": b"{"}))
    with pytest.raises(RecordError, match=r"without header\.json"):
        read(as_zstd(path, {"a": b"{}"}))
    list_log = tmp_path / "list.json"
    list_log.write_text("[]")
    with pytest.raises(RecordError, match="expected an Inspect log"):
        read(list_log)


def test_a_member_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_zip, "MEMBER_CAP", 2**20)
    members = {"header.json": b"{}", "samples/a.json": b" " * (2**20 + 1)}
    with pytest.raises(RecordError, match=r"samples/a\.json' unpacks to more than 1 MiB"):
        read(as_zstd(tmp_path / "bomb.eval", members))


def test_what_is_recognized() -> None:
    path = Path("log.json")
    assert READER.recognizes(Head(path, "json", ("eval", "samples"), HEADER))
    assert READER.recognizes(Head(path, "zip", members=("header.json", "samples/a.json")))
    assert not READER.recognizes(Head(path, "json", ("eval",), {"eval": 3}))
    assert not READER.recognizes(Head(path, "zip", members=("archive/data.pkl",)))
    assert not READER.recognizes(Head(path, "jsonl", ("eval", "samples"), HEADER))


@pytest.mark.parametrize("name", ["inspect_mockllm.eval", "inspect_mockllm.json"])
def test_the_real_logs(shared_data: Path, name: str) -> None:
    p, log = read(shared_data / "formats" / name)
    assert p.confidence.tolist() == [0.9, 0.8]
    assert p.label.tolist() == [1.0, 0.0]
    assert p.model == "mockllm/model"
    assert not log.warnings
    p, _ = read(shared_data / "formats" / name, scorer="verbal+logprobs")
    assert p.confidence.tolist() == pytest.approx([math.exp(-0.22), math.exp(-1.1)])
