"""From files to models: which file is which model's, what an interrupt keeps, what is not pooled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levelhead.audit.collect import collect
from levelhead.errors import RecordError
from levelhead.readers import ReadLog, ReadOptions, resolve


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_collect_names_models_after_their_files(tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        lines(tmp_path / f"{name}.jsonl", [{"confidence": 0.5, "correct": 1}] * 3)
    log = ReadLog()
    files = [str(tmp_path / "base.jsonl"), str(tmp_path / "tuned.jsonl")]
    models = collect(resolve(files, log=log), ReadOptions(), log, missing="assert")
    assert {name: m.n_records for name, m in models.items()} == {"base": 3, "tuned": 3}


def test_an_interrupt_keeps_what_was_read(tmp_path: Path) -> None:
    for name in ("part-1-2", "part-2-2"):
        lines(tmp_path / f"{name}.jsonl", [{"confidence": 0.5, "correct": 1}] * 3)
    log = ReadLog()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    sources = resolve([str(tmp_path)], log=log)
    models = collect(sources, ReadOptions(), log, missing="assert", on_block=interrupt)
    assert sum(m.n_records for m in models.values()) == 3
    assert any("interrupted: this covers the first 3 records only" in w for w in log.warnings)


def test_files_of_different_formats_are_not_pooled(tmp_path: Path) -> None:
    lines(tmp_path / "part-1-2.jsonl", [{"confidence": 0.5, "correct": 1}])
    verl = {
        "input": "q",
        "output": "<confidence>0.5</confidence>",
        "gts": "a",
        "score": 1.0,
        "step": 1,
    }
    lines(tmp_path / "part-2-2.jsonl", [verl])
    log = ReadLog()
    with pytest.raises(RecordError, match="expected files of one format to audit as one model"):
        collect(resolve([str(tmp_path)], log=log), ReadOptions(), log, missing="assert")
