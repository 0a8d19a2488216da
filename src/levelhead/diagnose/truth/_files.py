"""Claims, beliefs and hidden states from files."""

from __future__ import annotations

import dataclasses
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.diagnose.truth._claims import (
    claim_word,
    condition_word,
    is_missing,
    read_claims,
    unread,
)
from levelhead.diagnose.truth._columns import (
    At,
    error_at,
    number_of,
    probability,
    read_columns,
    too_small,
)
from levelhead.diagnose.truth._options import MIN_WORDINGS, OptionBeliefs, option_beliefs
from levelhead.errors import InvalidInputError, RecordError
from levelhead.readers import ReadLog
from levelhead.readers._files import reading, show
from levelhead.readers._values import NOTHING
from levelhead.records import id_text

__all__ = ["HiddenStates", "Statements", "read_hidden", "read_statements"]

OUTSIDE = "outside"
"""The column of `levelhead predict --method options` with the probability of all other tokens."""

YES_AT = "yes_at"
"""The usual column with the place of the option that means yes."""


@dataclasses.dataclass(frozen=True)
class Statements:
    """The rows of a table.

    Attributes:
        belief: (N,) in [0, 1], NaN where missing.
        claim: (N,) 1, 0, or NaN for no explicit claim.
        condition: (N,) `Positive`, `Negative`, `Unknown` or None; None without such a column.
        ids: (N,) prompt ids, or None without such a column.
        label: (N,) 1 or 0 from the column of truth, or None without one.
        topic: (N,) texts, or None without such a column.
        options: beliefs from option tokens where they were given as lists, else None.
        warnings: what was odd.
        notes: what was decided.
    """

    belief: FloatArray
    claim: FloatArray
    condition: tuple[str | None, ...] | None
    ids: tuple[str, ...] | None
    label: FloatArray | None
    topic: tuple[str, ...] | None
    options: OptionBeliefs | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class HiddenStates:
    """Hidden states from a file of numpy.

    Attributes:
        layers: one (N, d) array for each layer.
        names: of the layers.
        label: (N,) 1 where the statement is true, or None.
        topic: (N,) labels, or None.
        types: (N,) labels for the control task, or None.
        ids: (N,) prompt ids, or None: the rows are those of the table.
    """

    layers: tuple[Any, ...]
    names: tuple[str, ...]
    label: FloatArray | None
    topic: tuple[str, ...] | None
    types: tuple[str, ...] | None
    ids: tuple[str, ...] | None


def read_statements(
    path: Path,
    *,
    claim: str,
    belief: str | None = None,
    condition: str | None = None,
    prompt_id: str | None = None,
    label: str | None = None,
    topic: str | None = None,
    yes_at: str | None = None,
    beliefs: Path | None = None,
    percent: bool | None = None,
) -> Statements:
    """The columns of a Parquet, Arrow, JSON Lines, JSON or CSV file.

    A row with a list of claims is a row for each of them.

    Args:
        path: the file with the claims.
        claim: column of 0, 1, true, false, or of a judge's words.
        belief: column of probabilities, or of lists of option probabilities; None: there is none.
        condition: column of Positive, Negative or Unknown.
        prompt_id: column that names the prompt.
        label: column of what is true.
        topic: column of the topic.
        yes_at: column with the place of the option that means yes, from 0; or that place as a number,
            where it is the same in every row; needed where the beliefs are lists, and only there.
        beliefs: file with `belief`, `yes_at` and `prompt_id`, whose beliefs are averaged by prompt.
        percent: True: beliefs are percentages; else fractions, and one above 1 is an error.

    Returns:
        The rows.

    Raises:
        RecordError: a file cannot be read, a column is not there, or a value is none of its kind.
        InvalidInputError: the beliefs of another file have no prompt id to be found by; or beliefs are
            lists without `yes_at`, or numbers with it.
    """
    if beliefs is not None and (belief is None or prompt_id is None):
        raise InvalidInputError(
            "--beliefs: expected --belief and --prompt-id beside it, which name its columns, got none"
        )
    own = belief if beliefs is None else None
    place_of_yes = None if own is None or _constant(yes_at) else yes_at
    wanted = [claim, own, condition, prompt_id, label, topic, place_of_yes]
    named = [name for name in wanted if name is not None]
    log = ReadLog()
    columns, places = read_columns(
        path,
        named,
        (OUTSIDE, YES_AT),
        claim=claim,
        belief=own,
        over_options=yes_at is not None,
        log=log,
    )
    warnings: list[str] = []
    notes = log.notes
    ids = None if prompt_id is None else _ids(columns[prompt_id], path, warnings)
    options: OptionBeliefs | None = None
    if beliefs is not None and belief is not None and prompt_id is not None and ids is not None:
        values, options = _joined(beliefs, belief, prompt_id, yes_at, ids, percent, warnings, notes)
    elif own is not None:
        values, options = _beliefs(columns, places, own, yes_at, None, percent, warnings, notes)
    else:
        values = np.full(len(places), math.nan)
    return Statements(
        values,
        _claims(columns[claim], claim, path, places, warnings),
        None if condition is None else _conditions(columns[condition], condition, places),
        ids,
        None if label is None else _labels(columns[label], label, places),
        None if topic is None else tuple(str(value) for value in columns[topic]),
        options,
        tuple(warnings),
        tuple(notes),
    )


def read_hidden(path: Path) -> HiddenStates:
    """Hidden states of the last prompt token.

    Args:
        path: `.npy` with (N, d) or (N, L, d) numbers; or `.npz` with `hidden` of that shape, or with
            `layer_0`, `layer_1`, ... of shape (N, d), and optionally `label` (N,), `topic` (N,),
            `type` (N,) and `id` (N,).

    Returns:
        The layers, and what else the file says.

    Raises:
        RecordError: it cannot be read, or holds something else.
    """
    with reading(path):
        try:
            loaded: Any = np.load(path, allow_pickle=False)
            found = {"hidden": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise RecordError(
                "expected an array of numbers of numpy (.npy) or several (.npz), got something else; "
                "save it with numpy.save or numpy.savez, without pickled objects",
                show(path),
            ) from error
    n, layers, names = _layers(found, path)
    label: FloatArray | None = None
    if "label" in found:
        values = _aligned(found, "label", n, path)
        label = np.array([_truth(value) for value in values])
        if np.isnan(label).any():
            i = int(np.isnan(label).argmax())
            raise RecordError(f"label: expected 0 or 1, got {values[i]!r} in row {i}", show(path))
    texts = {
        name: tuple(str(value) for value in _aligned(found, name, n, path))
        if name in found
        else None
        for name in ("topic", "type", "id")
    }
    return HiddenStates(layers, names, label, texts["topic"], texts["type"], texts["id"])


def _layers(
    found: Mapping[str, npt.NDArray[Any]], path: Path
) -> tuple[int, tuple[Any, ...], tuple[str, ...]]:
    numbered = sorted(
        (int(m[1]), name) for name in found if (m := re.fullmatch(r"layer_?(\d+)", name))
    )
    if "hidden" in found:
        whole = found["hidden"]
        if whole.ndim not in (2, 3) or 0 in whole.shape:
            raise RecordError(
                f"hidden: expected shape (N, d) or (N, L, d), got {whole.shape}", show(path)
            )
        layers = (whole,) if whole.ndim == 2 else tuple(whole[:, i] for i in range(whole.shape[1]))
        names = tuple(map(str, range(len(layers))))
    elif numbered:
        layers = tuple(found[name] for _, name in numbered)
        names = tuple(str(number) for number, _ in numbered)
    else:
        raise RecordError(
            "expected an array 'hidden', or 'layer_0', 'layer_1', ..., got "
            f"{', '.join(sorted(found)) or 'none'}",
            show(path),
        )
    for name, layer in zip(names, layers, strict=True):
        if layer.ndim != 2 or len(layer) != len(layers[0]):
            raise RecordError(
                f"layer {name}: expected shape ({len(layers[0])}, d), got {layer.shape}", show(path)
            )
        if layer.dtype.kind not in "fiu":
            raise RecordError(
                f"layer {name}: expected real numbers, got dtype {layer.dtype}; save them as float16 "
                "or float32",
                show(path),
            )
        if not np.isfinite(layer).all():
            i = int((~np.isfinite(layer)).any(axis=1).argmax())
            raise RecordError(
                f"layer {name}: expected finite numbers, got some others in row {i}", show(path)
            )
    return len(layers[0]), layers, names


def _aligned(found: Mapping[str, npt.NDArray[Any]], name: str, n: int, path: Path) -> list[Any]:
    array = found[name]
    if array.shape != (n,):
        raise RecordError(f"{name}: expected shape ({n},), got {array.shape}", show(path))
    return array.tolist()


def _claims(
    values: Sequence[Any],
    name: str,
    path: Path,
    places: Sequence[At],
    warnings: list[str],
) -> FloatArray:
    out, odd, bad = read_claims(values)
    if bad is not None:
        problem = f"{name}: expected 0, 1, yes, no, a hedge or nothing, got {values[bad]!r}"
        raise error_at(places[bad], problem)
    text, only = unread(out, odd)
    if only:
        raise RecordError(f"{name}: {text}", show(path))
    if text:
        warnings.append(f"{show(path)}: {text}")
    return out


def _conditions(values: Sequence[Any], name: str, places: Sequence[At]) -> tuple[str | None, ...]:
    out: list[str | None] = []
    for value, place in zip(values, places, strict=True):
        if value is None or str(value).strip().casefold() in NOTHING:
            out.append(None)
            continue
        found = condition_word(value)
        if found is None:
            raise error_at(
                place, f"{name}: expected Positive, Negative or Unknown, got {str(value)[:60]!r}"
            )
        out.append(found)
    return tuple(out)


def _labels(values: Sequence[Any], name: str, places: Sequence[At]) -> FloatArray:
    out = np.array([claim_word(v) if isinstance(v, str) else _truth(v) for v in values])
    if np.isnan(out).any():
        i = int(np.isnan(out).argmax())
        raise error_at(places[i], f"{name}: expected 0 or 1, got {values[i]!r}")
    return out


def _beliefs(
    columns: Mapping[str, list[Any]],
    places: Sequence[At],
    name: str,
    yes_at: str | None,
    items: Sequence[str] | None,
    percent: bool | None,
    warnings: list[str],
    notes: list[str],
) -> tuple[FloatArray, OptionBeliefs | None]:
    """(belief of each row or item, how it came about where the column holds lists)."""
    values = columns[name]
    if not any(isinstance(value, list) for value in values):
        if yes_at is not None:
            raise InvalidInputError(
                f"--yes-at: expected lists over options in {name!r}, got single values, which are taken "
                "as the probability of yes; leave it out"
            )
        stated = {number_of(value) for value in columns.get(YES_AT, ()) if not is_missing(value)}
        if len(stated) > 1:
            warnings.append(
                f"column {YES_AT!r} is not used: {name!r} holds no lists over options, so its numbers "
                "are taken as the probability of yes"
            )
        pairs = zip(values, places, strict=True)
        plain = np.array([probability(value, name, at, percent, values) for value, at in pairs])
        _told(plain, name, places, percent, warnings)
        return plain, None
    mass = _masses(columns, places, name, percent)
    _told(mass[np.isfinite(mass)], name, places, percent, warnings)
    where = _yes_places(columns, places, name, yes_at, mass.shape[1])
    if len(set(where)) == 1:
        notes.append(
            f"{name!r}: yes stands in place {where[0]} in every row; as the order of the options was "
            "never swapped, a liking for a place is part of the beliefs"
        )
    found = option_beliefs(mass, items=None if items is None else list(items), yes_at=where)
    if OUTSIDE not in columns:
        notes.append(f"no column {OUTSIDE!r}: the lists in {name!r} are taken as they are")
    return found.belief, found


def _masses(
    columns: Mapping[str, list[Any]], places: Sequence[At], name: str, percent: bool | None
) -> FloatArray:
    """(N, K) probability of each option among all tokens, NaN where there is no list."""
    values = columns[name]
    width = max(len(value) for value in values if isinstance(value, list))
    mass = np.full((len(values), max(width, 2)), math.nan)
    outside = columns.get(OUTSIDE)
    for i, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, list) or len(value) != width or width < 2:
            problem = f"{name}: expected a list of {max(width, 2)} probabilities, got {value!r}"
            raise error_at(places[i], problem)
        row = [probability(one, name, places[i], percent, value) for one in value]
        left = (
            0.0
            if outside is None
            else probability(outside[i], OUTSIDE, places[i], percent, outside)
        )
        mass[i] = np.array(row) * (1.0 - (0.0 if math.isnan(left) else left))
        if mass[i].sum() > 1.0 + 1e-6:
            raise error_at(
                places[i], f"{name}: expected probabilities that sum to at most 1, got {value!r}"
            )
    return mass


def _told(
    values: FloatArray, name: str, places: Sequence[At], percent: bool | None, warnings: list[str]
) -> None:
    odd = too_small(values.tolist(), name, Path(str(places[0][0].path))) if percent else None
    if odd is not None:
        warnings.append(odd)


def _joined(
    path: Path,
    belief: str,
    prompt_id: str,
    yes_at: str | None,
    ids: Sequence[str],
    percent: bool | None,
    warnings: list[str],
    notes: list[str],
) -> tuple[FloatArray, OptionBeliefs | None]:
    """The belief of every row from another file, averaged over its rows of that prompt."""
    names = [belief, prompt_id, *([] if yes_at is None or _constant(yes_at) else [yes_at])]
    columns, places = read_columns(path, names, (OUTSIDE, YES_AT), log=ReadLog())
    items = _ids(columns[prompt_id], path, warnings)
    values, options = _beliefs(columns, places, belief, yes_at, items, percent, warnings, notes)
    if options is None:
        sums: dict[str, list[float]] = {}
        for item, value in zip(items, values.tolist(), strict=True):
            sums.setdefault(item, []).append(value)
        known = {item: float(np.mean(some)) for item, some in sums.items()}
    else:
        known = dict(zip(options.items, options.belief.tolist(), strict=True))
        fewest = int(options.n_rows.min())
        if fewest < MIN_WORDINGS:
            notes.append(
                f"{show(path)}: an item is asked as seldom as {fewest} times; at least {MIN_WORDINGS} "
                "wordings, each in every order, make a belief that does not hang on one of them"
            )
    absent = len({one for one in ids if one not in known})
    if absent == len(set(ids)):
        raise RecordError(
            f"expected the prompts of the claims in column {prompt_id!r}, got none of them",
            show(path),
        )
    if absent:
        warnings.append(f"{show(path)}: {absent:,} prompts have no belief there")
    return np.array([known.get(one, math.nan) for one in ids]), options


def _ids(values: Sequence[Any], path: Path, warnings: list[str]) -> tuple[str, ...]:
    texts = [id_text(value) for value in values]
    missing = sum(text is None for text in texts)
    if missing:
        warnings.append(
            f"{show(path)}: {missing:,} rows have no prompt id; each is a prompt of its own"
        )
    return tuple(f"\0row {i}" if text is None else text for i, text in enumerate(texts))


def _constant(yes_at: str | None) -> bool:
    """Whether it is a place and no column."""
    return yes_at is not None and yes_at.isdecimal()


def _yes_places(
    columns: Mapping[str, list[Any]],
    places: Sequence[At],
    name: str,
    yes_at: str | None,
    width: int,
) -> list[int]:
    """Where yes stands in each row; without it the order of the options would pass for a belief."""
    there = f"; the file has a column {YES_AT!r}" if YES_AT in columns else ""
    if yes_at is None:
        raise InvalidInputError(
            f"--yes-at: expected the place of the option that means yes, since {name!r} holds lists, got "
            f"none; name its column, or give 0 if yes comes first in every row{there}"
        )
    if not _constant(yes_at):
        return _places(columns[yes_at], yes_at, width, places)
    place = int(yes_at)
    if place >= width:
        raise InvalidInputError(f"--yes-at: expected a place from 0 to {width - 1}, got {place}")
    stated = {number_of(value) for value in columns.get(YES_AT, ()) if not is_missing(value)}
    if stated - {float(place)}:
        raise InvalidInputError(
            f"--yes-at: expected the column {YES_AT!r}, where yes has other places too, got {place}"
        )
    return [place] * len(places)


def _places(values: Sequence[Any], name: str, width: int, places: Sequence[At]) -> list[int]:
    out: list[int] = []
    for value, place in zip(values, places, strict=True):
        number = number_of(value)
        if number not in range(width):
            raise error_at(place, f"{name}: expected a place from 0 to {width - 1}, got {value!r}")
        out.append(int(number))
    return out


def _truth(value: Any) -> float:
    number = number_of(value)
    return number if number in (0.0, 1.0) else math.nan
