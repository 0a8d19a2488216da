"""A fitted calibrator as a file: JSON, exact to the last bit, versioned, and no code in it."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any, Literal, cast

from levelhead._sealed import read_sealed, sealed, unsealed, write_sealed
from levelhead._sketch import Sketch
from levelhead.calibrators._base import Calibrator
from levelhead.calibrators._table import TABLE
from levelhead.calibrators.choosing import Candidate
from levelhead.errors import InvalidInputError, LevelheadError, RecordError, unknown_name

__all__ = ["About", "SCHEMA_VERSION", "from_text", "load", "save", "to_text"]

SCHEMA_VERSION = "1"
"""Of the files; a file of another version is refused and not guessed at."""

_KIND = "calibrator"
_KINDS = ("answer", "event", "classes")
_INFINITE = "infinity"


@dataclasses.dataclass(frozen=True)
class About:
    """What a fitted calibrator was fitted on, for whoever applies it later.

    Attributes:
        kind: whether it takes confidences in one's own `answer`, probabilities of an `event`, or
            `classes`.
        n: rows that it was fitted on.
        model: name of the model whose confidences they were, or None.
        fit_keys: sketch of the ids of these rows, which tells whether other rows were among them.
        split_by: name of the column whose values no fold split, or None.
        created: when, in ISO 8601, or "".
        reason: why this method, in a sentence or two.
        candidates: the methods that were compared.
        missing: share of the rows without a confidence that were right, or whose event came true,
            in [0, 1]; None where there were none with a truth.
    """

    kind: Literal["answer", "event", "classes"]
    n: int
    model: str | None = None
    fit_keys: Sketch | None = None
    split_by: str | None = None
    created: str = ""
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    missing: float | None = None


def to_text(calibrator: Calibrator, about: About | None = None) -> str:
    """A fitted calibrator as a JSON text.

    Args:
        calibrator: fitted, of a class in `TABLE`.
        about: what it was fitted on; unless given, as many rows as its `fit_` counts, of answers or of
            classes.

    Returns:
        The text, with a digest over its content.

    Raises:
        InvalidInputError: the calibrator is not fitted, or of a class that is not in `TABLE`.

    Example:
        >>> from levelhead.calibrators import TemperatureScaling
        >>> fitted = TemperatureScaling().fit([0.9, 0.9, 0.8, 0.4], [1, 0, 1, 0])
        >>> text = to_text(fitted, About("answer", 4, model="a model"))
        >>> again, about = from_text(text)
        >>> bool((again.predict([0.3, 0.7]) == fitted.predict([0.3, 0.7])).all()), about.model
        (True, 'a model')
    """
    return sealed(_KIND, SCHEMA_VERSION, _content(calibrator, about))


def from_text(text: str, path: str | None = None) -> tuple[Calibrator, About]:
    """The calibrator in a JSON text.

    Args:
        text: what `to_text` wrote.
        path: the file that it is from, for the message.

    Returns:
        The calibrator, which predicts bit for bit what the saved one did, and what it was fitted on.

    Raises:
        RecordError: the text is not JSON, of another kind or version, was changed, or does not hold
            what a calibrator needs.

    Example:
        >>> from_text("[0.9, 0.8]", "a.json")
        Traceback (most recent call last):
            ...
        levelhead.errors.RecordError: a.json: expected a calibrator that levelhead wrote, got other JSON
    """
    return _restored(unsealed(text, path, _KIND, SCHEMA_VERSION), path)


def save(path: str | os.PathLike[str], calibrator: Calibrator, about: About | None = None) -> None:
    """Write a fitted calibrator to a file, whole or not at all.

    Args:
        path: where to; its folder must exist.
        calibrator: fitted, of a class in `TABLE`.
        about: what it was fitted on; unless given, as many rows as its `fit_` counts, of answers or of
            classes.

    Raises:
        InvalidInputError: the calibrator is not fitted, or of a class that is not in `TABLE`.
        RecordError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from levelhead.calibrators import PlattScaling
        >>> fitted = PlattScaling().fit([0.9, 0.9, 0.8, 0.4], [1, 0, 1, 0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/calibrator.json", fitted)
        ...     again, about = load(f"{folder}/calibrator.json")
        >>> again, about.kind, about.n
        (PlattScaling(), 'answer', 4)
    """
    write_sealed(path, _KIND, SCHEMA_VERSION, _content(calibrator, about))


def load(path: str | os.PathLike[str]) -> tuple[Calibrator, About]:
    """The calibrator in a file.

    Args:
        path: a file that `save` wrote.

    Returns:
        The calibrator, which predicts bit for bit what the saved one did, and what it was fitted on.

    Raises:
        RecordError: there is no such file, it is not JSON, of another kind or version, was changed,
            or does not hold what a calibrator needs.

    Example:
        >>> load("no such file.json")
        Traceback (most recent call last):
            ...
        levelhead.errors.RecordError: no such file.json: expected a file, found none of that name
    """
    return _restored(read_sealed(path, _KIND, SCHEMA_VERSION), os.fspath(path))


def _content(calibrator: Calibrator, about: About | None) -> dict[str, Any]:
    if type(calibrator) not in TABLE.values():
        raise InvalidInputError(
            f"calibrator: expected one of {', '.join(sorted(TABLE))}, which can be read back, got "
            f"{type(calibrator).__name__}; keep one of your own in a file of your own"
        )
    state = calibrator.state()
    if about is None:
        about = About("classes" if calibrator.input == "classes" else "answer", calibrator.fit_.n)
    if about.missing is not None and not 0.0 <= about.missing <= 1.0:
        raise InvalidInputError(f"missing: expected a share in [0, 1], got {about.missing}")
    if about.kind not in _KINDS:
        raise unknown_name("kind", str(about.kind), _KINDS)
    if (about.kind == "classes") != (calibrator.input == "classes"):
        raise InvalidInputError(
            f"kind: expected one for a calibrator of {calibrator.input}, got {about.kind!r}"
        )
    return {
        "method": calibrator.method,
        "parameters": calibrator.get_params(),
        "state": state,
        "about": {
            "kind": about.kind,
            "n": about.n,
            "model": about.model,
            "fit_keys": None if about.fit_keys is None else about.fit_keys.to_json(),
            "split_by": about.split_by,
            "created": about.created,
            "reason": about.reason,
            "candidates": [_from_candidate(one) for one in about.candidates],
            "missing": about.missing,
        },
    }


def _restored(content: dict[str, Any], path: str | None) -> tuple[Calibrator, About]:
    try:
        method = _entry(content, "method", str)
        if method not in TABLE:
            raise unknown_name("method", method, TABLE)
        parameters = {
            # JSON has no tuples, and no parameter is a list
            name: tuple(cast(list[Any], value)) if isinstance(value, list) else value
            for name, value in _entry(content, "parameters", dict).items()
        }
        kind = TABLE[method]
        calibrator = kind.from_state(parameters, _entry(content, "state", dict))
        about = _to_about(_entry(content, "about", dict))
    except LevelheadError as error:
        raise RecordError(
            f"expected a calibrator that can be used, got one with {error}", path
        ) from (error)
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise RecordError(
            "expected a calibrator that can be used, got one whose entries do not fit together "
            f"({error}); fit it again",
            path,
        ) from error
    if (about.kind == "classes") != (calibrator.input == "classes"):
        raise RecordError(
            f"expected a calibrator of one kind, got {about.kind!r} for {method}; fit it again",
            path,
        )
    return calibrator, about


def _to_about(entry: dict[str, Any]) -> About:
    kind = _entry(entry, "kind", str)
    if kind not in _KINDS:
        raise unknown_name("kind", kind, _KINDS)
    sketch = _entry(entry, "fit_keys", dict, type(None))
    # files that were written before rows without a confidence were counted have no such entry
    missing = _entry(entry, "missing", float, int, type(None)) if "missing" in entry else None
    if missing is not None and not 0.0 <= missing <= 1.0:
        raise InvalidInputError(f"missing: expected a share in [0, 1], got {missing}; fit it again")
    return About(
        kind=kind,
        n=_entry(entry, "n", int),
        model=_entry(entry, "model", str, type(None)),
        fit_keys=None if sketch is None else Sketch.from_json(sketch),
        split_by=_entry(entry, "split_by", str, type(None)),
        created=_entry(entry, "created", str),
        reason=_entry(entry, "reason", str),
        candidates=tuple(_to_candidate(one) for one in _entry(entry, "candidates", list)),
        missing=None if missing is None else float(missing),
    )


def _from_candidate(candidate: Candidate) -> dict[str, Any]:
    return {name: _number(value) for name, value in dataclasses.asdict(candidate).items()}


def _to_candidate(value: object) -> Candidate:
    entry = cast(dict[str, Any], value if isinstance(value, dict) else {})
    numbers = ("loss", "se", "difference", "difference_se")
    return Candidate(
        method=_entry(entry, "method", str),
        simplicity=_entry(entry, "simplicity", int),
        note=_entry(entry, "note", str),
        **{name: _float(_entry(entry, name, float, int, str, type(None))) for name in numbers},
    )


def _number(value: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else _INFINITE
    return value


def _float(value: Any) -> float:
    if value is None:
        return math.nan
    return math.inf if value == _INFINITE else float(value)


def _entry(entries: dict[str, Any], name: str, *kinds: type) -> Any:
    if name not in entries:
        raise InvalidInputError(f"no entry {name!r}; fit it again")
    value = entries[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        got = type(value).__name__
        raise InvalidInputError(f"an entry {name!r} that is a {got}; fit it again")
    return value
