"""Samples of two models as counts of right ones per problem, as many of each problem and model."""

# pyarrow ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from levelhead._arrays import ArrayLike, BoolArray, FloatArray, IntArray, unmasked, vector
from levelhead._text import percent, plural
from levelhead.errors import InvalidInputError
from levelhead.readers import answer_key
from levelhead.records import as_ids, as_strings

__all__ = ["Paired", "Samples", "paired"]

FEW = 30
"""Problems below which resampled ones are doubtful."""

ALIKE = 6.0
"""Standard deviations, and so many neighbors, by which samples called alike lie from chance."""

ORDERED = 1 << 18
"""Samples of a model whose order is looked at."""

MAX_NAMED = 3
"""Prompts that a warning names."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples of one model, in any order.

    Attributes:
        prompts: (N,) ids of the problems: any labels, or an Arrow array of texts; None: no id.
        correct: (N,) 1 right, 0 wrong, NaN no label.
        answers: (N,) given answers as texts, None where a sample has none; or None altogether.
        name: of the model.

    Example:
        >>> Samples.from_matrix([[1, 0], [0, 0]]).correct
        array([1., 0., 0., 0.])
    """

    prompts: Any
    correct: ArrayLike
    answers: Any = None
    name: str = "model"

    @classmethod
    def from_matrix(
        cls, correct: ArrayLike, answers: Sequence[Sequence[str | None]] | None = None, *,
        name: str = "model",
    ) -> Samples:  # fmt: skip
        """Samples of a table of problems: row p is the problem `p`.

        Args:
            correct: (P, n) 1 right, 0 wrong, NaN no label.
            answers: (P, n) given answers, or None.
            name: of the model.

        Returns:
            The samples.

        Raises:
            InvalidInputError: it has no two dimensions.
        """
        table = unmasked("correct", correct)
        if table.ndim != 2:
            raise InvalidInputError(f"correct: expected shape (P, n), got {table.shape}")
        problems = pa.array(np.arange(table.shape[0])).cast(pa.string())
        flat = None if answers is None else [one for row in answers for one in row]
        return cls(
            problems.take(pa.array(np.repeat(np.arange(table.shape[0]), table.shape[1]))),
            vector("correct", table.ravel()),
            flat,
            name,
        )


@dataclasses.dataclass(frozen=True)
class Paired:
    """Counts of the problems that both models have.

    Attributes:
        n: samples of each problem and model.
        base: (P,) right ones of the base model.
        tuned: (P,) right ones of the tuned model.
        used: the counts that occur, ascending, of each model.
        places: (P,) which of them each problem has, of each model.
        entropy: (2, Q) of the answers to the problems that have some, in nats; None without answers.
        max_share: (2, Q) of the most frequent answer.
        warnings: what was odd.
        notes: decisions.
        alike: whether neighboring samples of a problem are so alike that they are not independent.
    """

    n: int
    base: IntArray
    tuned: IntArray
    used: tuple[IntArray, IntArray]
    places: tuple[IntArray, IntArray]
    entropy: FloatArray | None
    max_share: FloatArray | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    alike: bool = False


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of one model that have a prompt: its code, whether right, and the code of the answer."""

    code: IntArray
    right: BoolArray
    answer: IntArray | None

    def take(self, keep: BoolArray) -> _Rows:
        answer = None if self.answer is None else self.answer[keep]
        return _Rows(self.code[keep], self.right[keep], answer)


def paired(base: Samples, tuned: Samples, *, samples: int | None, seed: int) -> Paired:
    """The problems that both models have, with as many samples of each.

    Args:
        base: samples of the model before.
        tuned: samples of the model after.
        samples: how many of each problem; the fewest that one has where it is None.
        seed: of the choice where a problem has more.

    Returns:
        The counts.

    Raises:
        InvalidInputError: no problem is shared, or none has so many samples, or no label is known.
    """
    warnings: list[str] = []
    notes: list[str] = []
    coded = [_coded(one, role, warnings) for one, role in ((base, "base"), (tuned, "tuned"))]
    rows = _shared(coded, (base, tuned), warnings)
    problems = int(max(int(one.code.max()) for one in rows)) + 1
    have = [np.bincount(one.code, minlength=problems) for one in rows]
    fewest = np.minimum(*have)
    n = int(fewest.min()) if samples is None else samples
    enough = fewest >= n
    if not enough.any():
        raise InvalidInputError(
            f"samples: expected at most {fewest.max()}, the most that a shared problem has in both "
            f"models, got {n}; ask for fewer"
        )
    if not enough.all():
        left = int(np.count_nonzero(~enough))
        warnings.append(f"{plural(left, 'problem')} with fewer than {plural(n, 'sample')} left out")
        place = np.cumsum(enough) - 1
        rows = [one.take(enough[one.code]) for one in rows]
        rows = [dataclasses.replace(one, code=place[one.code]) for one in rows]
        problems = int(np.count_nonzero(enough))
    rng = np.random.default_rng([seed, 1])
    rows = _thinned(rows, problems, n, fewest[enough], rng, warnings)
    _odd_sizes(problems, n, warnings)
    alike = [_alike(one, n) for one in rows]
    if any(alike):
        who = [model.name for model, found in zip((base, tuned), alike, strict=True) if found]
        warnings.append(
            f"neighboring samples of a problem are alike in {' and '.join(who)}, as copies, samples "
            "with one beginning and sorted ones are: nothing tells how unlucky such samples can be, so "
            "EXPAND is not said; draw each sample by itself, and keep their order"
        )
    counts = [np.bincount(one.code[one.right], minlength=problems) for one in rows]
    entropy, share = _spread(rows, problems, rng, notes)
    found = [np.unique(c, return_inverse=True) for c in counts]
    return Paired(
        n=n,
        base=counts[0],
        tuned=counts[1],
        used=(found[0][0], found[1][0]),
        places=(found[0][1].reshape(-1), found[1][1].reshape(-1)),
        entropy=entropy,
        max_share=share,
        warnings=tuple(warnings),
        notes=tuple(notes),
        alike=any(alike),
    )


def _coded(
    one: Samples, role: str, warnings: list[str]
) -> tuple[pa.Array, IntArray, FloatArray, pa.Array | None]:
    """(names of the problems, (N,) which one, labels, answers) of the rows that name a problem."""
    label = vector(f"{role}.correct", one.correct)
    if one.prompts is None:
        raise InvalidInputError(
            f"{role}: expected a prompt id for each sample, as several samples of a prompt are what "
            "is counted, got none; name their column with --prompt-id"
        )
    ids = as_ids(one.prompts)
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    answers: Any = None if one.answers is None else as_strings(one.answers)
    answers = answers.combine_chunks() if isinstance(answers, pa.ChunkedArray) else answers
    for name, column in (("prompts", ids), ("answers", answers)):
        if column is not None and len(column) != label.size:
            raise InvalidInputError(
                f"{role}.{name}: expected {label.size} values, one for each sample, got {len(column)}"
            )
    bad = ~((label == 0.0) | (label == 1.0) | np.isnan(label))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"{role}.correct: expected 1, 0 or NaN for unknown, got {label[i]} at index {i}"
        )
    if np.isnan(label).all():
        raise InvalidInputError(
            f"{role}: expected samples with a known label, got {label.size} of which none has one; "
            "name the column with --correct, or the right answers with --gold"
        )
    encoded = ids.dictionary_encode()
    if encoded.null_count == label.size:
        raise InvalidInputError(
            f"{role}: expected a prompt id for each sample, got {label.size} without; name their "
            "column with --prompt-id"
        )
    if encoded.null_count:
        warnings.append(
            f"{role}: {plural(encoded.null_count, 'sample')} without a prompt id left out: nothing "
            "says of which problem"
        )
    code = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    named = code >= 0
    if not named.all():
        code, label = code[named], label[named]
        answers = None if answers is None else answers.filter(pa.array(named))
    return encoded.dictionary, code, label, answers


def _shared(
    coded: list[tuple[pa.Array, IntArray, FloatArray, pa.Array | None]],
    models: tuple[Samples, Samples],
    warnings: list[str],
) -> list[_Rows]:
    """The rows of the problems that both have; the others, and missing labels, are said aloud."""
    names = [one[0].to_pylist() for one in coded]
    place = {name: i for i, name in enumerate(sorted(set(names[0]) & set(names[1])))}
    if not place:
        raise InvalidInputError(
            "base and tuned: expected prompts that both have, got none, such as "
            f"{names[0][0]!r} and {names[1][0]!r}; give both the same ids with --prompt-id"
        )
    answered = all(one[3] is not None for one in coded)
    keys: dict[str, int] = {}
    rows: list[_Rows] = []
    for (_, code, label, answers), own, model, role in zip(
        coded, names, models, ("base", "tuned"), strict=True
    ):
        only = [name for name in own if name not in place]
        if only:
            listed = ", ".join(only[:MAX_NAMED]) + (", ..." if len(only) > MAX_NAMED else "")
            warnings.append(
                f"{plural(len(only), 'prompt')} only in {role} ({model.name}) left out: {listed}"
            )
        moved = np.array([place.get(name, -1) for name in own], dtype=np.int64)[code]
        keep = moved >= 0
        unknown = int(np.count_nonzero(np.isnan(label[keep])))
        if unknown:
            share = percent(unknown / int(np.count_nonzero(keep)))
            warnings.append(
                f"{role} ({model.name}): {plural(unknown, 'sample')} ({share}) without a label, such "
                "as answers that could not be parsed, count as wrong"
            )
        answer = _answer_codes(answers, keys)[keep] if answered and answers is not None else None
        rows.append(_Rows(moved[keep], label[keep] == 1.0, answer))
    return rows


def _answer_codes(answers: pa.Array, keys: dict[str, int]) -> IntArray:
    """(N,) which answer, by what `answer_key` compares; -1 where there is none."""
    encoded = answers.dictionary_encode()
    said = [answer_key(text) for text in encoded.dictionary.to_pylist()]
    codes = [-1 if key is None else keys.setdefault(key, len(keys)) for key in said]
    place = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    return np.array([*codes, -1], dtype=np.int64)[place]


def _thinned(
    rows: list[_Rows],
    problems: int,
    n: int,
    fewest: IntArray,
    rng: np.random.Generator,
    warnings: list[str],
) -> list[_Rows]:
    """n samples of each problem and model, chosen at random where there are more."""
    out: list[_Rows] = []
    for one in rows:
        surplus = one.code.size - n * problems
        keep = _some(one.code, np.full(problems, n), rng) if surplus else None
        out.append(one if keep is None else one.take(keep))
    unused = sum(a.code.size - b.code.size for a, b in zip(rows, out, strict=True))
    if unused:
        hint = ""
        typical = int(np.median(fewest))
        if typical > n:
            less = plural(int(np.count_nonzero(fewest < typical)), "problem")
            hint = f"; --samples {typical} uses {typical} and leaves {less} out"
        warnings.append(
            f"problems have different numbers of samples: {n} of each and of each model are used, "
            f"chosen at random, and {unused:,} are not{hint}"
        )
    return out


def _some(code: IntArray, limit: IntArray, rng: np.random.Generator) -> BoolArray:
    """(N,) whether a row is among those chosen: `limit` of each problem, all alike."""
    order = np.lexsort((rng.random(code.size), code))
    ordered = code[order]
    rank = np.arange(code.size) - np.searchsorted(ordered, ordered)
    keep = np.zeros(code.size, dtype=bool)
    keep[order] = rank < limit[ordered]
    return keep


def _alike(rows: _Rows, n: int) -> bool:
    """Whether samples of a problem that follow each other agree more often than in a random order.

    Of c right ones and w wrong ones in a random order 2 c w / n neighbors differ on average, with
    variance 2 c w (2 c w - n) / (n^2 (n - 1)) (Wald and Wolfowitz). Of a few right ones among many that
    number is far from normal, hence a few neighbors more. Samples sorted by whether they are right tell
    nothing, unless each problem has right ones or wrong ones alone: so do copies of one answer.
    """
    if n == 1:
        return False
    count = np.bincount(rows.code[rows.right], minlength=int(rows.code.max()) + 1)
    if count.min() == 0 and count.max() == n and not ((count > 0) & (count < n)).any():
        return True
    some = np.flatnonzero(rows.code < max(1, ORDERED // n))
    order = some[np.argsort(rows.code[some], kind="stable")]
    right = rows.right[order].reshape(-1, n).astype(np.int8)
    steps = np.diff(right, axis=1)
    if not (steps > 0).any() or not (steps < 0).any():
        return False
    c = right.sum(axis=1, dtype=np.int64)
    pairs = 2.0 * c * (n - c)
    variance = float((pairs * (pairs - n)).sum()) / (n**2 * (n - 1))
    differ = float(np.count_nonzero(steps)) - float(pairs.sum()) / n
    return variance > 0.0 and differ < -ALIKE * (math.sqrt(variance) + 1.0)


def _odd_sizes(problems: int, n: int, warnings: list[str]) -> None:
    if problems < FEW:
        warnings.append(
            f"{plural(problems, 'problem')} only: bands of curves over fewer than {FEW} are too narrow"
        )
    if n == 1:
        warnings.append("one sample of each problem: pass@k is known for k = 1 alone")


def _spread(
    rows: list[_Rows], problems: int, rng: np.random.Generator, notes: list[str]
) -> tuple[FloatArray | None, FloatArray | None]:
    """Entropy and largest share of the answers by problem, over as many answers of each model.

    Both depend on how many answers there are, so the model that gave more to a problem is heard on
    as many, chosen at random.
    """
    codes: list[tuple[IntArray, IntArray]] = []
    for one in rows:
        if one.answer is None:
            return None, None
        given = one.answer >= 0
        codes.append((one.code[given], one.answer[given]))
    size = np.minimum(*(np.bincount(code, minlength=problems) for code, _ in codes))
    heard = np.flatnonzero(size >= 2)
    if not heard.size:
        notes.append("no problem has two answers of both models: their spread is undefined")
        return None, None
    limit = np.where(size >= 2, size, 0)
    entropy, share = np.empty((2, heard.size)), np.empty((2, heard.size))
    for i, (code, answer) in enumerate(codes):
        keep = _some(code, limit, rng)
        kinds = int(answer.max()) + 1
        both, times = np.unique(code[keep] * kinds + answer[keep], return_counts=True)
        owner = both // kinds
        sums = np.bincount(owner, times * np.log(times), minlength=problems)
        top = np.zeros(problems)
        np.maximum.at(top, owner, times)
        entropy[i] = np.maximum(np.log(size[heard]) - sums[heard] / size[heard], 0.0)
        share[i] = top[heard] / size[heard]
    return entropy, share
