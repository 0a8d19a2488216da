"""One model's records as they are read: rows while they fit in memory, tallies beyond that.

While a model's rows fit, they are kept with their prompts and slices. Beyond that they are folded
into tallies by confidence, so memory stays bounded and every metric that is a sum over rows stays
exact. Parts of a model that were read apart merge into what reading them in turn would give.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.audit.convention import Missing
from levelhead.audit.result import ConfidentError
from levelhead.errors import RecordError
from levelhead.metrics.overconfidence import top_label
from levelhead.metrics.tally import Tally
from levelhead.records import ETA, STATUSES, Predictions, as_strings, concat

__all__ = ["ModelRecords", "Rows", "native_rows", "trust_rows"]

MAX_SLICE_VALUES = 200
"""Values of a slice column that are told apart; the rest are counted together."""

MAX_PART_SLICES = 5_000
"""Values of a slice column in a part: all are told apart, as the parts before it decide what is rare."""

MAX_ERRORS = 20
"""How many of the most confident errors are kept with their text."""

MAX_TEXT = 20_000
"""Characters of a text that the report carries; longer ones are cut in the middle and say so."""

MAX_SLICE_NAME = 200
"""Characters of a slice's value that are shown."""

OTHER = "(other values)"
_REFUSAL = STATUSES.index("refusal")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Arrays that metrics take: (N,) confidence, correct in [0, 1], weights or None, clusters or None."""

    confidence: FloatArray
    correct: FloatArray
    weights: FloatArray | None = None
    clusters: IntArray | None = None
    counted: bool = False
    """Whether the weights count equal rows, as a tally's do."""
    folded: bool = False
    """Whether the rows come from a tally."""

    @property
    def resamples(self) -> bool:
        """Whether sampling error can be told: not from tallied weights, whose rows are gone."""
        return self.counted or not self.folded

    @property
    def resampling(self) -> dict[str, Any]:
        """The keyword arguments of every interval: what is resampled."""
        if self.counted:
            return {"counts": self.weights}
        return {"weights": self.weights, "clusters": self.clusters}

    def top_label(self) -> Rows:
        """An event's rows read as claims: max(p, 1 - p) against being right, p = 0.5 counting half."""
        confidence, correct = top_label(self.confidence, self.correct)
        return dataclasses.replace(self, confidence=confidence, correct=correct)


def native_rows(predictions: Predictions, missing: Missing) -> tuple[Rows, BoolArray]:
    """The rows that are scored, a missing confidence counting as the convention says, and their mask.

    Args:
        predictions: one model's block.
        missing: `assert`, `drop` or `zero` (see `Convention`).

    Returns:
        The scored rows in the block's own reading and the (N,) mask of the block's rows they are.
    """
    ok = predictions.status == 0
    keep = ~np.isnan(predictions.label) & (predictions.status != _REFUSAL)
    if missing == "drop":
        keep &= ok
    everything = bool(keep.all())
    confidence, label = predictions.confidence, predictions.label
    if missing != "drop" and not ok.all():
        if missing == "zero":
            stand_in = np.zeros(len(predictions))
        elif predictions.kind == "answer":
            stand_in = np.full(len(predictions), 1.0 - ETA)
        else:
            stand_in = np.where(label == 1.0, ETA, 1.0 - ETA)
        confidence = np.where(ok, confidence, stand_in)
    clusters = predictions.clusters
    rows = Rows(
        confidence=confidence if everything else confidence[keep],
        correct=label if everything else label[keep],
        weights=predictions.weight
        if everything or predictions.weight is None
        else predictions.weight[keep],
        clusters=clusters if everything or clusters is None else clusters[keep],
    )
    return rows, keep


def trust_rows(predictions: Predictions, missing: Missing) -> tuple[Rows, BoolArray]:
    """The rows that Trust is the mean over, as claims: the scored ones, and refusals, which score 0.

    Args:
        predictions: one model's block.
        missing: `assert`, `drop` or `zero` (see `Convention`).

    Returns:
        The rows in the top-label reading, a refusal with confidence 0, and the (N,) mask of the
        block's rows they are.
    """
    rows, keep = native_rows(predictions, missing)
    top = rows.top_label() if predictions.kind == "event" else rows
    refused = predictions.status == _REFUSAL
    if not refused.any():
        return top, keep
    both = keep | refused
    confidence, correct = np.zeros(len(predictions)), np.zeros(len(predictions))
    confidence[keep], correct[keep] = top.confidence, top.correct
    clusters, weights = predictions.clusters, predictions.weight
    return Rows(
        confidence[both],
        correct[both],
        None if weights is None else weights[both],
        None if clusters is None else clusters[both],
    ), both


class ModelRecords:
    """What was read of one model: counts, the most confident errors, and rows or tallies.

    Args:
        name: the model's.
        missing: how a record without a confidence counts.
        by: slice columns.
        part: whether this will be merged into another, which then decides which slices are rare.
    """

    def __init__(
        self, name: str, missing: Missing, by: Sequence[str], *, part: bool = False
    ) -> None:
        self.name, self.by, self.part = name, tuple(by), part
        self.missing: Missing = missing
        self.files: list[str] = []
        self.kind: Literal["answer", "event"] = "answer"
        self.n_records = self.n_unlabelled = self.n_refusals = 0
        self.n_asserted = 0
        """Labelled records without a usable confidence; refusals claim nothing and are not among them."""
        self.refused_weight = 0.0
        self.status_counts: dict[str, int] = {}
        self.provenance_counts: dict[str, int] = {}
        self.tally: Tally | None = None
        self.tally_parsed: Tally | None = None
        self.counted = True
        """Whether a tally's weights are numbers of rows; not where the records carry weights."""
        self.slice_tallies: dict[tuple[str, str], Tally] = {}
        self._n_slices: Counter[str] = Counter()
        self.too_many_slices: dict[str, str] = {}
        """Slice columns with more values in a part than a part tells apart, and the part's file."""
        self._blocks: list[Predictions] = []
        self._merged: Predictions | None = None
        self._errors: list[tuple[float, int, ConfidentError]] = []
        self._rows_unnamed = 0
        self._seen = 0
        self._seen_in_file = 0

    @property
    def streamed(self) -> bool:
        """Whether the rows were folded into tallies."""
        return self.tally is not None

    @property
    def n_without_prompt(self) -> int:
        """Records in files that name no prompts, where other files of the model do."""
        return self._rows_unnamed if self._rows_unnamed < self.n_records else 0

    @property
    def predictions(self) -> Predictions:
        """All rows; only where they were kept."""
        if self._merged is None:
            self._merged, self._blocks = concat(self._blocks), []
        return self._merged

    def add(self, block: Predictions, path: str, max_rows: int) -> None:
        """Take in one block of this model."""
        self._agree(block.kind, path)
        if path not in self.files:
            self.files.append(path)
            self._seen_in_file = 0
        self.n_records += len(block)
        self._rows_unnamed += len(block) if block.prompt_id is None else 0
        unlabelled = np.isnan(block.label)
        self.n_unlabelled += int(unlabelled.sum())
        _add_counts(self.status_counts, block.status_counts())
        _add_counts(self.provenance_counts, block.provenance_counts())
        self.n_refusals = self.status_counts.get("refusal", 0)
        refused = block.status == _REFUSAL
        self.n_asserted += int(((block.status != 0) & ~refused & ~unlabelled).sum())
        self.refused_weight += float(
            refused.sum() if block.weight is None else block.weight[refused].sum()
        )
        self._keep_errors(block, path)
        if self.tally is not None:
            self._fold(block, self.tally)
            return
        self._blocks.append(block)
        if self.n_records > max_rows:
            self._tallied()

    def merge(self, other: ModelRecords, max_rows: int) -> None:
        """Take in what was read of this model elsewhere, as if its files came after these.

        Args:
            other: of other files, made with `part=True`; it is not to be used afterwards.
            max_rows: rows beyond which they are tallied instead of kept.

        Raises:
            RecordError: the one has answers and the other events.
        """
        self._agree(other.kind, other.files[0])
        self.files += [file for file in other.files if file not in self.files]
        self.too_many_slices = other.too_many_slices | self.too_many_slices
        for mine, more in ((self.status_counts, other.status_counts),
                           (self.provenance_counts, other.provenance_counts)):  # fmt: skip
            _add_counts(mine, more)
        self.n_records += other.n_records
        self._rows_unnamed += other._rows_unnamed
        self.n_unlabelled += other.n_unlabelled
        self.n_refusals += other.n_refusals
        self.n_asserted += other.n_asserted
        self.refused_weight += other.refused_weight
        later = [(claim, order - self._seen, error) for claim, order, error in other._errors]
        self._errors = heapq.nlargest(MAX_ERRORS, [*self._errors, *later], key=lambda e: e[:2])
        heapq.heapify(self._errors)
        self._seen += other._seen
        if other.tally is not None:
            self._add_tallies(other, other.tally)
        elif self.tally is not None:
            for block in other._blocks:
                self._fold(block, self.tally)
        else:
            self._blocks += other._blocks
            if self.n_records > max_rows:
                self._tallied()

    def rows(self, part: Literal["scored", "parsed"] = "scored") -> Rows:
        """The scored rows, or only those whose confidence was parsed, in the kind's own reading."""
        if self.tally is not None:
            tally = self.tally_parsed if part == "parsed" and self.tally_parsed else self.tally
            return Rows(*tally.arrays(), counted=self.counted, folded=True)
        return native_rows(self.predictions, "drop" if part == "parsed" else self.missing)[0]

    def trust_rows(self, part: Literal["scored", "parsed"] = "scored") -> Rows:
        """The rows that Trust is the mean over: claims, and refusals with confidence 0."""
        if self.tally is None:
            missing = "drop" if part == "parsed" else self.missing
            return trust_rows(self.predictions, missing)[0]
        rows = self.rows(part)
        top = rows.top_label() if self.kind == "event" else rows
        if not self.refused_weight or top.weights is None:
            return top
        return dataclasses.replace(
            top,
            confidence=np.append(top.confidence, 0.0),
            correct=np.append(top.correct, 0.0),
            weights=np.append(top.weights, self.refused_weight),
        )

    def slices(self) -> Iterator[tuple[str, str, Rows]]:
        """(column, value, rows) of every slice that weighs something; rare values share one."""
        for (column, value), tally in self.slice_tallies.items():
            if tally.weight > 0:
                yield column, value, Rows(*tally.arrays(), counted=self.counted, folded=True)
        if self.streamed or not self.by:
            return
        rows, keep = native_rows(self.predictions, self.missing)
        for column in self.by:
            names, codes = _slice_codes(self.predictions, column)
            codes = codes[keep]
            largest = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
            parts = [(names[i], codes == i) for i in largest[:MAX_SLICE_VALUES]]
            if len(names) > MAX_SLICE_VALUES:
                parts.append((OTHER, np.isin(codes, largest[MAX_SLICE_VALUES:])))
            for name, mask in parts:
                part = _where(rows, mask)
                if mask.any() and (part.weights is None or part.weights.any()):
                    yield column, name, part

    @property
    def confident_errors(self) -> list[ConfidentError]:
        """The errors with the highest confidence, most confident first, earliest first among equals."""
        return [error for _, _, error in sorted(self._errors, key=lambda e: (-e[0], -e[1]))]

    def _agree(self, kind: Literal["answer", "event"], path: str) -> None:
        if self.n_records == 0:
            self.kind = kind
        elif kind != self.kind:
            raise RecordError(
                f"expected {self.kind} predictions of model {self.name!r} like the files before it, "
                f"got {kind} predictions; audit the two kinds separately",
                path,
            )

    def _tallied(self) -> Tally:
        """The tally, into which what was kept so far goes first."""
        if self.tally is None:
            blocks, self._blocks = self._blocks, []
            self.tally = Tally()
            for kept in blocks:
                self._fold(kept, self.tally)
        return self.tally

    def _add_tallies(self, other: ModelRecords, theirs: Tally) -> None:
        tally = self._tallied()
        self.counted &= other.counted
        if self.tally_parsed is not None or other.tally_parsed is not None:
            self._parsed(tally).merge(theirs if other.tally_parsed is None else other.tally_parsed)
        tally.merge(theirs)
        for (column, value), part in other.slice_tallies.items():
            self.slice_tallies[column, self._slice(column, value)].merge(part)

    def _parsed(self, tally: Tally) -> Tally:
        """The tally of what was parsed: until there is a gap, everything was."""
        if self.tally_parsed is None:
            self.tally_parsed = Tally().merge(tally)
        return self.tally_parsed

    def _slice(self, column: str, value: str) -> str:
        """The slice that a value belongs to: its own, or once there are many that of the others."""
        if (column, value) not in self.slice_tallies:
            known = self._n_slices[column]
            if self.part and known >= MAX_PART_SLICES:
                self.too_many_slices.setdefault(column, self.files[-1])
                value = OTHER  # the whole is not sliced by this column, or is read again
            elif not self.part and known >= MAX_SLICE_VALUES:
                value = OTHER
            if (column, value) not in self.slice_tallies:
                self.slice_tallies[column, value] = Tally()
                self._n_slices[column] += 1
        return value

    def _fold(self, block: Predictions, tally: Tally) -> None:
        rows, keep = native_rows(block, self.missing)
        self.counted &= rows.weights is None
        if block.status.any():
            self._parsed(tally)
        if rows.confidence.size:
            tally.update(rows.confidence, rows.correct, weights=rows.weights)
        if self.tally_parsed is not None:
            parsed = native_rows(block, "drop")[0]
            if parsed.confidence.size:
                self.tally_parsed.update(parsed.confidence, parsed.correct, weights=parsed.weights)
        for column in self.by:
            names, codes = _slice_codes(block, column)
            codes = codes[keep]
            if not codes.size:
                continue
            found = np.unique(codes)
            slices = [self._slice(column, names[i]) for i in found]
            place = {value: k for k, value in enumerate(dict.fromkeys(slices))}
            group = np.array([place[value] for value in slices])[np.searchsorted(found, codes)]
            ends = np.cumsum(np.bincount(group, minlength=len(place)))
            parts = np.split(np.argsort(group, kind="stable"), ends[:-1])
            for value, part in zip(place, parts, strict=True):
                some = _where(rows, part)
                self.slice_tallies[column, value].update(
                    some.confidence, some.correct, weights=some.weights
                )

    def _keep_errors(self, block: Predictions, path: str) -> None:
        event = block.kind == "event"
        claim = np.maximum(block.confidence, 1.0 - block.confidence) if event else block.confidence
        if event:
            right = np.where(block.confidence > 0.5, block.label, 1.0 - block.label)
            right[block.confidence == 0.5] = 1.0  # a coin flip is no confident error
        else:
            right = block.label
        wrong = np.flatnonzero((right == 0.0) & (block.status == 0))
        if len(self._errors) == MAX_ERRORS:
            wrong = wrong[claim[wrong] > self._errors[0][0]]
        best = wrong[np.argsort(-claim[wrong], kind="stable")[:MAX_ERRORS]]
        for i in best:
            entry = (float(claim[i]), -(self._seen + int(i)))
            if len(self._errors) == MAX_ERRORS and entry <= self._errors[0][:2]:
                continue
            item = (*entry, _confident_error(block, int(i), path, self._seen_in_file))
            if len(self._errors) < MAX_ERRORS:
                heapq.heappush(self._errors, item)
            else:
                heapq.heapreplace(self._errors, item)
        self._seen += len(block)
        self._seen_in_file += len(block)


def _slice_codes(block: Predictions, column: str) -> tuple[list[str], IntArray]:
    """The distinct values of a slice column, cut to what can be shown, and the code of each row."""
    if column not in block.columns.column_names:
        found = ", ".join(block.columns.column_names) or "none"
        raise RecordError(
            f"--by {column}: expected a column of that name, the columns kept are: {found}"
        )
    texts = as_strings(block.columns[column])
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    encoded = texts.fill_null("(missing)").dictionary_encode()
    names = [_cut(name, MAX_SLICE_NAME) for name in encoded.dictionary.to_pylist()]
    return names, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _where(rows: Rows, mask: BoolArray | IntArray) -> Rows:
    return dataclasses.replace(
        rows,
        confidence=rows.confidence[mask],
        correct=rows.correct[mask],
        weights=None if rows.weights is None else rows.weights[mask],
        clusters=None if rows.clusters is None else rows.clusters[mask],
    )


def _confident_error(block: Predictions, i: int, path: str, offset: int) -> ConfidentError:
    record = block.row(i)
    columns = record.columns
    confidence = float(record.confidence or 0.0)
    if block.kind == "event":
        said = f"{confidence:.0%} chance"
        truth = "it happened" if record.outcome else "it did not happen"
        confidence = max(confidence, 1.0 - confidence)
    else:
        said = str(columns.get("answer") or "")
        truth = str(columns.get("gold") if columns.get("gold") is not None else "")
    return ConfidentError(
        confidence=confidence,
        said=_cut(said),
        truth=_cut(truth),
        prompt_id="" if record.prompt_id is None else _cut(record.prompt_id),
        location=str(columns.get("location") or f"{path}:{columns.get('row') or offset + i + 1}"),
        prompt=_cut(str(columns.get("prompt") or "")),
        text=_cut(str(columns.get("text") or "")),
    )


def _cut(text: str, most: int = MAX_TEXT) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _add_counts(total: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
