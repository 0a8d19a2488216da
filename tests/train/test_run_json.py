"""What run.json says, and what changes the digest of the data."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
import torch

from levelhead.errors import RecordError
from levelhead.tasks import Prompt, Task
from levelhead.train.run_json import data_hash, write_run

PROMPT = Prompt("a", ({"role": "user", "content": "Rain?"},), 1.0, (), {"sky": "gray"})
TASK = Task("rain", "event", "percent_tag", (PROMPT,), (PROMPT, PROMPT))


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "mine.py").write_text("x = 1\n")
    git(tmp_path, "add", "mine.py")
    git(tmp_path, "commit", "-qm", "one")
    monkeypatch.chdir(tmp_path)
    recipe = {"name": "r", "seed": 5, "nothing": float("nan"), "path": Path("x")}
    start = 1_700_000_000.5
    path = write_run(tmp_path, recipe, task=TASK, processes=2, started=start)
    found = json.loads(path.read_text())
    assert (found["name"], found["seed"], found["processes"]) == ("r", 5, 2)
    assert found["recipe"] == {"name": "r", "seed": 5, "nothing": None, "path": "x"}
    assert found["started"] == "2023-11-14T22:13:20+00:00"
    assert (found["ended"], found["seconds"], found["resumed"]) == (None, None, 0)
    assert found["device"]["type"] == "cpu"
    assert found["data"]["evaluation"]["prompts"] == 2
    assert found["environment"]["packages"]["torch"] == torch.__version__
    assert found["environment"]["git"] == {
        "commit": git(tmp_path, "rev-parse", "HEAD"),
        "changed": False,
    }
    (tmp_path / "mine.py").write_text("x = 2\n")
    for resumed, at, times in ((False, start, 0), (True, start + 60, 1), (True, start + 99, 2)):
        for end in (None, at + 9.25):  # at the start of a process, and at its end
            result = {"ece": 0.1}
            write_run(tmp_path, recipe, started=at, ended=end, resumed=resumed, result=result)
        found = json.loads(path.read_text())
        assert (found["started"], found["resumed"]) == ("2023-11-14T22:13:20+00:00", times)
    assert (found["seconds"], found["ended"]) == (9.25, "2023-11-14T22:15:08+00:00")
    assert found["result"] == {"ece": 0.1}
    assert found["environment"]["git"]["changed"] is True


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert json.loads(write_run(tmp_path, {}).read_text())["environment"]["git"] is None
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(
        RecordError, match=r"run.json: expected the run.json of this run, got a file"
    ):
        write_run(tmp_path, {}, resumed=True)
    with pytest.raises(RecordError, match="there is no such folder"):
        write_run(tmp_path / "none", {})


def test_the_digest_of_the_data() -> None:
    other = dataclasses.replace(PROMPT, prompt_id="b")
    same = dataclasses.replace(PROMPT, columns={})
    variants = [
        [PROMPT],
        [PROMPT, PROMPT],
        [PROMPT, other],
        [other, PROMPT],
        [dataclasses.replace(PROMPT, outcome=0.0)],
        [dataclasses.replace(PROMPT, targets=("x",))],
        [dataclasses.replace(PROMPT, messages=({"role": "user", "content": "Snow?"},))],
        [dataclasses.replace(PROMPT, messages=({"role": "system", "content": "Rain?"},))],
    ]
    assert len({data_hash(v) for v in variants}) == len(variants)
    assert data_hash([same]) == data_hash([PROMPT])
