"""The numbers, pictures and tables of a comparison of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from levelhead._text import number, percent
from levelhead.diagnose.charts import Curve, bar_chart, line_chart
from levelhead.diagnose.section import Chart, Measure, Table
from levelhead.diagnose.updates._rank import EXACT, SKETCH, Rank
from levelhead.diagnose.updates._result import TensorUpdate, UpdatesResult

__all__ = ["adapted", "charts", "measures", "rank_words", "tables"]

BARS = 20
"""Kinds of matrices that are drawn."""

ROWS, KINDS = 12, 7
"""Layers and kinds that a terminal shows of a table."""

NOISE_EFFECTIVE, NOISE_STABLE = 0.805, SKETCH / 4
"""What a square sketch of independent noise shows, by the quarter-circle law of its singular values:
exp(H) / n with H the entropy of their shares, and n / 4."""

SURE = 3.0
"""Changes a row beyond log(rows): then one row in twenty matrices is left without any by chance."""

Groups = Mapping[str, list[TensorUpdate]] | Mapping[int, list[TensorUpdate]]


def adapted(result: UpdatesResult) -> list[TensorUpdate]:
    """Tensors that an adapter updates."""
    return [one for one in result.tensors if one.rank is not None and one.rank.how == "adapter"]


def rank_words(result: UpdatesResult) -> str:
    """`rank 8 in 14 of 21 tensors`; empty where there is no adapter."""
    ranks = sorted({one.rank.rank for one in adapted(result) if one.rank is not None})
    if not ranks:
        return ""
    rank = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    return f"{rank} in {len(adapted(result))} of {len(result.tensors)} tensors"


def measures(result: UpdatesResult) -> tuple[Measure, ...]:
    """The numbers, each beside its null."""
    shown = [
        Measure("density", result.densities[0], note="share of the weights that changed",
                percent=True),
        Measure("density where anything changed", result.moved_density, null=result.null_density,
                note=f"z = {number(result.z, 1)}" if result.z is not None else "nothing changed",
                percent=True),
        Measure("density among the smallest weights", result.open_seen, null=result.open_expected,
                note="rounding cannot hide the step from them", percent=True),
        *(Measure(f"density above {t:g}".replace("e-0", "e-"), value, percent=True)
          for t, value in zip(result.tolerances[1:], result.densities[1:], strict=True)),
        Measure("density above |w|/256", result.relative, percent=True),
        Measure("Gini over matrices", result.gini, note="0: all matrices are equally dense"),
        *_adapter_measures(result),
        *_rank_measures(result),
    ]  # fmt: skip
    found = result.overlap
    if found is not None:
        shown += [
            Measure("overlap, of TUNED's changes", found.one_sided, null=found.matched,
                    note=f"chance alone {percent(found.chance)}", percent=True),
            Measure("overlap, of OTHER's changes", found.other_sided,
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


def _adapter_measures(result: UpdatesResult) -> list[Measure]:
    ranks = [one.rank for one in adapted(result) if one.rank is not None]
    if not ranks:
        return []
    full = sorted({one.full for one in ranks})
    largest = str(full[0]) if len(full) == 1 else f"{full[0]} to {full[-1]}"
    return [
        Measure("rank of the adapter", _mean_rank(ranks),
                note=f"{rank_words(result)}; a matrix's own could be {largest}"),
        Measure("effective rank of the adapter", _mean(ranks, lambda r: r.effective),
                note="equal singular values that would be as spread out"),
        Measure("stable rank of the adapter", _mean(ranks, lambda r: r.stable)),
    ]  # fmt: skip


def _rank_measures(result: UpdatesResult) -> list[Measure]:
    shown: list[Measure] = []
    small, whole = (
        [one for one in result.tensors if one.rank is not None and one.rank.how == how]
        for how in ("sketch", "exact")
    )
    if whole:
        ranks = _ranks(whole)
        shown += [
            Measure("rank / largest possible", _mean(ranks, lambda r: r.rank / r.full),
                    null=_of_noise(whole), percent=True,
                    note=f"mean over {len(whole)} matrices"),
            Measure("effective rank / largest possible",
                    _mean(ranks, lambda r: r.effective and r.effective / r.full), percent=True),
            Measure("stable rank", _mean(ranks, lambda r: r.stable)),
        ]  # fmt: skip
    if small:
        ranks = _ranks(small)
        square = all(one.full == SKETCH for one in ranks)
        shown += [
            Measure("rank of a sketch / its size", _mean(ranks, lambda r: r.rank / r.full),
                    null=_of_noise(small), percent=True,
                    note=f"mean over {len(small)} matrices; below full, it is at "
                    "most the matrix's"),
            Measure("effective rank of a sketch / its size",
                    _mean(ranks, lambda r: r.effective and r.effective / r.full), percent=True,
                    null=NOISE_EFFECTIVE if square else None,
                    note="of the sketch; that of a matrix of many directions is larger"),
            Measure("stable rank of a sketch", _mean(ranks, lambda r: r.stable),
                    null=NOISE_STABLE if square else None, note="of the sketch, likewise"),
        ]  # fmt: skip
    return shown


def _of_noise(part: Sequence[TensorUpdate]) -> float | None:
    """Noise has full rank where it changes so many weights that no row is left without one."""
    full = [(one.changed, one.rank.full) for one in part if one.rank is not None]
    return 1.0 if all(n >= side * (math.log(side) + SURE) for n, side in full) else None


def _ranks(part: Sequence[TensorUpdate]) -> list[Rank]:
    return [one.rank for one in part if one.rank is not None]


def _mean(ranks: Sequence[Rank], of: Callable[[Rank], float | None]) -> float | None:
    values = [x for x in map(of, ranks) if x is not None]
    return float(np.mean(values)) if values else None


def _mean_rank(ranks: Sequence[Rank]) -> float | int | None:
    """A whole number where it is one."""
    mean = _mean(ranks, lambda r: r.rank)
    return mean if mean is None or mean % 1 else int(mean)


def charts(result: UpdatesResult) -> tuple[Chart, ...]:
    """The pictures of what there is to draw."""
    drawn = [*_size_chart(result), *_kind_chart(result), *_layer_chart(result)]
    return tuple(drawn)


def _size_chart(result: UpdatesResult) -> list[Chart]:
    points = np.array([one for one in result.by_size if one[0] > 0.0])
    if len(points) < 2:
        return []
    size, seen, null = points.T
    return [
        Chart(
            "Density by the size of the weight",
            "Rounding hides a step from large weights, so the null falls from left to right. A "
            "sparse step stays below it on the left, where nothing is hidden.",
            line_chart(
                [Curve("seen", size, seen), Curve("dense step, rounded", size, null)],
                x_label="|w|, by powers of two", y_label="share that changed", log_x=True,
                percent=True, y_range=(0.0, 1.02), prefix="updates-size",
                label="Share of changed weights by their size, seen and under the null",
            ),
        )
    ]  # fmt: skip


def _kind_chart(result: UpdatesResult) -> list[Chart]:
    rows = list(_by_kind(result.tensors).items())[:BARS]
    if not rows or not result.changed:
        return []
    nan = float("nan")
    return [
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
    ]  # fmt: skip


def _layer_chart(result: UpdatesResult) -> list[Chart]:
    """Of more layers than a terminal shows rows of."""
    layers = _by_layer(result.tensors)
    if len(layers) <= ROWS or not result.changed:
        return []
    number = np.array(list(layers), dtype=np.float64)
    seen, null = (np.array([np.nan if (x := of(part)) is None else x for part in layers.values()])
                  for of in (_density, _null))  # fmt: skip
    return [
        Chart(
            "Density by layer",
            "Where the lines part, a layer changed fewer or more weights than a dense step would.",
            line_chart(
                [Curve("seen", number, seen), Curve("dense step, rounded", number, null)],
                x_label="layer", y_label="share that changed", percent=True,
                y_range=(0.0, 1.1 * float(np.nanmax((seen, null)))), prefix="updates-layer",
                label="Share of changed weights by layer, seen and under the null",
            ),
        )
    ]  # fmt: skip


def _by_kind(tensors: Sequence[TensorUpdate]) -> dict[str, list[TensorUpdate]]:
    """Kinds of tensors, those with most weights first."""
    groups: dict[str, list[TensorUpdate]] = {}
    for one in tensors:
        if one.n:
            groups.setdefault(one.kind, []).append(one)
    return dict(sorted(groups.items(), key=lambda item: -sum(one.n for one in item[1])))


def _by_layer(tensors: Sequence[TensorUpdate]) -> dict[int, list[TensorUpdate]]:
    """Layers, by their number."""
    groups: dict[int, list[TensorUpdate]] = {}
    for one in tensors:
        if one.n and one.layer is not None:
            groups.setdefault(one.layer, []).append(one)
    return dict(sorted(groups.items()))


def _density(part: Sequence[TensorUpdate]) -> float | None:
    n = sum(one.n for one in part)
    return sum(one.changed for one in part) / n if n else None


def _null(part: Sequence[TensorUpdate]) -> float | None:
    """The null's density; a tensor that did not change has none to add. None where none changed."""
    if all(one.null_density is None for one in part):
        return None
    n = sum(one.n for one in part)
    return sum(one.n * (one.null_density or 0.0) for one in part) / n if n else None


def tables(result: UpdatesResult) -> tuple[Table, ...]:
    """What is listed: no more rows than a terminal shows, or those that say most first."""
    found: list[Table] = []
    kinds, layers = _by_kind(result.tensors), _by_layer(result.tensors)
    if not result.changed:  # rows of zeros
        kinds, layers = {}, {}
    if kinds:
        found.append(_table(result, "By kind of matrix", "kind", kinds))
    if layers:
        title = "By layer"
        if len(layers) > ROWS:
            title += ", those farthest from the null first"
            layers = dict(sorted(layers.items(), key=lambda item: -_distance(item[1])))
        found += [_table(result, title, "layer", layers), _by_both(result)]
    if result.excluded:
        found.append(Table("Not compared", ("tensor", "why"), list(result.excluded.items())))
    return tuple(found)


def _distance(part: Sequence[TensorUpdate]) -> float:
    """Of the density from the null; -1 where nothing changed."""
    seen, null = _density(part), _null(part)
    return -1.0 if seen is None or null is None else abs(seen - null)


def _table(result: UpdatesResult, title: str, name: str, groups: Groups) -> Table:
    adapter = bool(adapted(result))
    header = (name, "weights", "density", "null")
    rows: list[tuple[str | int | float | None, ...]] = [
        (key, sum(one.n for one in part), _density(part), _null(part))
        for key, part in groups.items()
    ]
    note = "null: of a dense step after rounding; a tensor without a change adds 0 to it"
    ranks = [_ranks(part) for part in groups.values()]
    # Else they would be columns without numbers.
    if adapter or sum(map(bool, ranks)) * 2 >= len(ranks):
        header += ("rank" if adapter else "rank/full", "effective", "stable")
        rows = [
            (*row, _mean_rank(part) if adapter else _mean(part, lambda r: r.rank / r.full),
             _mean(part, lambda r: r.effective), _mean(part, lambda r: r.stable))
            for row, part in zip(rows, ranks, strict=True)
        ]  # fmt: skip
        note += "; ranks are means"
        if any(one.how == "sketch" for part in ranks for one in part):
            note += f", above {EXACT:,} weights of a sketch"
    return Table(title, header, rows, note, percent=("density", "null", "rank/full"))


def _by_both(result: UpdatesResult) -> Table:
    """Densities of matrices in neighboring layers, by kind."""
    inside = [one for one in result.tensors if one.layer is not None]
    matrices = [one for one in inside if len(one.shape) > 1] or inside
    layers, every = _by_layer(matrices), list(_by_kind(matrices))
    size, numbers = math.ceil(len(layers) / ROWS), list(layers)
    rows = []
    for start in range(0, len(numbers), size):
        some = numbers[start : start + size]
        part = [one for number in some for one in layers[number]]
        name = f"{some[0]} to {some[-1]}" if len(some) > 1 else str(some[0])
        rows.append((name, *(_density([x for x in part if x.kind == kind])
                             for kind in every[:KINDS])))  # fmt: skip
    note = f"the {KINDS} kinds with most weights" if len(every) > KINDS else ""
    shown = tuple(every[:KINDS])
    return Table("Density by layer and kind", ("layer", *shown), rows, note, percent=shown)
