"""Checkpoints survive kills at every moment, damage and full disks; the log continues bit by bit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from levelhead.errors import DataWarning, InvalidInputError, RecordError
from levelhead.train.checkpoint import Checkpoints, History

torch.set_num_threads(1)


def content(step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(64, 48, generator=generator)
    tensors = {
        "embed": weight,
        "head": weight,
        "bias": torch.full((3,), step, dtype=torch.bfloat16),
    }
    return tensors, {"step": step, "rng": generator.get_state(), "seen": list(range(step % 7))}


def save(checkpoints: Checkpoints, step: int) -> Path:
    tensors, state = content(step)
    return checkpoints.save(step, tensors=tensors, state=state)


def check(checkpoints: Checkpoints, step: int) -> None:
    """The newest whole checkpoint is this one, bit for bit."""
    found = checkpoints.latest()
    assert found is not None
    assert found.step == step
    tensors, state = checkpoints.load(found)
    expected, about = content(step)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert state["seen"] == about["seen"]
    assert torch.equal(state["rng"], about["rng"])


def test_round_trip(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.latest() is None
    square = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "tied": square,
        "again": square,
        "turned": square.T,
        "row": square[1],
        "small": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    numpy_state = np.random.default_rng(7).bit_generator.state
    state = {
        "numpy": numpy_state,
        "python": random.Random(3).getstate(),
        "torch": torch.get_rng_state(),
        "optimizer": {"state": {0: {"exp_avg": square, "step": torch.tensor(3.0)}}, "groups": [{}]},
        "place": (1, "a", None, True, 2.5, b"x"),
    }
    path = checkpoints.save(100, tensors=tensors, state=state)
    assert path == tmp_path / "run" / "checkpoints" / "step-00000100"
    found = checkpoints.latest()
    assert found is not None
    back, about = checkpoints.load(found)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor), name
    assert back["tied"].data_ptr() == back["again"].data_ptr()
    assert about["numpy"] == numpy_state
    assert about["python"] == state["python"]
    assert about["place"] == state["place"]
    assert torch.equal(about["optimizer"]["state"][0]["exp_avg"], square)
    tied = (path / "model.safetensors").stat().st_size
    assert tied < 3 * 48 + 8 * 4 + 1000  # the tied tensor is there once


def test_the_oldest_go_and_the_same_step_is_replaced(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3):
        save(checkpoints, step)
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]
    checkpoints.save(3, tensors={"x": torch.ones(1)}, state={"new": True})
    found = checkpoints.latest()
    assert found is not None
    assert checkpoints.load(found)[1] == {"new": True}
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]
    save(checkpoints, 2)  # what is later is left alone
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"same": {', '"same": {"x": "embed",'))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the weights": (
        lambda p: flip(p / "model.safetensors"),
        r"model.safetensors has changed since it was written \(its digest differs\)",
    ),
    "a bit of the state": (lambda p: flip(p / "state.pt"), r"state.pt has changed since"),
    "the end of the state": (
        lambda p: os.truncate(p / "state.pt", 100),
        r"state.pt has 100 bytes in place of \d",
    ),
    "the weights": (lambda p: (p / "model.safetensors").unlink(), "model.safetensors is missing"),
    "the manifest": (lambda p: (p / "manifest.json").unlink(), "it has no manifest.json"),
    "half of the manifest": (
        lambda p: os.truncate(p / "manifest.json", 50),
        "its manifest.json cannot be read",
    ),
    "an edit": (lambda p: edit(p / "manifest.json"), "its manifest.json was changed since"),
    "a rename": (lambda p: p.rename(p.with_name("step-00000009")), "its manifest.json was changed"),
    "another file": (
        lambda p: (p / "manifest.json").write_text("[]"),
        "its manifest.json is not one that levelhead wrote",
    ),
    "the future": (
        lambda p: (p / "manifest.json").write_text('{"schema_version": 2}'),
        "it is of schema version 2, and this levelhead reads version 1",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_noticed_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        save(checkpoints, step)
    do, message = DAMAGE[name]
    do(tmp_path / "step-00000002")
    with pytest.warns(DataWarning, match=f"checkpoint .*step-0000000.: {message}.* is skipped"):
        check(checkpoints, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        save(checkpoints, 2)
        (tmp_path / "step-00000009").exists() or check(checkpoints, 2)


def forked(act: Callable[[], object]) -> int:
    """The child's pid; it acts, and ends without the cleaning up that a killed process skips too."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return pid


DYING = ("fsync", "rename", "mkdir", "rmdir", "unlink")
"""Calls of the operating system between which a process can die."""


@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
def test_killed_before_every_call(tmp_path: Path, again: bool) -> None:
    """For every n a process is killed before its n-th call; nothing that was saved is ever lost."""
    died = 0
    save(Checkpoints(tmp_path / "before"), 4)
    for n in range(1, 100):
        folder = tmp_path / str(n)
        shutil.copytree(tmp_path / "before", folder)
        checkpoints = Checkpoints(folder, keep=1)

        def act(checkpoints: Checkpoints = checkpoints, n: int = n) -> None:
            count = 0

            def dying(call: Callable[..., Any]) -> Callable[..., Any]:
                def wrapped(*arguments: Any, **options: Any) -> Any:
                    nonlocal count
                    count += 1
                    if count == n:
                        os._exit(9)
                    return call(*arguments, **options)

                return wrapped

            for name in DYING:
                setattr(os, name, dying(getattr(os, name)))
            save(checkpoints, 4 if again else 5)

        _, status = os.waitpid(forked(act), 0)
        died += os.waitstatus_to_exitcode(status) == 9
        found = Checkpoints(folder).latest()
        assert found is not None
        check(Checkpoints(folder), 5 if found.step == 5 else 4)
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        if os.waitstatus_to_exitcode(status) == 0:
            break
    assert 10 < died < 99


def test_killed_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(0)
    steps, path = 0, tmp_path / "log.jsonl"
    start = time.perf_counter()
    save(Checkpoints(tmp_path / "timed"), 1)
    took = time.perf_counter() - start
    for kill in range(500):
        if kill >= 20 and steps >= 3:
            break
        checkpoints, history = Checkpoints(tmp_path / "c"), History(path)
        found = checkpoints.latest()
        first = 0 if found is None else found.step
        history.truncate(first)

        def act(first: int = first, h: History = history, c: Checkpoints = checkpoints) -> None:
            for step in range(first + 1, 10_000):
                h.append(step, {"loss": step / 3.0})
                save(c, step)

        pid = forked(act)
        time.sleep(rng.uniform(0.0, 3.0 + kill / 10) * took)  # on a busy machine, saves take longer
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        found = checkpoints.latest()
        if found is not None:
            check(checkpoints, found.step)
            assert found.step >= steps
            steps = found.step
    assert steps >= 3
    history.truncate(steps)
    whole = History(tmp_path / "whole.jsonl")
    for step in range(1, steps + 1):
        whole.append(step, {"loss": step / 3.0})
    assert path.read_bytes() == whole.path.read_bytes()


@contextlib.contextmanager
def full_disk(limit: int) -> Generator[None]:
    """Files cannot grow beyond this many bytes, which writes meet as they meet a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("part", ["weights", "state"])
def test_disk_full_while_saving(tmp_path: Path, part: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    big = torch.zeros(1 << 20)
    tensors, state = ({"x": big}, {}) if part == "weights" else ({}, {"x": big})
    with (
        pytest.raises(
            RecordError, match="cannot save the checkpoint: .*free some space and resume"
        ),
        full_disk(1 << 20),
    ):
        checkpoints.save(2, tensors=tensors, state=state)
    assert os.listdir(tmp_path) == ["step-00000001"]
    check(checkpoints, 1)


def test_only_what_can_be_loaded_safely_is_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for value, place in (
        ({"a": [np.float64(1.0)]}, r"state\['a'\]\[0\]: expected plain .* got numpy.float64"),
        ({"a": {np.int64(1): 2}}, r"a key of state\['a'\]: expected plain .* got numpy.int64"),
        ({"f": len}, r"state\['f'\]: expected plain .* got builtin_function_or_method"),
    ):
        with pytest.raises(InvalidInputError, match=place):
            checkpoints.save(1, tensors={}, state=value)
    with pytest.raises(InvalidInputError, match="step: expected a number >= 0, got -1"):
        checkpoints.save(-1, tensors={}, state={})
    with pytest.raises(InvalidInputError, match="keep: expected at least 1 checkpoint, got 0"):
        Checkpoints(tmp_path, keep=0)
    assert not os.listdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot save the checkpoint: "):
        save(Checkpoints(tmp_path / "file" / "c"), 1)


def test_history_is_cut_at_a_step(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl")
    history.truncate(3)
    assert not history.path.exists()
    assert history.read() == []
    for step in (1, 2, 2, 3):
        history.append(step, {"kind": "step", "ece": float("nan"), "n": np.float64(0.1)})
    lines = history.path.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[0]) == {"step": 1, "kind": "step", "ece": None, "n": 0.1}
    for torn in (b'{"step": 4, "ki', b'{"step": 4}', b"\0\0\0\0\n"):
        history.path.write_bytes(b"".join(lines) + torn)
        assert [record["step"] for record in history.read()] == [1, 2, 2, 3]
        history.truncate(2)
        assert history.path.read_bytes() == b"".join(lines[:3])
        history.append(3, {"kind": "step", "ece": float("nan"), "n": np.float64(0.1)})
        assert history.path.read_bytes() == b"".join(lines)
    history.sync()
    history.path.write_bytes(lines[0] + b"[]\n" + lines[1])
    with pytest.raises(RecordError, match=r"metrics.jsonl:2: expected a JSON object with a step"):
        history.truncate(1)
    with pytest.raises(InvalidInputError, match="values: expected no key 'step'"):
        history.append(1, {"step": 2})


def test_disk_full_while_logging(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.jsonl")
    history.append(1, {"text": "x"})
    before = history.path.read_bytes()
    with pytest.raises(RecordError, match="cannot write the log: "), full_disk(1 << 16):
        history.append(2, {"text": "x" * (1 << 17)})
    assert history.path.read_bytes() == before
