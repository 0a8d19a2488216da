"""Arrow columns as confidences, labels and weights: whole batches at once, no row by row.

Everything that is odd in a value either becomes a status of its record (missing, unparsable, out of
range) or one error that names the row. Which of the two: a value that says nothing is counted; a
value that says the column is not what it was taken for stops the reading.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.elicitation import number
from levelhead.errors import RecordError
from levelhead.readers._base import ReadLog
from levelhead.readers._columns import ROUNDING, as_label
from levelhead.readers._files import one_line, show
from levelhead.readers._remote import AnyPath
from levelhead.records import STATUSES

__all__ = [
    "NOTHING",
    "ConfidenceColumn",
    "Place",
    "class_confidence",
    "decoded",
    "is_list",
    "is_text",
    "labels",
    "weights",
    "word_codes",
]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

StatusArray = npt.NDArray[np.int8]

MISSING = STATUSES.index("missing")
UNPARSABLE = STATUSES.index("unparsable")
OUT_OF_RANGE = STATUSES.index("out_of_range")

SUM_TOLERANCE = 1e-2
"""How far class probabilities may sum from 1: files round them to two or three decimals."""

NOTHING = frozenset({"", "nan", "none", "null", "n/a", "na"})
"""Words that say nothing."""

_INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a batch stands in its file.

    Attributes:
        path: the file.
        first: 1-based row of the batch's first row.
        lines: 1-based line of every row, where rows are not simply numbered.
        samples: 1-based place of every row in the lists of its line, where these were unfolded.
    """

    path: AnyPath
    first: int = 1
    lines: IntArray | None = None
    samples: IntArray | None = None

    def row(self, i: int) -> int:
        """The 1-based row or line in the file of row `i` of the batch."""
        return self.first + i if self.lines is None else int(self.lines[i])

    def locations(self, n: int) -> Any:
        """(N,) strings `path:row`, or `path:row, sample 2`, for the first `n` rows of the batch."""
        texts = pc.binary_join_element_wise(
            show(self.path), pa.array(self.numbers(n)).cast(pa.string()), ":"
        )
        if self.samples is None:
            return texts
        samples = pa.array(self.samples[:n]).cast(pa.string())
        return pc.binary_join_element_wise(texts, samples, ", sample ")

    def numbers(self, n: int) -> IntArray:
        """(N,) 1-based rows or lines in the file of the first `n` rows of the batch."""
        return np.arange(self.first, self.first + n) if self.lines is None else self.lines

    def error(self, problem: str, i: int | None = None) -> RecordError:
        """An error about row `i`, or about the file."""
        if i is not None and self.samples is not None:
            problem = f"sample {self.samples[i]}: {problem}"
        return RecordError(one_line(problem), show(self.path), None if i is None else self.row(i))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds strings, encoded as they may be."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers (true and false are none)."""
    if pa.types.is_dictionary(kind):
        return is_number(kind.value_type)
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)


def decoded(column: Any) -> Any:
    """The column without dictionary encoding, views and raw bytes that are text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if str(kind) == "string_view" or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.string())
    return column


class ConfidenceColumn:
    """The confidence column of one file; remembers across batches whether fractions were seen.

    Args:
        name: the column.
        percent: whether the numbers are percentages.
        log: takes what is odd.
    """

    def __init__(self, name: str, percent: bool, log: ReadLog) -> None:
        self.name, self.percent, self.log = name, percent, log
        self.usable = self.unusable = 0
        self._fraction: tuple[float, int] | None = None

    def convert(self, column: Any, place: Place) -> tuple[FloatArray, StatusArray]:
        """Confidences and status codes of one batch.

        Args:
            column: Arrow array.
            place: where the batch stands.

        Returns:
            (N,) float64 in [0, 1], NaN where there is none, and (N,) codes into `STATUSES`.

        Raises:
            RecordError: the column holds no numbers, or numbers that are no fractions.
        """
        column = decoded(column)
        kind = column.type
        if is_text(kind):
            values, status, scaled = _numbers_of(column)
        elif pa.types.is_null(kind):
            values, status, scaled = np.full(len(column), np.nan), None, None
        elif is_number(kind):
            values, status, scaled = _floats(column), None, None
        else:
            raise place.error(
                f"{self.name}: expected numbers in [0, 1], got a column of type {kind}; "
                "name the column of confidences with --confidence"
            )
        if status is None and not self.percent and values.size:
            low, high = values.min(), values.max()  # NaN propagates through both
            if low >= 0.0 and high <= 1.0:
                self.usable += values.size
                self._remember(values, place)
                return values, np.zeros(values.size, np.int8)
        status = np.zeros(values.size, np.int8) if status is None else status
        values = self._checked(values.copy(), status, scaled, place)
        ok = int(np.count_nonzero(status == 0))
        self.usable, self.unusable = self.usable + ok, self.unusable + values.size - ok
        return values, status

    def finish(self, path: AnyPath) -> None:
        """Raises:
        RecordError: the whole file held not one usable confidence.
        """
        if self.usable == 0 and self.unusable:
            raise RecordError(
                f"{self.name}: expected numbers in [0, 1], got no usable value in "
                f"{self.unusable:,} rows; name the column of confidences with --confidence, or the "
                "column of model outputs with --text",
                show(path),
            )

    def _checked(
        self, values: FloatArray, status: StatusArray, scaled: BoolArray | None, place: Place
    ) -> FloatArray:
        status[np.isnan(values) & (status == 0)] = MISSING
        infinite = np.isinf(values) & (status == 0)
        status[infinite] = OUT_OF_RANGE
        values[status != 0] = np.nan
        stated = status == 0 if scaled is None else (status == 0) & ~scaled
        if self.percent:
            share = values[stated]
            if share.size and share.max() <= 1.0 and share.max() > 0.0:
                self.log.warn(
                    f"{show(place.path)}: read as percentages, but no confidence is above 1; "
                    "leave --percent out if they are fractions"
                )
            values[stated] /= 100.0
        outside = stated & ~((values >= 0.0) & (values <= 1.0))
        if outside.any():
            beyond = outside & ((values < -ROUNDING) | (values > 1.0 + ROUNDING))
            if beyond.any():
                self._refuse(values, stated, int(beyond.argmax()), place)
            values[outside] = np.clip(values[outside], 0.0, 1.0)
        self._remember(np.where(stated, values, 0.0), place)
        return values

    def _refuse(self, values: FloatArray, stated: BoolArray, i: int, place: Place) -> NoReturn:
        value = float(values[i])
        if self.percent:
            raise place.error(
                f"{self.name}: expected percentages in [0, 100], got {value * 100:g}; correct the "
                "value or name another column with --confidence",
                i,
            )
        finite = values[stated]
        self._remember(np.where(stated, values, 0.0), place)
        got = f"{self.name}: expected values in [0, 1], got {value:g} at row {place.row(i)}"
        if finite.min() >= 0.0 and finite.max() <= 100.0:
            if self._fraction is not None:
                share, row = self._fraction
                hint = (
                    f" but {share:g} at row {row}: fractions and percentages are mixed; "
                    "bring them to one scale"
                )
            elif finite.max() <= 10.0 and (finite == np.floor(finite)).all():
                hint = (
                    f"; values from {finite.min():g} to {finite.max():g} look like a scale, not a "
                    "probability; rescale them to [0, 1]"
                )
            else:
                hint = "; percentages must be divided by 100: pass --percent"
        elif finite.max() <= 0.0:
            hint = "; log-probabilities must go through exp first"
        else:
            hint = "; these are no probabilities: name another column with --confidence"
        raise place.error(got + hint, i)

    def _remember(self, values: FloatArray, place: Place) -> None:
        """The first value strictly between 0 and 1, which percentages hardly ever hold."""
        if self._fraction is None and values.size:
            found = (values > 0.0) & (values < 1.0)
            i = int(found.argmax())
            if found[i]:
                self._fraction = float(values[i]), place.row(i)


def labels(column: Any, name: str, place: Place) -> FloatArray:
    """Correctness or outcomes of one batch.

    Args:
        column: Arrow array of true/false, 0/1 or words that `as_label` knows.
        name: the column.
        place: where the batch stands.

    Returns:
        (N,) float64 in {0, 1}, NaN where unknown.

    Raises:
        RecordError: any other value, or a type that holds no labels.
    """
    column = decoded(column)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if is_text(kind):
        codes, words = word_codes(column)
        values = np.full(len(words) + 1, np.nan)
        for code, word in enumerate(words):
            try:
                found = as_label(word, name=name, path="", line=None)
            except RecordError as error:
                raise place.error(error.problem, int((codes == code).argmax())) from error
            values[code] = np.nan if found is None else found
        return values[codes]
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not is_number(kind):
        raise place.error(
            f"{name}: expected 0 or 1, got a column of type {kind}; name the column that says "
            "right or wrong with --correct (or what happened with --outcome)"
        )
    values = _floats(column)
    good = (values == 0.0) | (values == 1.0)
    if not good.all():
        bad = ~good & ~np.isnan(values)
        if bad.any():
            i = int(bad.argmax())
            try:
                as_label(float(values[i]), name=name, path="", line=None)
            except RecordError as error:
                raise place.error(error.problem, i) from error
    return values


def weights(column: Any, name: str, place: Place) -> FloatArray:
    """Weights of one batch.

    Args:
        column: Arrow array of numbers.
        name: the column.
        place: where the batch stands.

    Returns:
        (N,) finite float64 >= 0.

    Raises:
        RecordError: a weight is missing, negative, not finite or no number.
    """
    column = decoded(column)
    if is_text(column.type):
        values = _numbers_of(column)[0]
    elif is_number(column.type):
        values = _floats(column)
    else:
        raise place.error(
            f"{name}: expected weights, got a column of type {column.type}; correct it"
        )
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        i = int(bad.argmax())
        raise place.error(
            f"{name}: expected a finite weight >= 0, got {values[i]:g}; correct the value", i
        )
    return values


def class_confidence(
    column: Any, target: Any, *, name: str, target_name: str, logits: bool, place: Place
) -> tuple[FloatArray, StatusArray, FloatArray]:
    """Confidence and correctness of the most probable class.

    confidence = max_k p_k (of softmax(logits) where they are logits); correct = argmax_k p_k ==
    target

    Args:
        column: Arrow lists of numbers, one number per class.
        target: Arrow integers, the index of the right class.
        name: column of the lists.
        target_name: column of the indices.
        logits: whether the numbers are logits.
        place: where the batch stands.

    Returns:
        (N,) confidences, (N,) status codes, (N,) labels. A row without numbers is `missing`, one
        with NaN among them `unparsable`; a tie for the maximum goes to the first class.

    Raises:
        RecordError: no probabilities, or a target that is no index of a class.
    """
    column, target = _lists(column, name, place), decoded(target)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    flat = _floats(column.flatten())
    n = len(sizes)
    confidence, status, best = np.full(n, np.nan), np.full(n, MISSING, np.int8), np.full(n, -1)
    rows = np.flatnonzero(sizes)
    if (sizes[rows] < 2).any():
        i = int(rows[(sizes[rows] < 2).argmax()])
        raise place.error(f"{name}: expected at least 2 classes, got {sizes[i]}; correct it", i)
    if rows.size:
        size = sizes[rows].astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(size)[:-1]])
        top = np.maximum.reduceat(flat, starts)
        position = np.arange(flat.size) - np.repeat(starts, size)
        position[flat != np.repeat(top, size)] = np.iinfo(np.int64).max
        best[rows] = np.minimum.reduceat(position, starts)
        if logits:
            with np.errstate(invalid="ignore"):
                top = 1.0 / np.add.reduceat(np.exp(flat - np.repeat(top, size)), starts)
        else:
            _check_probabilities(flat, starts, size, rows, name, place)
        confidence[rows] = np.minimum(top, 1.0)
        status[rows] = np.where(np.isnan(top), UNPARSABLE, 0)
    return confidence, status, _hits(best, sizes, target, target_name, place)


def _check_probabilities(
    flat: FloatArray, starts: IntArray, size: IntArray, rows: IntArray, name: str, place: Place
) -> None:
    total = np.add.reduceat(flat, starts)
    low = np.minimum.reduceat(flat, starts)
    bad = (np.abs(total - 1.0) > SUM_TOLERANCE * np.maximum(1.0, size / 10.0)) | (low < -ROUNDING)
    if bad.any():
        j = int(bad.argmax())
        raise place.error(
            f"{name}: expected class probabilities that sum to 1, got a sum of {total[j]:g} and a "
            f"least value of {low[j]:g}; logits belong into a column named 'logits'",
            int(rows[j]),
        )


def _hits(best: IntArray, sizes: IntArray, target: Any, name: str, place: Place) -> FloatArray:
    if is_text(target.type):
        index = _numbers_of(target)[0]
    elif is_number(target.type):
        index = _floats(target)
    elif pa.types.is_null(target.type):
        index = np.full(len(target), np.nan)
    else:
        raise place.error(f"{name}: expected class indices, got a column of type {target.type}")
    known = ~np.isnan(index)
    bad = known & ~((index >= 0) & (index == np.floor(index)) & ((index < sizes) | (sizes == 0)))
    if bad.any():
        i = int(bad.argmax())
        raise place.error(
            f"{name}: expected the index of a class, 0 to {sizes[i] - 1}, got {index[i]:g}; name "
            "the column of indices with --gold",
            i,
        )
    return np.where(known & (best >= 0), (best == index).astype(np.float64), np.nan)


def _lists(column: Any, name: str, place: Place) -> Any:
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        column = column.cast(pa.list_(kind.value_type))
    if not is_list(kind) or not is_number(column.type.value_type):
        raise place.error(
            f"{name}: expected a list of numbers in every row, got a column of type {kind}; "
            "name the column of confidences with --confidence"
        )
    return column


def _floats(column: Any) -> FloatArray:
    """Numbers as float64, null as NaN, without a copy where there is nothing to change."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float64, copy=False)


def word_codes(column: Any) -> tuple[IntArray, list[str]]:
    """(N,) code of each string, -1 for null, and the distinct strings."""
    encoded = column.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), encoded.dictionary.to_pylist()


def _numbers_of(column: Any) -> tuple[FloatArray, StatusArray, BoolArray]:
    """Numbers in strings: values, status codes, and which of them a percent sign has scaled."""
    try:
        plain_numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # one of them is no plain number: look at each
        pass
    else:
        n = len(column)
        return plain_numbers.copy(), np.zeros(n, np.int8), np.zeros(n, np.bool_)
    codes, words = word_codes(column)
    values = np.full(len(words) + 1, np.nan)
    status = np.zeros(len(words) + 1, np.int8)
    scaled = np.zeros(len(words) + 1, np.bool_)
    status[-1] = MISSING
    for code, word in enumerate(words):
        plain = word.strip().casefold()
        found, sign = number(plain)
        if plain in NOTHING:
            status[code] = MISSING
        elif plain in _INFINITE:
            status[code] = OUT_OF_RANGE
        elif found is None:
            status[code] = UNPARSABLE
        elif sign:
            scaled[code] = True
            values[code] = found / 100.0
            if not 0.0 <= found <= 100.0:
                values[code], status[code] = np.nan, OUT_OF_RANGE
        else:
            values[code] = found
    return values[codes], status[codes], scaled[codes]
