"""What a tabular policy predicts, and how good that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from levelhead._arrays import ArrayLike, FloatArray, probabilities
from levelhead.errors import InvalidInputError
from levelhead.lab.world import World
from levelhead.metrics import accuracy, auroc, ece
from levelhead.records import Predictions

__all__ = ["Sampled", "Scores", "mean_prediction", "predict", "scores", "to_predictions"]

ROUND = (
    12  # decimals of a mean of samples: a sum of 100 times 0.7 must not fall beside a bin's edge
)


@dataclasses.dataclass(frozen=True, eq=False)
class Sampled:
    """Predictions that were sampled from a policy.

    Attributes:
        mean: (N,) mean of the samples of each question.
        single: (N,) the first of them alone.
    """

    mean: FloatArray
    single: FloatArray


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """How good predictions of events are.

    Attributes:
        ece: 10 right-closed bins.
        auroc: of the probabilities against the outcomes; NaN with one class.
        accuracy: share of the questions where "above 0.5" came true.
    """

    ece: float
    auroc: float
    accuracy: float


def mean_prediction(policy: ArrayLike, values: ArrayLike) -> FloatArray:
    """The expectation of what a policy states.

    mean_c = sum_k pi_ck v_k

    Args:
        policy: (..., K) probabilities.
        values: (K,) what the tokens state.

    Returns:
        (...) float64 within the range of the values.

    Edge cases: a mean that looks calibrated says nothing about single samples; see `Sampled`.

    Example:
        >>> mean_prediction([[0.5, 0.5], [0.0, 1.0]], [0.2, 0.6])
        array([0.4, 0.6])
    """
    v = np.asarray(values, dtype=np.float64)
    return np.clip(np.asarray(policy, dtype=np.float64) @ v, v.min(), v.max())


def predict(world: World, policy: ArrayLike, *, n: int = 100, rng: np.random.Generator) -> Sampled:
    """Sample predictions for every question.

    Args:
        world: the questions.
        policy: (C, K) probabilities, rows sum to 1.
        n: samples per question, at least 1.
        rng: generator of the samples.

    Returns:
        The mean over the samples, and one of them.

    Raises:
        InvalidInputError: a policy of another shape, or fewer than one sample.

    Edge cases: with n = 1 both are the same.
    Reference: arXiv:2508.11800 evaluates the mean of 100 samples.

    Example:
        >>> world = World([0.2, 0.8], [0.5], [0, 0], [0, 1])
        >>> predict(world, [[0.0, 1.0]], rng=np.random.default_rng(0)).mean
        array([0.8, 0.8])
    """
    pi = np.asarray(policy, dtype=np.float64)
    shape = (world.n_categories, world.n_tokens)
    if pi.shape != shape:
        raise InvalidInputError(
            f"policy: expected shape {shape}, one row a category, got {pi.shape}"
        )
    if n < 1:
        raise InvalidInputError(f"n: expected at least 1, got {n}")
    pi = pi / pi.sum(axis=1, keepdims=True)
    # Likeliest first: a multinomial draw ends when nothing is left.
    order = np.argsort(-pi, axis=1)
    pi, values = np.take_along_axis(pi, order, axis=1), world.values[order]
    mean, single = np.empty(world.n_questions), np.empty(world.n_questions)
    for c in range(world.n_categories):
        questions = np.flatnonzero(world.category == c)
        token = rng.choice(world.n_tokens, size=questions.size, p=pi[c])
        others = rng.multinomial(n - 1, pi[c], size=questions.size)
        single[questions] = values[c][token]
        mean[questions] = (others @ values[c] + values[c][token]) / n
    return Sampled(np.round(mean, ROUND), single)


def scores(world: World, prediction: ArrayLike) -> Scores:
    """Calibration, discrimination and accuracy of one probability for each question.

    Args:
        world: the questions with their outcomes.
        prediction: (N,) probabilities in [0, 1] of outcome 1.

    Returns:
        The three numbers.

    Raises:
        InvalidInputError: a value outside [0, 1], or another number of values.

    Edge cases: a prediction of exactly 0.5 counts as "not above", as in the reference.
    Reference: the evaluation of experiment 1 of arXiv:2508.11800.

    Example:
        >>> world = World([0.2, 0.8], [0.5], [0, 0, 0, 0], [0, 1, 1, 0])
        >>> found = scores(world, [0.2, 0.8, 0.8, 0.8])
        >>> round(found.ece, 4), found.auroc, found.accuracy
        (0.15, 0.75, 0.75)
    """
    p = probabilities("prediction", prediction)
    outcome = world.outcome.astype(np.float64)
    right = ((p > 0.5) == (outcome == 1.0)).astype(np.float64)
    return Scores(ece(p, outcome), auroc(p, outcome), accuracy(p, right))


def to_predictions(
    world: World,
    prediction: ArrayLike,
    *,
    model: str,
    columns: Mapping[str, Any] | None = None,
) -> Predictions:
    """Predictions as ordinary records of events, which the audit reads.

    Args:
        world: the questions.
        prediction: (N,) one probability for each question, or (N, S) for S samples of each.
        model: the name of the policy.
        columns: further columns of N values, one for each question.

    Returns:
        N S records, the samples of a question together; `prompt_id` is the question's number, and
        there is a column `category`.

    Raises:
        InvalidInputError: another number of questions, or a value outside [0, 1].

    Example:
        >>> world = World([0.2, 0.8], [0.5], [0, 0], [0, 1])
        >>> len(to_predictions(world, [[0.2, 0.8], [0.8, 0.8]], model="mine"))
        4
    """
    p = np.asarray(prediction, dtype=np.float64)
    if p.ndim not in (1, 2) or p.shape[0] != world.n_questions:
        raise InvalidInputError(
            f"prediction: expected {world.n_questions} rows, one for each question, "
            f"got shape {p.shape}"
        )
    samples = 1 if p.ndim == 1 else p.shape[1]
    extra = {name: np.repeat(np.asarray(c), samples) for name, c in (columns or {}).items()}
    return Predictions.from_arrays(
        "event",
        probabilities("prediction", p.ravel()),
        np.repeat(world.outcome, samples),
        model=model,
        prompt_id=np.repeat(np.arange(world.n_questions), samples).tolist(),
        columns={"category": np.repeat(world.category, samples), **extra},
    )
