"""Curves, read back with TensorBoard's own reader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from levelhead.errors import InvalidInputError, MissingDependencyError
from levelhead.train.trackers import make_trackers

RECIPE = {"name": "small", "task": {"kind": "oracle", "factors": 2}, "seed": 3}


def curves(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def test_tensorboard(tmp_path: Path) -> None:
    (tracker,) = make_trackers(["tensorboard"], tmp_path, RECIPE)
    tracker.log(1, {"ece": 0.25, "auroc": float("nan"), "note": "text", "nothing": None})
    tracker.log(2, {"ece": 0.5, "count": 3})
    tracker.close()
    found = curves(tmp_path)
    assert set(found.Tags()["scalars"]) == {"ece", "count"}
    assert [(e.step, e.value) for e in found.Scalars("ece")] == [(1, 0.25), (2, 0.5)]
    text = found.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "task.factors: 2" in text


def test_a_resumed_run_does_not_log_twice(tmp_path: Path) -> None:
    (tracker,) = make_trackers(["tensorboard"], tmp_path, RECIPE)
    for step in (1, 2, 3):
        tracker.log(step, {"ece": step / 8})
    tracker.close()
    (again,) = make_trackers(["tensorboard"], tmp_path, RECIPE, resumed=1)
    for step in (2, 3):
        again.log(step, {"ece": step / 4})
    again.close()
    steps = [(e.step, e.value) for e in curves(tmp_path).Scalars("ece")]
    assert steps == [(1, 0.125), (2, 0.5), (3, 0.75)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_what_is_not_installed_says_how_to_install_it(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed here, and would be started")
    title = {"wandb": "Weights & Biases", "trackio": "trackio"}[name]
    with pytest.raises(
        MissingDependencyError, match=rf"{title} curves needs .*levelhead\[{name}\]"
    ):
        make_trackers(["tensorboard", name], tmp_path, RECIPE)


def test_names() -> None:
    assert make_trackers([], ".", RECIPE) == []
    with pytest.raises(InvalidInputError, match="trackers: expected one of .*mean 'tensorboard'"):
        make_trackers(["tensorbord"], ".", RECIPE)
    with pytest.raises(
        InvalidInputError, match="trackers: expected each name once, got wandb, wandb"
    ):
        make_trackers(["wandb", "wandb"], ".", RECIPE)
