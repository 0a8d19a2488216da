"""How much of a file something was fitted on: told by a sketch of its rows and prompts."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from levelhead._arrays import IntArray
from levelhead._sketch import Sketch
from levelhead.recalibration.rows import class_scores, class_scores_column
from levelhead.records import Predictions

__all__ = ["Overlap", "fit_sketch", "overlap"]


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How much of some predictions a calibrator was fitted on.

    Attributes:
        rows: share of the rows that were among the fit rows; NaN where that cannot be told.
        prompts: share of the prompts that were; NaN where that cannot be told.
    """

    rows: float
    prompts: float


def fit_sketch(predictions: Predictions, rows: IntArray) -> Sketch:
    """What a file is recognized by later: its rows and its prompts, as a sketch.

    Args:
        predictions: what something was fitted on.
        rows: the rows that it was.

    Returns:
        A sketch of at most a few thousand hashes.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, 0.6], [1, 0], prompt_id=["a", "b"])
        >>> overlap(p, fit_sketch(p, np.array([0]))).prompts
        0.5
    """
    kept = predictions.take(rows)
    return Sketch.of([*_row_keys(kept), *_prompt_keys(kept)])


def overlap(predictions: Predictions, sketch: Sketch | None) -> Overlap:
    """How much of the predictions is in the sketch of a fit.

    Args:
        predictions: what is to be judged.
        sketch: of what was fitted on; None where it is not known.

    Returns:
        The shares of rows and of prompts.

    Example:
        >>> p = Predictions.from_arrays("answer", [0.9, 0.6], [1, 0])
        >>> overlap(p, fit_sketch(p, np.array([0, 1]))).rows
        1.0
    """
    if sketch is None:
        return Overlap(float("nan"), float("nan"))
    prompts = _prompt_keys(predictions)
    keys = _row_keys(predictions)
    rows = sketch.seen(keys)
    if not prompts:
        return Overlap(rows, float("nan"))
    named = sketch.seen(prompts)
    return Overlap(0.0 if rows <= _by_chance(keys, named) else rows, named)


def _by_chance(keys: list[str], named: float) -> float:
    """The share of rows that a file with the same ids and other contents may have in common.

    Ids that number the rows of every file name other rows in each; such rows agree as often as two
    random rows of this file do, which with coarse confidences is often.
    """
    contents = [key.split(":", 2)[2] for key in keys]
    counts = np.unique(contents, return_counts=True)[1] / len(contents)
    alike = float((counts**2).sum())
    return named * alike + 4.0 * float(np.sqrt(named * alike * (1.0 - alike) / len(contents)))


def _row_keys(predictions: Predictions) -> list[str]:
    """A key per row; where nothing tells rows apart, one key for all that can be fitted on."""
    name = class_scores_column(predictions)
    confidence, label = predictions.confidence, predictions.label
    if name is not None:
        present = np.flatnonzero(predictions.columns[name].is_valid().to_numpy())
        if not present.size:
            return []
        scores = class_scores(predictions.take(present), name)
        contents = [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in scores]
        predictions, label = predictions.take(present), label[present]
    elif predictions.prompt_id is None:
        usable = (predictions.status == 0) & ~np.isnan(label)
        pairs = np.stack([confidence[usable], label[usable]])
        ordered = np.ascontiguousarray(pairs[:, np.lexsort(pairs)])
        return [f"rows:{hashlib.blake2b(ordered.tobytes(), digest_size=16).hexdigest()}"]
    else:
        contents = [repr(c) for c in confidence.tolist()]
    ids = [""] * len(label) if predictions.prompt_id is None else predictions.prompt_id.to_pylist()
    triples = zip(ids, contents, label.tolist(), strict=True)
    return [f"row:{str(i).replace(':', ' ')}:{c}:{y!r}" for i, c, y in triples]


def _prompt_keys(predictions: Predictions) -> list[str]:
    if predictions.prompt_id is None:
        return []
    return [f"prompt:{i}" for i in set(predictions.prompt_id.to_pylist()) if i is not None]
