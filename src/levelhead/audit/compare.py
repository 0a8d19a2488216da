"""Two models on the same items: what changed, with paired intervals and permutation p-values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from levelhead._arrays import BoolArray, IntArray
from levelhead._text import interval, number, percent, signed
from levelhead.audit.convention import Convention, Missing
from levelhead.audit.model_records import ModelRecords, Rows, native_rows, trust_rows
from levelhead.audit.result import Comparison, ComparisonRow
from levelhead.audit.verdict import TOO_FEW
from levelhead.errors import InvalidInputError
from levelhead.metrics import TABLE
from levelhead.metrics.intervals import PairedDifference, paired_differences
from levelhead.records import Predictions

__all__ = ["COMPARED", "METRICS", "Pairing", "compare", "pair", "shown_p"]

METRICS = {metric.name: metric for metric in TABLE}
"""Metrics by name."""

COMPARED = (
    "ece", "mce", "overconfidence", "brier", "nll", "accuracy", "mean_confidence", "confidence_on_errors",
    "errors_at_90", "auroc", "aurc", "trust",
)  # fmt: skip
"""What is compared, in the order of the table."""


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The rows of two models on the items that both have, with common cluster codes."""

    model: Rows
    baseline: Rows
    model_clusters: IntArray
    baseline_clusters: IntArray
    n_clusters: int
    paired_by: str
    n_only_model: int = 0
    n_only_baseline: int = 0

    def claims(self) -> Pairing:
        """An event's rows read as claims on both sides."""
        return dataclasses.replace(
            self, model=self.model.top_label(), baseline=self.baseline.top_label()
        )


def pair(
    model: ModelRecords,
    baseline: ModelRecords,
    read: Callable[[Predictions, Missing], tuple[Rows, BoolArray]] = native_rows,
) -> Pairing:
    """Match two models' records by prompt, or row by row where no prompts are named.

    Args:
        model: the model under test.
        baseline: what it is compared with.
        read: which rows of a block count, and how they are read: `native_rows` or `trust_rows`.

    Returns:
        The matched rows; all samples of a prompt form one cluster.

    Raises:
        InvalidInputError: the records cannot be matched: other kinds, no common prompts, streamed
            files, or no prompt ids and another number or order of rows.
    """
    names = f"{model.name!r} and {baseline.name!r}"
    if model.kind != baseline.kind:
        raise InvalidInputError(f"comparison of {names}: one holds answers, the other events")
    if model.streamed or baseline.streamed:
        raise InvalidInputError(
            f"comparison of {names}: expected files whose rows fit in memory; "
            "compare a sample of the same prompts"
        )
    a, keep_a = read(model.predictions, model.missing)
    b, keep_b = read(baseline.predictions, baseline.missing)
    ids_a, ids_b = model.predictions.prompt_id, baseline.predictions.prompt_id
    if (ids_a is None) != (ids_b is None):
        without = model.name if ids_a is None else baseline.name
        raise InvalidInputError(
            f"comparison of {names}: expected prompt ids in both or in neither, {without!r} has none; "
            "name its column with --prompt-id"
        )
    if ids_a is not None and ids_b is not None:
        codes_a, codes_b = _id_codes(_kept(ids_a, keep_a), _kept(ids_b, keep_b))
        by = "prompt"
    else:
        _check_same_rows(model.predictions, baseline.predictions, names)
        codes_a, codes_b = np.flatnonzero(keep_a), np.flatnonzero(keep_b)
        by = "row order"
    pairing = _restrict(a, b, codes_a, codes_b, by)
    if not pairing.n_clusters:
        raise InvalidInputError(
            f"comparison of {names}: expected items that both have, got none in common; "
            "name the column of prompt ids with --prompt-id"
        )
    return pairing


def compare(
    model: ModelRecords,
    baseline: ModelRecords,
    convention: Convention,
    *,
    n_boot: int,
    level: float,
    seed: int,
) -> Comparison:
    """The paired comparison of a model with the baseline.

    Args:
        model: the model under test.
        baseline: what it is compared with.
        convention: how the ECE is binned.
        n_boot: bootstrap replicates and permutations.
        level: of the intervals, in (0, 1).
        seed: of the random numbers.

    Returns:
        One row per metric in `COMPARED`, and the outcome in a sentence.

    Raises:
        InvalidInputError: the two cannot be paired.
    """
    pairing = pair(model, baseline)
    event = model.kind == "event"
    claims = [n for n in COMPARED if not event or METRICS[n].event_reading == "top-label"]
    tasks = [(pairing.claims() if event else pairing, claims)]
    if event:
        tasks.append((pairing, [n for n in COMPARED if METRICS[n].event_reading == "event"]))
    if model.n_refusals or baseline.n_refusals:
        claims.remove("trust")
        tasks.append((pair(model, baseline, trust_rows), ["trust"]))
    found: dict[str, PairedDifference] = {}
    for pairs, names in tasks:
        found |= paired_differences(
            pairs.model.confidence,
            pairs.model.correct,
            pairs.baseline.confidence,
            pairs.baseline.correct,
            names,
            clusters_a=pairs.model_clusters,
            clusters_b=pairs.baseline_clusters,
            weights_a=pairs.model.weights,
            weights_b=pairs.baseline.weights,
            **convention.binning,
            n_boot=n_boot,
            n_permutations=n_boot,
            level=level,
            seed=seed,
        )
    decides = pairing.n_clusters >= TOO_FEW
    rows = [_row(name, found[name], decides) for name in COMPARED]
    return Comparison(
        model=model.name,
        baseline=baseline.name,
        n_pairs=len(pairing.model.confidence),
        n_prompts=pairing.n_clusters,
        n_only_model=pairing.n_only_model,
        n_only_baseline=pairing.n_only_baseline,
        paired_by=pairing.paired_by,
        rows=rows,
        sentence=_sentence(model.name, baseline.name, {row.name: row for row in rows}),
    )


def shown_p(row: ComparisonRow, level: float) -> float | None:
    """The p-value of a row where it and the interval say the same of the level, else None.

    The interval decides. A p-value beside it that says otherwise would only contradict it: the two come
    from different procedures (whole items resampled, or models swapped item by item).

    Args:
        row: of a comparison.
        level: of its interval.

    Returns:
        The p-value, to be printed; the JSON always has it.
    """
    if row.p_value is None or row.low is None or row.high is None:
        return row.p_value
    apart = row.low > 0.0 or row.high < 0.0
    return row.p_value if apart == (row.p_value <= 1.0 - level) else None


def _row(name: str, d: PairedDifference, decides: bool) -> ComparisonRow:
    metric = METRICS[name]
    low, high = _finite(d.low), _finite(d.high)
    if name == "mce" and low is not None and high is not None:
        # A maximum over resampled bins lies beside the one that is shown; the interval holds both.
        low, high = min(low, d.difference), max(high, d.difference)
    worse: bool | None = None
    if decides and metric.better is not None and low is not None and high is not None:
        sign = 1.0 if metric.better == "lower" else -1.0
        ends = sorted((sign * low, sign * high))
        worse = True if ends[0] > 0 else False if ends[1] < 0 else None
    return ComparisonRow(
        name=name,
        label=metric.label,
        better=metric.better,
        model_value=_finite(d.value_a),
        baseline_value=_finite(d.value_b),
        difference=_finite(d.difference),
        low=low,
        high=high,
        p_value=_finite(d.p_value),
        worse=worse,
    )


def _sentence(model: str, baseline: str, rows: dict[str, ComparisonRow]) -> str:
    """What the comparison says about calibration; the worse of the two is named first."""
    ece, says, right = rows["ece"], rows["mean_confidence"], rows["accuracy"]
    if ece.difference is None or ece.low is None or ece.high is None:
        return f"{model} and {baseline} cannot be compared: the ECE of one is undefined."
    ends = sorted((abs(ece.low), abs(ece.high)))
    sides = [
        (model, says.model_value, right.model_value),
        (baseline, says.baseline_value, right.baseline_value),
    ]
    if ece.worse is None:
        head = (
            f"{model} and {baseline} do not differ clearly in calibration "
            f"(ECE {signed(ece.difference)} {interval(ece.low, ece.high, change=True)})"
        )
    else:
        sides = sides if ece.worse else sides[::-1]
        head = (
            f"{sides[0][0]} is worse calibrated than {sides[1][0]}: its ECE is "
            f"{number(abs(ece.difference))} {interval(ends[0], ends[1])} higher"
        )
    each = [
        f"{name} says {percent(s)} and is right {percent(r)} of the time" for name, s, r in sides
    ]
    return f"{head}. {'; '.join(each)}."


def _kept(ids: pa.Array | pa.ChunkedArray, keep: np.ndarray) -> pa.Array | pa.ChunkedArray:
    return ids if keep.all() else ids.filter(pa.array(keep))


def _id_codes(
    a: pa.Array | pa.ChunkedArray, b: pa.Array | pa.ChunkedArray
) -> tuple[IntArray, IntArray]:
    """Codes that say which ids are equal across both; a row without an id gets -1 and no partner."""
    chunks = [
        c for ids in (a, b) for c in (ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids])
    ]
    encoded = pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes[: len(a)], codes[len(a) :]


def _check_same_rows(model: Predictions, baseline: Predictions, names: str) -> None:
    """Without ids the two files must list the same items in the same order."""
    if len(model) != len(baseline):
        raise InvalidInputError(
            f"comparison of {names}: without prompt ids the rows must be the same in number, got "
            f"{len(model):,} and {len(baseline):,}; name a column with --prompt-id"
        )
    known = ~np.isnan(model.label) & ~np.isnan(baseline.label)
    if model.kind == "event" and (model.label[known] != baseline.label[known]).any():
        raise InvalidInputError(
            f"comparison of {names}: without prompt ids the rows must be in the same order, but "
            "their outcomes differ; name a column with --prompt-id"
        )


def _restrict(a: Rows, b: Rows, codes_a: IntArray, codes_b: IntArray, by: str) -> Pairing:
    """The rows whose code both sides have, with codes 0..P-1; what one side has alone is counted."""
    known_a, known_b = np.unique(codes_a[codes_a >= 0]), np.unique(codes_b[codes_b >= 0])
    shared = np.intersect1d(known_a, known_b)
    keep_a, keep_b = np.isin(codes_a, shared), np.isin(codes_b, shared)

    def cut(rows: Rows, keep: BoolArray) -> Rows:
        weights = None if rows.weights is None else rows.weights[keep]
        return Rows(rows.confidence[keep], rows.correct[keep], weights)

    return Pairing(
        cut(a, keep_a),
        cut(b, keep_b),
        np.searchsorted(shared, codes_a[keep_a]),
        np.searchsorted(shared, codes_b[keep_b]),
        len(shared),
        by,
        len(known_a) - len(shared),
        len(known_b) - len(shared),
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
