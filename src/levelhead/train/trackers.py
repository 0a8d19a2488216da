"""Where the curves of a run go: TensorBoard, and Weights & Biases or trackio where they are installed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from levelhead._optional import optional_import
from levelhead._write import plain
from levelhead.errors import InvalidInputError, MissingDependencyError, unknown_name

__all__ = ["TABLE", "Tracker", "make_trackers"]

PROJECT = "levelhead"


class Tracker(Protocol):
    """Something that keeps curves."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Take the numbers of a step.

        Args:
            step: updates done.
            values: numbers by name; NaN, None and texts are left out.
        """
        ...

    def close(self) -> None:
        """Write what is still held back; nothing is logged after it."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path, recipe: Mapping[str, Any], step: int | None) -> None:
        try:
            board = optional_import("torch.utils.tensorboard", "TensorBoard curves", "train")
        except ModuleNotFoundError as error:  # torch is there, and the package that it wraps is not
            if (error.name or "").partition(".")[0] != "tensorboard":
                raise
            raise MissingDependencyError("TensorBoard curves", "train") from error
        # What an interrupted run logged after its checkpoint would be there twice.
        purge = None if step is None else step + 1
        self._writer: Any = board.SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
        if step is None:
            lines = [f"    {name}: {value}" for name, value in _flat(recipe).items()]
            self._writer.add_text("recipe", "\n".join(lines), 0)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        for name, value in _numbers(values).items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, folder: Path, recipe: Mapping[str, Any], step: int | None) -> None:
        wandb: ModuleType = optional_import("wandb", "Weights & Biases curves", "wandb")
        self._run: Any = wandb.init(
            project=PROJECT,
            name=_name(folder, recipe),
            id=_identity(folder),
            dir=str(folder),
            config=plain(dict(recipe)),
            resume="allow",
        )

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        self._run.log(_numbers(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    def __init__(self, folder: Path, recipe: Mapping[str, Any], step: int | None) -> None:
        self._module: Any = optional_import("trackio", "trackio curves", "trackio")
        self._module.init(
            project=PROJECT,
            name=f"{_name(folder, recipe)}-{_identity(folder)[:6]}",
            config=plain(dict(recipe)),
            resume="allow",
        )

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        self._module.log(_numbers(values), step=step)

    def close(self) -> None:
        self._module.finish()


TABLE: dict[str, Callable[[Path, Mapping[str, Any], int | None], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
    "trackio": _Trackio,
}
"""The trackers by name; a recipe's `trackers` lists these."""


def make_trackers(
    names: Sequence[str],
    folder: str | Path,
    recipe: Mapping[str, Any],
    *,
    resumed: int | None = None,
) -> list[Tracker]:
    """The trackers of a run, open.

    Args:
        names: of `TABLE`, each once.
        folder: of the run; TensorBoard's files lie in `tensorboard` below it.
        recipe: the settings of the run, as plain values, to be kept beside the curves.
        resumed: step that the run resumes from, whose later numbers are discarded; None for a new run.

    Returns:
        One tracker for each name.

    Raises:
        InvalidInputError: an unknown name, or one that is there twice.
        MissingDependencyError: a tracker is not installed.

    Edge cases: where one cannot be opened those before it are closed.
    """
    for name in names:
        if name not in TABLE:
            raise unknown_name("trackers", name, TABLE)
    if len(set(names)) < len(names):
        raise InvalidInputError(f"trackers: expected each name once, got {', '.join(names)}")
    opened: list[Tracker] = []
    try:
        for name in names:
            opened.append(TABLE[name](Path(folder), recipe, resumed))
    except BaseException:
        for tracker in opened:
            tracker.close()
        raise
    return opened


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among the values."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, bool | int | float) and math.isfinite(value):
            found[name] = float(value)
    return found


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            found |= _flat(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = inner
    return found


def _name(folder: Path, recipe: Mapping[str, Any]) -> str:
    return str(recipe.get("name") or folder.resolve().name)


def _identity(folder: Path) -> str:
    """The same for a resumed run, so that its curves go on."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
