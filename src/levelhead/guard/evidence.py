"""Evidence: what a record carries besides its stated confidence, by the names that people use.

`COLUMNS` lists the columns and their usual synonyms; the first that a file has counts. Lists may
have any length. A row without a value has no evidence, which is NaN and never a number. A null or
NaN inside a list makes the evidence of that row unknown, as a sum with an unknown term is. Text is
read as the number, or as the JSON list, that it spells.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import InvalidInputError
from levelhead.guard._samples import Samples
from levelhead.guard._spelled import is_text, spelled_lists, spelled_numbers
from levelhead.guard.cues import Cues, count_cues
from levelhead.readers import answer_key
from levelhead.records import Predictions, as_strings

__all__ = ["COLUMNS", "INSTEAD", "NAMES", "Evidence", "Lists"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

COLUMNS: dict[str, tuple[str, ...]] = {
    "token_logprobs": ("token_logprobs", "answer_logprobs", "answer_token_logprobs"),
    "token_probs": ("token_probs", "token_probabilities", "answer_token_probs"),
    "token_entropies": ("token_entropies", "answer_token_entropies"),
    "top_logprobs": ("top_logprobs", "top2"),
    "top_probs": ("top_probs",),
    "top1_logprobs": ("top1_logprobs",),
    "top2_logprobs": ("top2_logprobs",),
    "probs": ("probs", "class_probs", "probabilities", "class_probabilities"),
    "logits": ("logits", "class_logits"),
    "answer": ("answer", "model_answer", "predicted_answer", "extracted_answer"),
    "cluster": ("cluster", "semantic_cluster", "cluster_id", "semantic_set"),
    "p_true": ("p_true", "ptrue"),
    "text": ("text", "completion", "response", "generation"),
    "retrieval_support": ("retrieval_support", "support_score", "entailment"),
    "contradiction": ("contradiction", "contradiction_score"),
    "judge_scores": ("judge_scores", "judges"),
    "pass_rate": ("pass_rate",),
}
"""Evidence by its own name, with the names of columns that hold it; the first found counts."""

NAMES: tuple[str, ...] = tuple(name for names in COLUMNS.values() for name in names)
"""Every column that can be evidence: what a reader should keep (`ReadOptions.evidence`)."""

INSTEAD: dict[str, tuple[tuple[str, ...], ...]] = {
    "token_logprobs": (("token_probs",),),
    "top_logprobs": (("top_probs",), ("top1_logprobs", "top2_logprobs")),
    "probs": (("logits",),),
}
"""What else serves where a column is not there; all columns of one entry are needed."""

LEAST_LOGPROB = -30.0
"""A token's log-probability is no less (nats): servers write -inf, -9999 or -100 for the same."""

ROUNDING = 0.01
"""How far above 0 a log-probability may lie: sums in bfloat16 overshoot by this much."""

SUM_TOLERANCE = 1e-3
"""How far class probabilities may sum from 1: they were checked where they were read."""

HALF_TOLERANCE = 1e-9
"""P(event) this little below 1/2 claims the event as 1/2 does."""

COMPLEMENT_DECIMALS = 15


@dataclasses.dataclass(frozen=True)
class Lists:
    """One list of numbers a row, of any length.

    Attributes:
        flat: (M,) the numbers of all rows behind one another; NaN where one is null.
        sizes: (N,) how many each row has; 0 where it has none.
    """

    flat: FloatArray
    sizes: IntArray

    def reduce(self, operation: np.ufunc) -> FloatArray:
        """(N,) the reduction of each row's numbers (`np.add`, `np.minimum`); NaN without any."""
        out = np.full(self.sizes.size, np.nan)
        rows = np.flatnonzero(self.sizes)
        if rows.size:
            starts = np.cumsum(self.sizes)[rows] - self.sizes[rows]
            out[rows] = operation.reduceat(self.flat, starts)
        return out

    def mean(self) -> FloatArray:
        """(N,) the mean of each row's numbers; NaN without any."""
        return self.reduce(np.add) / np.maximum(self.sizes, 1)

    def spread(self) -> FloatArray:
        """(N,) the standard deviation (ddof 1) of each row's numbers; NaN with fewer than two."""
        off = Lists((self.flat - np.repeat(self.mean(), self.sizes)) ** 2, self.sizes)
        variance = off.reduce(np.add) / np.where(self.sizes > 1, self.sizes - 1, np.nan)
        return np.sqrt(variance)

    def top_two(self) -> tuple[FloatArray, FloatArray]:
        """(N,) the largest and (N,) the second largest number; -inf for a second that is not there."""
        top = self.reduce(np.maximum)
        owner = np.repeat(np.arange(self.sizes.size), self.sizes)
        at = np.flatnonzero(self.flat == top[owner])
        first = at[np.unique(owner[at], return_index=True)[1]]
        rest = self.flat.copy()
        rest[first] = -np.inf
        return top, Lists(rest, self.sizes).reduce(np.maximum)


class Evidence:
    """What some predictions carry, each column found and checked once.

    Args:
        predictions: records of one model. Their labels are never looked at.
    """

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        self._present = set(predictions.columns.column_names)

    def __len__(self) -> int:
        return len(self.predictions)

    def has(self, need: str) -> bool:
        """Whether the records have a kind of evidence.

        Args:
            need: `confidence`, `prompt_id`, `event` (the kind), `claim` (an event, or an answer) or
                a key of `COLUMNS`, for which others may serve (`INSTEAD`).

        Returns:
            True where its column is there; what it holds is another question.
        """
        event = self.predictions.kind == "event"
        if need == "prompt_id":
            return self.predictions.prompt_id is not None
        if need in ("confidence", "event"):
            return event or need == "confidence"
        if need in ("claim", "cluster") and (event or self._name("answer") is not None):
            return True
        if need == "answer" and event:  # its answer is the stated probability
            return False
        ways = () if need == "claim" else ((need,), *INSTEAD.get(need, ()))
        return any(all(self._name(column) is not None for column in way) for way in ways)

    @cached_property
    def stated(self) -> FloatArray:
        """(N,) stated confidence in the claim, NaN where none is usable.

        For an event the claim is [p >= 1/2] (to 1e-9), and its confidence max(p, 1 - p).
        """
        p = self.predictions.confidence
        if self.predictions.kind == "answer":
            return p.copy()
        return np.where(p >= 0.5, p, np.round(1.0 - p, COMPLEMENT_DECIMALS))

    @cached_property
    def claims_event(self) -> FloatArray:
        """(N,) 1 where an event is claimed, 0 where its absence is; NaN without a claim."""
        p = self.predictions.confidence
        if self.predictions.kind == "answer":
            return np.full(p.size, np.nan)
        return np.where(np.isnan(p), np.nan, p >= 0.5 - HALF_TOLERANCE)

    @cached_property
    def samples(self) -> Samples:
        """The samples of each prompt, and which of them agree."""
        if self.predictions.kind == "event":
            return self._samples(_codes(self.claims_event))
        return self._samples(_keys(self._column("answer"), len(self)))

    @cached_property
    def clusters(self) -> Samples:
        """The samples of each prompt by semantic cluster, or by answer where there are none."""
        column = self._column("cluster")
        if column is None:
            return self.samples
        codes = as_strings(column).dictionary_encode().indices.fill_null(-1)
        return self._samples(codes.to_numpy(zero_copy_only=False).astype(np.int64))

    @cached_property
    def tokens(self) -> Lists:
        """Log-probabilities (nats) of the answer's tokens, none below `LEAST_LOGPROB`."""
        found = self._lists("token_logprobs", -np.inf, ROUNDING, "log-probabilities (at most 0)")
        if found is None:
            found = self._lists("token_probs", 0.0, 1.0, "probabilities in [0, 1]")
            if found is None:
                return self._none()
            with np.errstate(divide="ignore"):
                found = Lists(np.log(found.flat), found.sizes)
        return Lists(np.clip(found.flat, LEAST_LOGPROB, 0.0), found.sizes)

    @cached_property
    def token_entropies(self) -> Lists:
        """Entropies (nats) of the distributions that the answer's tokens were drawn from."""
        found = self._lists("token_entropies", 0.0, np.finfo(float).max, "finite entropies >= 0")
        return self._none() if found is None else found

    @cached_property
    def token_gaps(self) -> Lists:
        """p(most likely token) - p(second) at each of the answer's tokens."""
        for name, logs in (("top_logprobs", True), ("top_probs", False)):
            if self._name(name) is not None:
                return self._nested_gaps(name, logs)
        what = "log-probabilities (at most 0)"
        first = self._lists("top1_logprobs", -np.inf, ROUNDING, what)
        second = self._lists("top2_logprobs", -np.inf, ROUNDING, what)
        if first is None or second is None:
            return self._none()
        if (first.sizes != second.sizes).any():
            i = int((first.sizes != second.sizes).argmax())
            raise InvalidInputError(
                f"top2_logprobs: expected as many values as in top1_logprobs, {first.sizes[i]}, got "
                f"{second.sizes[i]} in row {i + 1}; give both for every token"
            )
        one, two = np.exp(np.minimum(first.flat, 0.0)), np.exp(np.minimum(second.flat, 0.0))
        return Lists(np.abs(one - two), first.sizes)

    @cached_property
    def classes(self) -> Lists:
        """Probabilities of the classes, from `probs`, else the softmax of `logits`."""
        found = self._lists("probs", -SUM_TOLERANCE, 1.0 + SUM_TOLERANCE, "probabilities in [0, 1]")
        if found is not None:
            total = found.reduce(np.add)
            bad = np.abs(total - 1.0) > SUM_TOLERANCE
            if bad.any():
                i = int(bad.argmax())
                raise InvalidInputError(
                    f"{self._name('probs')}: expected class probabilities that sum to 1, got a sum "
                    f"of {total[i]:g} in row {i + 1}; logits belong into a column named 'logits'"
                )
            return Lists(np.clip(found.flat, 0.0, 1.0), found.sizes)
        found = self._lists("logits", -np.inf, np.finfo(float).max, "logits below infinity")
        if found is None:
            return self._none()
        top = np.repeat(found.reduce(np.maximum), found.sizes)
        with np.errstate(invalid="ignore"):  # a row of nothing but -inf has no softmax
            odds = Lists(np.exp(found.flat - top), found.sizes)
        return Lists(odds.flat / np.repeat(odds.reduce(np.add), odds.sizes), odds.sizes)

    @cached_property
    def judges(self) -> Lists:
        """Scores of the judges, in any unit that is the same for all rows; a number is of one judge."""
        most = np.finfo(float).max
        found = self._lists("judge_scores", -most, most, "finite numbers", one=True)
        return self._none() if found is None else found

    @cached_property
    def texts(self) -> pa.Array | pa.ChunkedArray:
        """(N,) raw outputs; null where there is none."""
        return self._texts("text")

    @cached_property
    def answers(self) -> pa.Array | pa.ChunkedArray:
        """(N,) answers; null where there is none, and for events, whose answer is a number."""
        if self.predictions.kind == "event":
            return pa.nulls(len(self), pa.string())
        return self._texts("answer")

    @cached_property
    def cues(self) -> Cues:
        """Hedges, assertions and words of each text."""
        return count_cues(self.texts)

    def share(self, name: str) -> FloatArray:
        """One number in [0, 1] a row; true and false are 1 and 0.

        Args:
            name: a key of `COLUMNS`.

        Returns:
            (N,) numbers, NaN where a row has none.

        Raises:
            InvalidInputError: the column holds no numbers, or one outside [0, 1].
        """
        column = self._column(name)
        if column is None:
            return np.full(len(self), np.nan)
        if is_text(column.type):
            values = spelled_numbers(column, str(self._name(name)), "numbers in [0, 1]")
        elif _is_number(column.type) or pa.types.is_boolean(column.type):
            values = _floats(column)
        else:
            raise self._wrong_type(name, "numbers in [0, 1]", column.type)
        bad = (values < 0.0) | (values > 1.0)
        if bad.any():
            i = int(bad.argmax())
            hint = "; percentages must be divided by 100" if 1.0 < values[i] <= 100.0 else ""
            raise InvalidInputError(
                f"{self._name(name)}: expected numbers in [0, 1], got {values[i]:g} in row "
                f"{i + 1}{hint or '; correct it'}"
            )
        return values

    def _name(self, name: str) -> str | None:
        return next((n for n in COLUMNS[name] if n in self._present), None)

    def _column(self, name: str) -> Any:
        found = self._name(name)
        if found is None:
            return None
        column: Any = self.predictions.columns[found].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([])
        kind = column.type
        return column.dictionary_decode() if pa.types.is_dictionary(kind) else column

    def _texts(self, name: str) -> pa.Array | pa.ChunkedArray:
        found = self._name(name)
        if found is None:
            return pa.nulls(len(self), pa.string())
        return as_strings(self.predictions.columns[found])

    def _samples(self, members: IntArray) -> Samples:
        return Samples.of(self.predictions.clusters, members)

    def _none(self) -> Lists:
        return Lists(np.zeros(0), np.zeros(len(self), np.int64))

    def _wrong_type(self, name: str, what: str, kind: Any) -> InvalidInputError:
        return InvalidInputError(
            f"{self._name(name)}: expected {what}, got a column of type {kind}; convert it, or "
            "leave the column out"
        )

    def _lists(
        self, name: str, low: float, high: float, what: str, *, one: bool = False
    ) -> Lists | None:
        """The lists of a column whose numbers must lie in [low, high], or None without the column.

        With `one`, plain numbers are lists of one.
        """
        column = self._column(name)
        if column is None:
            return None
        if is_text(column.type):
            column = spelled_lists(column, str(self._name(name)), what)
        if pa.types.is_null(column.type):
            return self._none()
        if one and _is_number(column.type):
            values = _floats(column)
            there = ~np.isnan(values)
            lists = Lists(values[there], there.astype(np.int64))
            self._check(name, lists, low, high, what)
            return lists
        if not (_is_list(column.type) and _is_number(column.type.value_type)):
            raise self._wrong_type(name, f"lists of {what}", column.type)
        lists = _flattened(column)
        self._check(name, lists, low, high, what)
        return lists

    def _check(self, name: str, lists: Lists, low: float, high: float, what: str) -> None:
        bad = (lists.flat < low) | (lists.flat > high)
        if bad.any():
            at = int(bad.argmax())
            row = int(np.searchsorted(np.cumsum(lists.sizes), at, side="right"))
            raise InvalidInputError(
                f"{self._name(name)}: expected {what}, got {lists.flat[at]:g} in row {row + 1}; "
                "correct it, or leave the column out"
            )

    def _nested_gaps(self, name: str, logs: bool) -> Lists:
        """Gaps from the two most likely tokens at each place; a second that is not given has p = 0."""
        what = "log-probabilities (at most 0)" if logs else "probabilities in [0, 1]"
        column = self._column(name)
        if is_text(column.type):
            column = spelled_lists(column, str(self._name(name)), f"[first, second] {what}")
        if pa.types.is_null(column.type):
            return self._none()
        kind = column.type
        inner = kind.value_type if _is_list(kind) else None
        if inner is None or not (
            pa.types.is_null(inner) or (_is_list(inner) and _is_number(inner.value_type))
        ):
            raise self._wrong_type(name, f"a list of [first, second] {what} for each token", kind)
        outer = column.cast(pa.large_list(inner))
        sizes = _sizes(outer)
        if pa.types.is_null(inner):
            return Lists(np.full(int(sizes.sum()), np.nan), sizes)
        pairs = _flattened(outer.flatten())
        owner = Lists(pairs.flat, _summed(pairs.sizes, sizes))
        self._check(name, owner, -np.inf if logs else 0.0, ROUNDING if logs else 1.0, what)
        one, two = pairs.top_two()
        if logs:
            return Lists(np.exp(np.minimum(one, 0.0)) - np.exp(np.minimum(two, 0.0)), sizes)
        return Lists(one - np.maximum(two, 0.0), sizes)


def _is_number(kind: Any) -> bool:
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    return number or pa.types.is_null(kind)


def _is_list(kind: Any) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _floats(column: Any) -> FloatArray:
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _sizes(column: Any) -> IntArray:
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return sizes.astype(np.int64)


def _flattened(column: Any) -> Lists:
    # Of lists of a fixed size, null rows keep values in memory that are not theirs.
    lists = column.cast(pa.large_list(pa.float64()), safe=False)
    return Lists(_floats(lists.flatten()), _sizes(lists))


def _summed(inner: IntArray, outer: IntArray) -> IntArray:
    """How many numbers the lists of each row have together."""
    ends = np.concatenate([[0], np.cumsum(inner)])
    stops = np.cumsum(outer)
    return ends[stops] - ends[stops - outer]


def _codes(values: FloatArray) -> IntArray:
    return np.where(np.isnan(values), -1.0, values).astype(np.int64)


def _keys(column: Any, n: int) -> IntArray:
    """Codes of the answers, equal where they say the same; -1 without an answer."""
    if column is None:
        return np.full(n, -1, np.int64)
    encoded = as_strings(column).dictionary_encode()
    codes: dict[str | None, int] = {None: -1}
    names = cast(list[str], encoded.dictionary.to_pylist())
    same = [codes.setdefault(answer_key(name), len(codes) - 1) for name in names]
    lookup = np.array([*same, -1], np.int64)
    return lookup[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
