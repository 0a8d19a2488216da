"""Which rows a guard has met before: by the names of their units, and by what they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from levelhead._arrays import BoolArray, FloatArray
from levelhead._sketch import Sketch
from levelhead._text import percent, plural
from levelhead.errors import InvalidInputError
from levelhead.guard._rows import Rows, seen_units
from levelhead.guard._steps import distinct
from levelhead.guard.features import features, of_one_row
from levelhead.records import Predictions

SAME = 0.5
"""Of the rows whose units have known names, so many must be known themselves: else the names are
taken to collide. Stated confidences and other round numbers make some rows equal by chance."""

LOOKED_AT = 20_000
"""About so many of these rows are compared, spread over the file: features of texts take time."""

WHOLLY = 0.9
"""From this share of known rows on, they are said to come from the file of the fit."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a guard knows of the rows at hand.

    `share` is how many of the rows in known units are known by their content; NaN where that cannot
    be told, which counts as known.
    """

    fitted: BoolArray  # (N,) the unit's name occurs in the fit
    bound: BoolArray  # (N,) the unit's name occurs among those that the threshold was set on
    share: float
    fresh: bool  # declared to be others, whatever their names are
    unclear: BoolArray  # (N,) the guard does not keep enough names to tell

    @property
    def same(self) -> bool:
        """Whether equal names mean equal units, as far as can be told."""
        return not self.share < SAME


def row_keys(
    predictions: Predictions, names: Sequence[str], known: FloatArray | None = None
) -> list[str]:
    """What each row holds, as a text: prompt id, status, confidence and features of its own.

    Labels are left out, as new files have none, and so is what depends on the other samples.
    `known` are the values of the named features, where they were computed before.
    """
    own = of_one_row(names)
    if known is None:
        values = features(predictions, own).values
    else:
        values = known[:, [i for i, name in enumerate(names) if name in own]]
    # single precision, so that numbers that went through a text file are the same
    block = np.column_stack((predictions.confidence, values)).astype(np.float32) + np.float32(0)
    block[np.isnan(block)] = np.float32(np.nan)
    ids = predictions.prompt_id
    prompts = [None] * len(predictions) if ids is None else ids.to_pylist()
    return [
        f"{prompt} {status} {row.tobytes().hex()}"
        for prompt, status, row in zip(prompts, predictions.status.tolist(), block, strict=True)
    ]


def seen_of(
    rows: Rows,
    predictions: Predictions,
    names: Sequence[str],
    *,
    units: tuple[Sketch, Sketch | None],
    contents: tuple[Sketch, Sketch | None],
    test: BoolArray,
    fresh: bool = False,
) -> Seen:
    """What is known of the rows; `units` and `contents` are those of the fit and of the threshold.

    `test` is where the unit's part is the test part.
    """
    (in_fit, no_fit), (in_bound, no_bound) = seen_units(rows, units[0]), seen_units(rows, units[1])
    fitted = _assumed(in_fit, no_fit, np.ones(test.size, np.bool_), alone=True)
    # A threshold takes none of the test part of a fit, unless it was set on rows declared fresh.
    spared = fitted & test
    bound = in_bound | _assumed(in_bound, no_bound, spared, alone=False)
    bound |= _assumed(in_bound, no_bound, ~fitted, alone=True)
    unclear = (no_fit | no_bound) & ~in_fit & ~in_bound
    met = fitted | bound
    share = np.nan
    if met.any():
        at = np.flatnonzero(met)
        keys = row_keys(predictions.take(at[:: 1 + at.size // LOOKED_AT]), names)
        known = [sketch.seen(keys) for sketch in contents if sketch is not None]
        told = [one for one in known if one == one]
        share = max(told, default=np.nan)
    if fresh:
        if share >= SAME:
            raise InvalidInputError(
                "fresh: expected rows that the guard has not met, got some of which "
                f"{percent(share)} are rows of its fit or threshold; leave out fresh (--fresh)"
            )
        fitted = bound = unclear = np.zeros(met.size, np.bool_)
    return Seen(fitted, bound, share, fresh, unclear)


def _assumed(known: BoolArray, unclear: BoolArray, among: BoolArray, *, alone: bool) -> BoolArray:
    """What counts as met `among` the rows: what is known, and what cannot be told beside that.

    `alone` says whether what cannot be told counts too where nothing else is there to go by.
    """
    known, unclear = known & among, unclear & among
    careful = bool(known.any()) or (alone and not (among & ~unclear).any())
    return known | unclear if careful else known


def _unclear_sentence(seen: Seen, rows: Rows, what: str) -> str:
    """How many units cannot be told from those that were met; "" where all can."""
    if not seen.unclear.any():
        return ""
    met = distinct(rows.unit[seen.unclear & (seen.fitted | seen.bound)])
    n = distinct(rows.unit[seen.unclear])
    return (
        f"; of {n:,} of {len(rows.units):,} {what}s it cannot tell whether it has met them, as it keeps "
        f"a sample of their names: {met:,} count as met"
    )


def collision(seen: Seen, rows: Rows, left_out: int, unit: str | None) -> str:
    """Where names are known and contents are not: what was done, and the remedy; else ""."""
    if seen.same or seen.fresh:
        return ""
    met, what = seen.fitted | seen.bound, unit or "prompt"
    return (
        f"{distinct(rows.unit[met]):,} of {len(rows.units):,} {what} ids also occur in the fit or "
        f"threshold, with other contents ({percent(seen.share)} of their rows are known); "
        f"{plural(left_out, 'row')} were left out. If they are other {what}s, prefix the ids, or say "
        "so with fresh=True (--fresh)"
    )


def met_sentence(seen: Seen, rows: Rows, unit: str | None) -> str:
    """What it means that a guard is applied to rows that it has met; "" where it has not."""
    met, what = seen.fitted | seen.bound, unit or "prompt"
    if not met.any():
        return ""
    count = f"{distinct(rows.unit[met]):,} of {len(rows.units):,} {what}s"
    if seen.same:
        return (
            f"the guard was fitted, or its threshold was set, on {count}: it looks better on these "
            "than it is, and the promise is about new ones"
        )
    return (
        f"{count} have ids that also occur in the fit or threshold, with other contents "
        f"({percent(seen.share)} of their rows are known): if they are the same {what}s, the guard "
        "looks better on them than it is"
    )


def threshold_sentence(
    rows: Rows, n_prompts: int, seen: Seen, left_out: int, unit: str | None, per_unit: bool
) -> str:
    """Which rows a threshold was set on."""
    what = unit or "prompt"
    end = _unclear_sentence(seen, rows, what)
    n = f"{plural(n_prompts, 'prompt')}" + (f", one of each {unit}," if per_unit and unit else "")
    if seen.fresh:
        return f"the threshold was set on {n} that were declared fresh (all of the file)"
    known = distinct(rows.unit[seen.fitted])
    if not known:
        return f"the threshold was set on {n} that the fit had not seen (all of the file){end}"
    left = f"{plural(left_out, 'row')} of other parts were left out{end}"
    if known == len(rows.units) and not seen.share < WHOLLY:
        return f"the threshold was set on {n} of the threshold part of the file of the fit; {left}"
    return (
        f"the threshold was set on {n}: {known:,} of {len(rows.units):,} {what} ids occur in the fit "
        f"and count only where they are in its threshold part; {left}"
    )


def evaluated_sentence(
    whole: Rows, n_prompts: int, seen: Seen, kept: BoolArray, insisted: bool, unit: str | None
) -> str:
    """Which rows were judged, and whether that is fair."""
    what, n = unit or "prompt", plural(n_prompts, "prompt")
    end = _unclear_sentence(seen, whole, what)
    if insisted:
        return f"Judged on {n}, of which the guard has seen some: this is no fair test"
    if seen.fresh:
        return f"Judged on {n} that were declared fresh"
    left_out = int((~kept).sum())
    if not left_out:
        return f"Judged on {n} that the guard had not seen{end}"
    left = f"{plural(left_out, 'row')} were left out because the guard learned from their {what}"
    if not (seen.fitted & kept).any():
        return (
            f"Judged on {n}, those that it had not seen; {left}, or was given it to learn from{end}"
        )
    own = seen.fitted.all() and not seen.share < WHOLLY
    where = (
        "the test part of the file of the fit" if own else "its test part and what it had not seen"
    )
    return f"Judged on {n}, {where}; {left}, or was given it to learn from{end}"
