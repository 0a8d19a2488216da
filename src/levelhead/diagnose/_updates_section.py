"""What a comparison of weights says, in words, numbers and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from levelhead._text import percent, plural
from levelhead._write import plain
from levelhead.diagnose._tensors_pairs import EMBEDDING
from levelhead.diagnose._updates_rank import EXACT, SKETCH, Rank
from levelhead.diagnose._updates_result import TensorUpdate, UpdatesResult
from levelhead.diagnose._updates_run import LEVEL, OPEN_SHARE, Z_LEVEL
from levelhead.diagnose._updates_shared import SHARED
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.section import Chart, Measure, Section, Table, Tone

__all__ = ["section"]

TONES: dict[str, Tone] = {
    "SPARSE BEYOND ROUNDING": "bad",
    "AS ROUNDING PRODUCES": "good",
    "DENSE": "good",
}

BARS = 20
"""Kinds of matrices that are drawn."""

NULL_TEXT = f"null: of a dense step after rounding; ranks above {EXACT:,} weights are of a sketch"

MOST = 0.6
"""Share of the missing changes from which on one kind of matrix is named."""

NOISE_EFFECTIVE, NOISE_STABLE = 0.805, SKETCH / 4
"""What a square sketch of independent noise shows, by the quarter-circle law of its singular values:
exp(H) / n with H the entropy of their shares, and n / 4."""


def section(result: UpdatesResult) -> Section:
    """What the updates of a model's weights show, beside what rounding alone would show.

    Args:
        result: from `diagnose_updates`.

    Returns:
        The section; its data hold every tensor.
    """
    return Section(
        name="updates",
        title="Which weights changed",
        verdict=result.verdict,
        tone=TONES.get(result.verdict, "open"),
        headline=_headline(result),
        sentences=_sentences(result),
        measures=_measures(result),
        charts=_charts(result),
        tables=_tables(result),
        warnings=_warnings(result),
        notes=(*result.notes, f"seed {result.seed}"),
        data=plain({**dataclasses.asdict(result), "density": result.densities[0]}),
    )


def _headline(result: UpdatesResult) -> str:
    share = percent(result.densities[0])
    if result.verdict == "UNCHANGED":
        return f"None of {result.n:,} weights changed as they are stored."
    null = percent(result.null_density)
    seen = percent(result.moved_density)
    if result.verdict == "AS ROUNDING PRODUCES" and result.z is not None and result.z < -Z_LEVEL:
        return (
            f"{share} of the weights changed; a dense step of even size would change more ({null} where "
            "anything changed), but the weights that rounding cannot hide a step from did change, as "
            "they do after a dense step of uneven size."
        )
    return {
        "SPARSE BEYOND ROUNDING": f"{share} of the weights changed, and rounding does not explain "
        f"why so few: it would let a dense step of this size change {null}.",
        "AS ROUNDING PRODUCES": f"{share} of the weights changed; where anything changed {seen} did, "
        f"and a dense step of this size would change {null} after rounding.",
        "DENSE": f"{share} of the weights changed: the update is dense, with nothing to explain.",
    }.get(
        result.verdict,
        f"{share} of the weights changed, against {null} of a dense step after rounding, but too few "
        "weights are small enough to tell a sparse step from an uneven one.",
    )


def _sentences(result: UpdatesResult) -> tuple[str, ...]:
    said: list[str] = []
    if result.null_density is not None:
        said.append(
            f"Noise alone would show {percent(result.null_density)}: independent Gaussian steps on "
            "every weight, of the size that gives the mean change seen in each tensor, rounded as the "
            "weights are stored."
        )
        if result.open_n:
            said.append(
                "Rounding cannot hide such a step from the smallest weights: of "
                f"{result.open_n:,} sampled ones {percent(result.open_seen / result.open_n)} changed, "
                f"where the null expects {percent(result.open_expected / result.open_n)}."
            )
        said.append(
            f"Called sparse beyond rounding is a density below the null at a false-alarm level of "
            f"{percent(LEVEL)} with, among those smallest weights, fewer than "
            f"{percent(OPEN_SHARE)} of the changes that the null expects."
        )
    said += _where_missing(result)
    if result.overlap is not None:
        said += _overlap_words(result)
    still = [one for one in result.tensors if one.n and not one.changed]
    if still and result.changed:
        said.append(
            f"{plural(len(still), 'tensor')} of {len(result.tensors)} did not change at all; frozen, "
            "or moved by less than rounding shows. They are not part of the null."
        )
    said.append(
        "The data cannot tell a weight that was never moved from one whose move was rounded away; "
        "only the optimizer's own float32 weights can."
    )
    return tuple(said)


def _where_missing(result: UpdatesResult) -> list[str]:
    """The kind of matrix in which most of the changes are missing that the null expects."""
    if result.z is None or result.z >= -Z_LEVEL:
        return []
    missing: dict[str, float] = {}
    for one in result.tensors:
        if one.null_density is not None:
            less = max(one.n * one.null_density - one.changed, 0.0)
            missing[one.kind] = missing.get(one.kind, 0.0) + less
    kind = max(missing, key=lambda name: missing[name], default="")
    share = missing[kind] / sum(missing.values()) if missing and any(missing.values()) else 0.0
    if len(missing) < 2 or share < MOST:
        return []
    words = f"{percent(share)} of the missing changes are in {kind}"
    if EMBEDDING.search(f"{kind}.weight"):
        words += ": words that the training never met leave their rows as they were"
    return [words + "."]


def _overlap_words(result: UpdatesResult) -> list[str]:
    found = result.overlap
    if found is None or found.one_sided is None or found.matched is None:
        return ["The overlap of the two runs is undefined: one of them changed nothing."]
    words = [
        f"{percent(found.one_sided)} of the weights that this run changed were changed by the second "
        f"one too. If changes lay anywhere it would be {percent(found.chance)}; among weights of like "
        f"size in the same tensor, {percent(found.matched)}."
    ]
    left, z = found.shared, found.shared_z
    seen = "" if left is None else f"{round(left, 2) + 0.0:.2f}"  # never -0.00
    if left is None or z is None:
        words.append(
            "Whether the runs share more was not tested: that takes matrices of 16 rows and columns or "
            "more that both changed, and a comparison that was not interrupted."
        )
    elif z > Z_LEVEL and left >= SHARED:
        words.append(
            f"The runs have more in common than sizes, rows and columns: with these taken out, their "
            f"changes still correlate by {seen} (z = {z:.1f}; independent runs: 0, false-alarm level "
            f"{percent(LEVEL)}). The data cannot tell why; training on the same samples does it."
        )
    elif found.z is not None and found.z > Z_LEVEL:
        words.append(
            "The difference is rows and columns that move more than others, in both runs or in either: "
            f"with these taken out nothing is left (correlation {seen}, z = {z:.1f}). Independent "
            "runs show that too, so it is no finding."
        )
    else:
        words.append(
            f"That is what two independent runs share (correlation of what is left {seen}, "
            f"z = {z:.1f}): the overlap comes from rounding, which hides steps from the same large "
            "weights in both."
        )
    return words


def _measures(result: UpdatesResult) -> tuple[Measure, ...]:
    shown = [
        Measure("density", result.densities[0], note="share of the weights that changed",
                percent=True),
        Measure("density where anything changed", result.moved_density, null=result.null_density,
                note=f"z = {result.z:.1f}" if result.z is not None else "nothing changed",
                percent=True),
        Measure("density among the smallest weights",
                result.open_seen / result.open_n if result.open_n else None,
                null=result.open_expected / result.open_n if result.open_n else None,
                note="rounding cannot hide the step from them", percent=True),
        *(Measure(f"density above {t:g}", value, percent=True)
          for t, value in zip(result.tolerances[1:], result.densities[1:], strict=True)),
        Measure("density above |w|/256", result.relative, percent=True),
        Measure("Gini over matrices", result.gini, note="0: all matrices are equally dense"),
        *_rank_measures(result),
    ]  # fmt: skip
    found = result.overlap
    if found is not None:
        shown += [
            Measure("overlap, of this run's changes", found.one_sided, null=found.matched,
                    note=f"chance alone {percent(found.chance)}", percent=True),
            Measure("overlap, of the second run's", found.other_sided,
                    null=_of_other(result), percent=True,
                    note=f"chance alone {percent(found.other_chance)}"),
            Measure("Jaccard", found.jaccard, null=found.jaccard_matched, percent=True,
                    note=f"chance alone {percent(found.jaccard_chance)}"),
            Measure("correlation of the runs' changes", found.shared, null=0.0,
                    note="after sizes, rows and columns are taken out"),
        ]  # fmt: skip
    return tuple(shown)


def _of_other(result: UpdatesResult) -> float | None:
    """The matched null of the overlap, as a share of the second run's changes."""
    found = result.overlap
    if found is None or not found.other_sided:
        return None
    return found.expected * found.other_sided / found.both


def _rank_measures(result: UpdatesResult) -> list[Measure]:
    ranks = [one.rank for one in result.tensors if one.rank is not None]
    if not ranks:
        return []
    shown: list[Measure] = []
    small = [one for one in ranks if one.how == "sketch"]
    whole = [one for one in ranks if one.how != "sketch"]
    if whole:
        how = ", ".join(dict.fromkeys(one.how for one in whole))
        shown += [
            Measure("rank / largest possible", _mean(whole, lambda r: r.rank / r.full),
                    null="of independent noise: full" if how != "adapter" else None,
                    note=f"mean over {len(whole)} matrices ({how})", percent=True),
            Measure("effective rank / largest possible",
                    _mean(whole, lambda r: r.effective and r.effective / r.full), percent=True),
            Measure("stable rank", _mean(whole, lambda r: r.stable)),
        ]  # fmt: skip
    if small:
        square = all(one.full == SKETCH for one in small)
        shown += [
            Measure("rank of a sketch / its size", _mean(small, lambda r: r.rank / r.full),
                    null="of independent noise: full", percent=True,
                    note=f"mean over {len(small)} matrices; below full, it is at "
                    "most the matrix's"),
            Measure("effective rank of a sketch / its size",
                    _mean(small, lambda r: r.effective and r.effective / r.full), percent=True,
                    null=NOISE_EFFECTIVE if square else None,
                    note="of the sketch; that of a matrix of many directions is larger"),
            Measure("stable rank of a sketch", _mean(small, lambda r: r.stable),
                    null=NOISE_STABLE if square else None, note="of the sketch, likewise"),
        ]  # fmt: skip
    return shown


def _mean(ranks: Sequence[Rank], of: Callable[[Rank], float | None]) -> float | None:
    values = [x for x in map(of, ranks) if x is not None]
    return float(np.mean(values)) if values else None


def _charts(result: UpdatesResult) -> tuple[Chart, ...]:
    drawn: list[Chart] = []
    points = np.array([one for one in result.by_size if one[0] > 0.0])
    if len(points) > 1:  # a size of 0 has no place on a logarithmic axis
        size, seen, null = points.T
        drawn.append(
            Chart(
                "Density by the size of the weight",
                "Rounding hides a step from large weights, so the null falls from left to right. A "
                "sparse step stays below it on the left, where nothing is hidden.",
                line_chart(
                    [Curve("seen", size, seen), Curve("dense step, rounded", size, null)],
                    x_label="|w|", y_label="share that changed", log_x=True, percent=True,
                    y_range=(0.0, 1.02), prefix="updates-size",
                    label="Share of changed weights by their size, seen and under the null",
                ),
            )
        )  # fmt: skip
    kinds = _grouped(result.tensors, lambda one: one.kind)
    if kinds and result.changed:
        rows = list(kinds.items())[:BARS]
        nan = float("nan")
        drawn.append(
            Chart(
                "Density by kind of matrix",
                "The ticks are what a dense step of the same size would show after rounding.",
                bar_chart(
                    [name for name, _ in rows],
                    [("seen", [_density(part) or 0.0 for _, part in rows])],
                    marks=[nan if (x := _null(part)) is None else x for _, part in rows],
                    marks_name="dense step, rounded", percent=True, prefix="updates-kind",
                    label="Share of changed weights by kind of matrix",
                ),
            )
        )  # fmt: skip
    return tuple(drawn)


def _grouped(
    tensors: Sequence[TensorUpdate], key: Callable[[TensorUpdate], str | int | None]
) -> dict[str, list[TensorUpdate]]:
    groups: dict[str, list[TensorUpdate]] = {}
    for one in tensors:
        if (name := key(one)) is not None and one.n:
            groups.setdefault(str(name), []).append(one)
    return groups


def _density(part: Sequence[TensorUpdate]) -> float | None:
    n = sum(one.n for one in part)
    return sum(one.changed for one in part) / n if n else None


def _null(part: Sequence[TensorUpdate]) -> float | None:
    """The null's density over the changed tensors of a group; None where none changed."""
    moved = [(one.n, one.null_density) for one in part if one.null_density is not None]
    n = sum(count for count, _ in moved)
    return sum(count * share for count, share in moved) / n if n else None


def _tables(result: UpdatesResult) -> tuple[Table, ...]:
    header = ("", "weights", "density", "null", "rank/full", "effective", "stable")
    tables: list[Table] = []
    for title, groups in (
        ("By kind of matrix", _grouped(result.tensors, lambda one: one.kind)),
        ("By layer", _grouped(result.tensors, lambda one: one.layer)),
    ):
        if groups:
            rows = [(name, *_row(part)) for name, part in groups.items()]
            tables.append(Table(title, header, rows, NULL_TEXT))
    layers = _grouped(result.tensors, lambda one: one.layer)
    if layers:
        kinds = list(_grouped([one for part in layers.values() for one in part], lambda o: o.kind))
        rows = [
            (name, *(_density([one for one in part if one.kind == kind]) for kind in kinds))
            for name, part in layers.items()
        ]
        tables.append(Table("Density by layer and kind", ("layer", *kinds), rows))
    if result.excluded:
        tables.append(Table("Not compared", ("tensor", "why"), list(result.excluded.items())))
    return tuple(tables)


def _row(part: Sequence[TensorUpdate]) -> tuple[float | int | None, ...]:
    ranks = [one.rank for one in part if one.rank is not None]
    return (
        sum(one.n for one in part), _density(part), _null(part),
        _mean(ranks, lambda r: r.rank / r.full), _mean(ranks, lambda r: r.effective),
        _mean(ranks, lambda r: r.stable),
    )  # fmt: skip


def _warnings(result: UpdatesResult) -> tuple[str, ...]:
    said = []
    if not result.complete:
        said.append(
            f"interrupted: {len(result.tensors)} of {result.expected_tensors} tensors were compared"
        )
    lost = [one for one in result.tensors if one.nonfinite]
    if lost:
        said.append(
            f"{sum(one.nonfinite for one in lost):,} weights are NaN or infinite and left out, in "
            f"{plural(len(lost), 'tensor')} such as {lost[0].name}"
        )
    if result.excluded:
        name, why = next(iter(result.excluded.items()))
        said.append(f"{plural(len(result.excluded), 'tensor')} not compared, such as {name}: {why}")
    return tuple(said)
