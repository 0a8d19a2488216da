"""Targets that are inputs or one another, and readers that have gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from levelhead.cli._output import check_targets
from levelhead.errors import RecordError


def test_a_target_is_no_input_by_whatever_name(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("{}")
    soft, hard = tmp_path / "soft.jsonl", tmp_path / "hard.jsonl"
    soft.symlink_to(source)
    os.link(source, hard)
    for name in (source, soft, hard, tmp_path / "x" / ".." / "in.jsonl"):
        with pytest.raises(RecordError, match="this one is an input"):
            check_targets((name,), (str(source),))
    check_targets((tmp_path / "out.json", None), (str(source),))


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    with pytest.raises(RecordError, match="this one is another output as well"):
        check_targets((out, tmp_path / "." / "a.json"), ())
    check_targets((Path(os.devnull), Path(os.devnull)), ())


def test_a_reader_that_has_gone_is_no_failure(tmp_path: Path) -> None:
    rows = "".join(f'{{"confidence": 0.{9 - i % 5}, "correct": {i % 2}}}\n' for i in range(400))
    (tmp_path / "p.jsonl").write_text(rows)
    command = (
        f"{sys.executable} -m levelhead.cli audit {tmp_path / 'p.jsonl'} --n-boot 100 | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
