"""Beliefs from the probabilities of option tokens, averaged over orders and wordings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, IntArray, codes, unmasked, vector
from levelhead.errors import InvalidInputError

__all__ = ["MIN_MASS", "MIN_WORDINGS", "OptionBeliefs", "option_beliefs", "option_mass"]

MIN_MASS = 0.05
"""Where the options together are less likely than this, the answer would have been something else."""

MIN_WORDINGS = 3
"""Wordings of a question to average over, at least; with fewer a note says so."""


@dataclasses.dataclass(frozen=True)
class OptionBeliefs:
    """One belief for each item.

    Attributes:
        items: (M,) labels in sorted order.
        belief: (M,) probability of yes among yes and no, in [0, 1]; NaN where it is missing.
        unknown: (M,) probability of the further options among all, in [0, 1]; NaN likewise.
        mass: (M,) mean total probability of the options, in [0, 1].
        spread: (M,) standard deviation (ddof 1) of the belief over the item's rows; NaN below two.
        n_rows: (M,) rows with a belief.
        n_low: rows whose options are below the least mass, in all items.
        order_effect: mean belief where yes stands first less mean belief where it does not, over
            items with both; None where there is none.
    """

    items: tuple[str, ...]
    belief: FloatArray
    unknown: FloatArray
    mass: FloatArray
    spread: FloatArray
    n_rows: IntArray
    n_low: int
    order_effect: float | None


def option_mass(probabilities: Sequence[tuple[str, float]], options: Sequence[str]) -> FloatArray:
    """How much probability the first token gives to each of some words.

    Args:
        probabilities: (token, probability in [0, 1]) of the most likely first tokens.
        options: (K,) words, such as `Yes` and `No`.

    Returns:
        (K,) sums over the tokens that are the word once space, quotation marks, dots and brackets
        around it are stripped and case does not count.

    Raises:
        InvalidInputError: a probability is outside [0, 1], or two options are the same word.

    Edge cases: an option that no token spells gets 0.

    Example:
        >>> option_mass([("Yes", 0.5), (" yes", 0.2), ("No.", 0.1), ("Well", 0.2)], ["Yes", "No"])
        array([0.7, 0.1])
    """
    index = {_stripped(word): k for k, word in enumerate(options)}
    if len(index) < len(options):
        raise InvalidInputError(f"options: expected different words, got {list(options)}")
    mass = np.zeros(len(options))
    for token, probability in probabilities:
        if not 0.0 <= probability <= 1.0:
            raise InvalidInputError(
                f"probabilities: expected numbers in [0, 1], got {probability} for {token!r}; "
                "log-probabilities go through exp first"
            )
        k = index.get(_stripped(token))
        if k is not None:
            mass[k] += probability
    return mass


def option_beliefs(
    mass: ArrayLike,
    *,
    items: ArrayLike | None = None,
    yes_at: ArrayLike | None = None,
    no_at: ArrayLike | None = None,
    min_mass: float = MIN_MASS,
) -> OptionBeliefs:
    """What a model believes, from the probabilities of the option tokens.

    belief = mass_yes / (mass_yes + mass_no) in a row; the mean over the rows of one order, then the
    mean over the orders of an item

    Args:
        mass: (N, K) probabilities of the option tokens in [0, 1], at their places in the question,
            rows summing to at most 1; NaN in rows without any.
        items: (N,) labels: rows with the same one ask the same thing in other words or orders; None:
            each row is an item.
        yes_at: (N,) place of the option that means yes, 0 to K - 1; None: always 0.
        no_at: (N,) place of the one that means no; None: 1, or 0 where yes is at 1.
        min_mass: where the options of a row sum to less, or yes and no to nothing, its belief is
            missing; in [0, 1].

    Returns:
        One belief for each item.

    Raises:
        InvalidInputError: a shape, a place or a probability is wrong.

    Edge cases: an item has a belief if every order that it was asked in has one. Otherwise the mean
        would carry the preference for a place that the orders are there to cancel.
    Properties: unchanged by any order in which the rows stand; swapping the options of every row
        together with `yes_at` and `no_at` changes nothing.
    Reference: Liang et al. 2025 (arXiv:2507.07484); Zheng et al. 2023 (arXiv:2309.03882) on the
        preference for a place.

    Example:
        >>> found = option_beliefs([[0.6, 0.2], [0.1, 0.3]], items=["q", "q"], yes_at=[0, 1])
        >>> found.belief, found.items
        (array([0.75]), ('q',))
    """
    m = np.asarray(unmasked("mass", mass), dtype=np.float64)
    if m.ndim != 2 or m.shape[0] == 0 or m.shape[1] < 2:
        raise InvalidInputError(
            f"mass: expected shape (N, K) with N >= 1 and K >= 2, got {m.shape}"
        )
    if not 0.0 <= min_mass <= 1.0:
        raise InvalidInputError(f"min_mass: expected a number in [0, 1], got {min_mass}")
    total = m.sum(axis=1)
    bad = ~np.isnan(total) & ~((np.nan_to_num(m) >= 0.0).all(axis=1) & (total <= 1.0 + 1e-6))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"mass: expected probabilities that sum to at most 1, got {m[i].tolist()} in row {i}; "
            "log-probabilities go through exp first"
        )
    n, k = m.shape
    yes = _places("yes_at", np.zeros(n) if yes_at is None else yes_at, n, k)
    no = _places("no_at", np.where(yes == 0, 1, 0) if no_at is None else no_at, n, k)
    if (yes == no).any():
        i = int((yes == no).argmax())
        raise InvalidInputError(
            f"no_at: expected another place than yes_at, got {no[i]} for both in row {i}"
        )
    row = np.arange(n)
    both = m[row, yes] + m[row, no]
    with np.errstate(divide="ignore", invalid="ignore"):
        usable = (total >= min_mass) & (both > 0.0)
        belief = np.where(usable, m[row, yes] / both, math.nan)
        unknown = np.where(usable, 1.0 - both / total, math.nan)
    labels = np.arange(n) if items is None else items
    item = codes("items", labels, n)
    names = _names(labels, item, items is None)
    return _averaged(names, item, yes, belief, unknown, total, int((total < min_mass).sum()))


def _averaged(
    names: tuple[str, ...],
    item: IntArray,
    yes: IntArray,
    belief: FloatArray,
    unknown: FloatArray,
    total: FloatArray,
    n_low: int,
) -> OptionBeliefs:
    size, width = len(names), int(yes.max()) + 1
    cell = item * width + yes
    known = ~np.isnan(belief)
    asked = np.bincount(cell, minlength=size * width).reshape(size, width) > 0
    count = np.bincount(cell[known], minlength=size * width).reshape(size, width)
    tables = [
        np.bincount(cell[known], x[known], size * width).reshape(size, width)
        for x in (belief, unknown)
    ]
    complete = (asked == (count > 0)).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [table / count for table in tables]
        averages = [
            np.where(complete, np.where(asked, mean, 0.0).sum(axis=1) / asked.sum(axis=1), math.nan)
            for mean in means
        ]
        n_rows = count.sum(axis=1)
        center = tables[0].sum(axis=1) / n_rows
        squares = np.bincount(item[known], (belief[known] - center[item[known]]) ** 2, size)
        spread = np.where(n_rows > 1, np.sqrt(squares / (n_rows - 1)), math.nan)
        listed = ~np.isnan(total)
        mass = np.bincount(item[listed], total[listed], size) / np.bincount(
            item[listed], minlength=size
        )
    effect: float | None = None
    if width > 1:
        first = complete & asked[:, 0] & asked[:, 1:].any(axis=1)
        if first.any():
            later = np.where(asked[:, 1:], means[0][:, 1:], 0.0).sum(axis=1) / np.maximum(
                asked[:, 1:].sum(axis=1), 1
            )
            effect = float((means[0][first, 0] - later[first]).mean())
    rows = n_rows.astype(np.int64)
    return OptionBeliefs(names, averages[0], averages[1], mass, spread, rows, n_low, effect)


def _places(name: str, values: ArrayLike, n: int, k: int) -> IntArray:
    array = vector(name, values)
    if array.size != n:
        raise InvalidInputError(f"{name}: expected {n} values, one for each row, got {array.size}")
    bad = ~np.isin(array, np.arange(k))
    if bad.any():
        i = int(bad.argmax())
        raise InvalidInputError(
            f"{name}: expected a place from 0 to {k - 1}, got {array[i]} in row {i}"
        )
    return array.astype(np.int64)


def _names(labels: ArrayLike, item: IntArray, numbered: bool) -> tuple[str, ...]:
    if numbered:
        return tuple(map(str, range(item.size)))
    texts = [str(label) for label in np.asarray(labels, dtype=object).tolist()]
    first = np.unique(item, return_index=True)[1]
    return tuple(texts[i] for i in first.tolist())


def _stripped(word: str) -> str:
    return word.strip(" \t\r\n\"'`.,:;()[]*\u2581\u0120").casefold()
