"""lm-polygraph: `.man` files, which are pickles written by torch.

Their values are uncertainties: higher is worse, and most of them have no upper end. Only those that
are a known function of a probability become confidences; the others are refused, because a rank is
not a probability.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from levelhead._optional import optional_import
from levelhead.errors import RecordError
from levelhead.readers._base import Head, Reader, ReadLog, ReadOptions
from levelhead.readers._columns import as_label
from levelhead.readers._files import show
from levelhead.readers._labels import attach_labels, needs_labels
from levelhead.readers._logs import LogRows, message_text, number, prompt_key
from levelhead.readers._remote import AnyPath
from levelhead.records import Predictions

__all__ = ["READER"]

_LEVEL = "sequence"

CONVERTIBLE: dict[str, tuple[Callable[[float], float], str]] = {
    "MaximumSequenceProbability": (lambda u: math.exp(-u), "exp(-u): u is -log p of the sequence"),
    "Perplexity": (lambda u: math.exp(-u), "exp(-u): u is the mean -log p of the tokens"),
    "Verbalized1S": (lambda u: 1.0 - u, "1 - u: u is 1 minus the stated confidence"),
    "Verbalized2S": (lambda u: 1.0 - u, "1 - u: u is 1 minus the stated confidence"),
}
"""Estimators that are a function of a probability, how to undo it, and how that reads."""

_ROUNDING = 1e-2
"""How far below 0 a -log p may lie: sums in half precision overshoot by this much."""


def _recognizes(head: Head) -> bool:
    if head.path.suffix == ".man":
        return True
    return head.container == "zip" and any(name.endswith("/data.pkl") for name in head.members)


def _read(path: AnyPath, options: ReadOptions, log: ReadLog) -> Iterator[Predictions]:
    if not options.allow_pickle:
        raise RecordError(
            "this is a Python pickle, and opening one runs whatever code its author put into it; "
            "pass --allow-pickle if you trust where it comes from",
            show(path),
        )
    torch = optional_import("torch", "reading lm-polygraph .man files", "polygraph")
    try:
        with path.open("rb") as file:
            manager = torch.load(file, map_location="cpu", weights_only=False)
    except (
        pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, ImportError,
        AttributeError, TypeError, IndexError,
    ) as error:  # fmt: skip
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(
            f"cannot be opened as a torch pickle: {first[:200]}", show(path)
        ) from error
    yield from from_manager(manager, path, options, log)


def from_manager(
    manager: Any, path: AnyPath, options: ReadOptions, log: ReadLog
) -> Iterator[Predictions]:
    """Predictions from what `UEManager.save` wrote, once it is loaded.

    Args:
        manager: an object or dict with `estimations`, `gen_metrics` and `stats`.
        path: where it came from.
        options: what the user said; `scorer` names the estimator, `correct` the metric.
        log: where decisions and oddities go.

    Yields:
        Blocks of answers.

    Raises:
        RecordError: a shape is wrong, the estimator is no function of a probability, or the metric
            is not 0 or 1.
    """
    rows = LogRows(path, options, log)
    if not isinstance(manager, Mapping):
        manager = getattr(manager, "__dict__", {})
    name, uncertainty = _estimator(_sequence_level(manager, "estimations", rows), rows)
    convert, in_words = CONVERTIBLE[_family(name)]
    log.note(f"the confidence is {name!r} read as {in_words}")
    right = _metric(_sequence_level(manager, "gen_metrics", rows), len(uncertainty), rows)
    if right is None:
        needs_labels(path, options, "this file's metrics")
    stats = manager.get("stats")
    stats = stats if isinstance(stats, Mapping) else {}
    texts = _texts(stats, "greedy_texts", len(uncertainty), rows)
    prompts = _texts(stats, "input_texts", len(uncertainty), rows)

    def blocks() -> Iterator[Predictions]:
        for i, value in enumerate(uncertainty):
            yield from rows.add(
                **_confidence(value, name, convert, rows, i),
                label=None if right is None else right[i],
                prompt_id=prompt_key(prompts[i]),
                line=i + 1,
                answer=texts[i],
                text=texts[i],
                prompt=prompts[i],
            )
        yield from rows.rest()

    yield from attach_labels(blocks(), path, options, log, ids=False)


def _family(name: str) -> str:
    """Verbalized1S comes with a suffix for each prompt that was tried."""
    return next((base for base in CONVERTIBLE if name == base), name[: len("Verbalized1S")])


def _sequence_level(
    manager: Mapping[str, Any], field: str, rows: LogRows
) -> dict[str, Sequence[Any]]:
    """What there is one value of for each text, by name."""
    table = manager.get(field)
    if not isinstance(table, Mapping):
        raise rows.error(f"{field}: expected a table by (level, name), got {type(table).__name__}")
    found: dict[str, Sequence[Any]] = {}
    for key, values in table.items():
        if isinstance(key, tuple) and len(key) == 2 and key[0] == _LEVEL:
            found[str(key[1])] = _sequence(values, f"{field}[{key[1]}]", rows)
    return found


def _sequence(values: Any, name: str, rows: LogRows) -> Sequence[Any]:
    """A list, whichever kind of array it was saved as."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, list | tuple):
        raise rows.error(f"{name}: expected a list of values, got {type(values).__name__}")
    return values


def _estimator(
    estimations: Mapping[str, Sequence[Any]], rows: LogRows
) -> tuple[str, Sequence[Any]]:
    able = [name for name in estimations if _family(name) in CONVERTIBLE]
    asked = rows.options.scorer
    listed = ", ".join(able) or "none"
    if asked is not None and asked in estimations and asked not in able:
        raise rows.error(
            f"scorer: {asked!r} is an uncertainty without a known probability, which orders "
            f"answers but says no confidence; those in this file that can be converted: {listed}"
        )
    if asked is not None and asked not in estimations:
        raise rows.error(f"scorer: expected one of {listed}, got {asked!r}")
    if asked is None and len(able) != 1:
        raise rows.error(
            f"confidence: it is not clear which estimator is meant; those that can be converted to "
            f"a probability: {listed}; choose with --scorer"
        )
    name = asked or able[0]
    return name, estimations[name]


def _metric(
    metrics: Mapping[str, Sequence[Any]], n: int, rows: LogRows
) -> list[float | None] | None:
    if rows.options.labels is not None or not metrics:
        return None
    asked = rows.options.correct
    name = asked or ("Accuracy" if "Accuracy" in metrics else next(iter(metrics)))
    if name not in metrics or (asked is None and name != "Accuracy" and len(metrics) > 1):
        raise rows.error(
            f"correct: it is not clear which of the metrics {', '.join(metrics)} says what is "
            "right; choose with --correct"
        )
    rows.log.note(f"correctness is read from {name!r}")
    values = metrics[name]
    if len(values) != n:
        raise rows.error(f"{name}: expected {n} values, one for each text, got {len(values)}")
    return [
        None
        if isinstance(v, float) and math.isnan(v)
        else as_label(v, name=name, path=show(rows.path), line=i)
        for i, v in enumerate(values, start=1)
    ]


def _texts(stats: Mapping[str, Any], name: str, n: int, rows: LogRows) -> list[str | None]:
    values = _sequence(stats.get(name, []), name, rows)
    if len(values) == 0:
        return [None] * n
    if len(values) != n:
        raise rows.error(f"{name}: expected {n} texts, got {len(values)}")
    return [message_text(v, name, rows.path, i) for i, v in enumerate(values, start=1)]


def _confidence(
    value: Any, name: str, convert: Callable[[float], float], rows: LogRows, i: int
) -> dict[str, Any]:
    value = value.item() if hasattr(value, "item") else value
    u = number(value)
    if u is None or math.isnan(u):
        # The tool sorts an unparsed confidence first or last; here it is a record without one.
        status = "missing" if value is None else "unparsable"
        return {"confidence": None, "status": status, "provenance": "missing"}
    parsed = name.startswith("Verbalized")
    if u < -_ROUNDING and not parsed:
        raise rows.error(f"{name}: expected an uncertainty of at least 0, got {u:g}", i + 1)
    confidence = convert(u if parsed else max(u, 0.0))
    if not 0.0 <= confidence <= 1.0:
        return {"confidence": None, "status": "out_of_range", "provenance": "missing"}
    return {
        "confidence": confidence,
        "status": "ok",
        "provenance": "parsed" if parsed else "computed",
    }


READER = Reader(
    name="lm_polygraph",
    description="lm-polygraph manager files (.man), with --allow-pickle",
    recognizes=_recognizes,
    read=_read,
)
