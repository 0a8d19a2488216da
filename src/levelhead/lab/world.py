"""The tabular world: questions in categories, an answer to each, and tokens that state probabilities.

A question belongs to one of C categories, and its outcome is 1 with the category's rate. A policy sees
the category alone and answers with one of K tokens, each of which stands for a probability. Everything
that a question can be asked is therefore a table, and what training does to it can be computed.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Literal

import numpy as np

from levelhead._arrays import FloatArray, IntArray, integers, probabilities
from levelhead.errors import InvalidInputError

__all__ = ["OUTCOMES", "Outcomes", "World", "paper_world", "token_values"]

Outcomes = Literal["shared", "independent"]
OUTCOMES: tuple[Outcomes, ...] = ("shared", "independent")
"""Whether the samples of a group share their question's outcome, or each draws one of its own."""


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """Questions with a category and an outcome, and the probabilities that the tokens state.

    Attributes:
        values: (K,) probabilities in [0, 1], ascending, that the K tokens state.
        rates: (C,) true probability of outcome 1 in each category.
        category: (N,) integers in [0, C), the category of each question.
        outcome: (N,) integers 0 or 1, the outcome of each question.
        outcomes: `shared`: every sample of a question is judged against the question's outcome, as
            in forecasting; `independent`: every sample draws an outcome from its category's rate,
            as where each answer is right or wrong on its own.

    Raises:
        InvalidInputError: a value outside its range, lengths that differ, or values that do not
            ascend.

    Edge cases: a category without a question never changes; its empirical rate is NaN.

    Example:
        >>> world = World(token_values(3), [0.2, 0.8], [0, 1, 1, 1], [0, 1, 1, 0])
        >>> world.counts
        array([[1, 0],
               [1, 2]])
    """

    values: FloatArray
    rates: FloatArray
    category: IntArray
    outcome: IntArray
    outcomes: Outcomes = "shared"

    def __post_init__(self) -> None:
        values = probabilities("values", self.values)
        if values.size < 2 or not (np.diff(values) > 0.0).all():
            raise InvalidInputError(
                f"values: expected at least two ascending probabilities, got {values.tolist()}"
            )
        rates = probabilities("rates", self.rates)
        size = np.asarray(self.category).size
        if size == 0:
            raise InvalidInputError("category: expected at least one question, got none")
        fields = {
            "values": values,
            "rates": rates,
            "category": integers("category", self.category, size, rates.size),
            "outcome": integers("outcome", self.outcome, size, 2),
        }
        for name, array in fields.items():
            object.__setattr__(self, name, array)
        if self.outcomes not in OUTCOMES:
            raise InvalidInputError(
                f"outcomes: expected one of {', '.join(OUTCOMES)}, got {self.outcomes!r}"
            )

    @property
    def n_questions(self) -> int:
        """N, the number of questions."""
        return self.category.size

    @property
    def n_categories(self) -> int:
        """C, the number of categories."""
        return self.rates.size

    @property
    def n_tokens(self) -> int:
        """K, the number of tokens."""
        return self.values.size

    @cached_property
    def counts(self) -> IntArray:
        """(C, 2) questions of each category by outcome."""
        cells = np.bincount(2 * self.category + self.outcome, minlength=2 * self.n_categories)
        return cells.reshape(self.n_categories, 2).astype(np.int64)

    @cached_property
    def empirical_rates(self) -> FloatArray:
        """(C,) share of outcome 1 among the questions of each category; NaN where there is none."""
        total = self.counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return self.counts[:, 1] / total


def token_values(n_tokens: int, low: float = 0.01, high: float = 0.99) -> FloatArray:
    """Evenly spaced probabilities for the tokens to state.

    values_k = low + (high - low) k / (K - 1),  k = 0 .. K - 1

    Args:
        n_tokens: K, at least 2.
        low: the lowest, in [0, 1].
        high: the highest, in [0, 1], above `low`.

    Returns:
        (K,) float64, ascending.

    Raises:
        InvalidInputError: fewer than two tokens, or `low` and `high` out of range or order.

    Edge cases: `low` and `high` are themselves values.

    Example:
        >>> token_values(3)
        array([0.01, 0.5 , 0.99])
    """
    if n_tokens < 2:
        raise InvalidInputError(f"n_tokens: expected at least 2, got {n_tokens}")
    if not 0.0 <= low < high <= 1.0:
        raise InvalidInputError(f"low, high: expected 0 <= low < high <= 1, got {low} and {high}")
    return np.linspace(low, high, n_tokens)


def paper_world(
    *,
    seed: int = 2,
    n_questions: int = 10_000,
    n_categories: int = 20,
    n_tokens: int = 99,
    outcomes: Outcomes = "shared",
) -> World:
    """The world of the paper's first experiment: 10,000 questions in 20 categories, 99 tokens.

    Categories are uniform, rates uniform on [0, 1], outcomes Bernoulli(rate of the category); drawn in
    this order from one generator, so that seed 2 gives the very questions of the paper.

    Args:
        seed: of the generator.
        n_questions: N.
        n_categories: C.
        n_tokens: K; the values run from 0.01 to 0.99.
        outcomes: `shared` or `independent`.

    Returns:
        The world.

    Raises:
        InvalidInputError: a number that is not positive, or an unknown kind of outcomes.

    Edge cases: the observed rates differ from the true ones by sampling; a calibrated policy that is
        trained on these questions learns the observed ones.
    Reference: Uncalibrated Reasoning, arXiv:2508.11800, experiment 1.

    Example:
        >>> world = paper_world()
        >>> world.n_questions, world.n_categories, world.n_tokens
        (10000, 20, 99)
    """
    for name, number in (("n_questions", n_questions), ("n_categories", n_categories)):
        if number < 1:
            raise InvalidInputError(f"{name}: expected at least 1, got {number}")
    rng = np.random.default_rng(seed)
    category = rng.choice(n_categories, n_questions)
    rates = rng.uniform(0.0, 1.0, n_categories)
    outcome = rng.binomial(1, rates[category])
    return World(token_values(n_tokens), rates, category, outcome, outcomes)
