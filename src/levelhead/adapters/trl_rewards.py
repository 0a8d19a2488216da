"""Rewards for TRL: RLCR, Brier, log and format, in the signature that its trainers call.

    from levelhead.adapters.trl_rewards import rlcr_reward

    trainer = GRPOTrainer(..., reward_funcs=rlcr_reward(answer="solution"))

What cannot be read earns the floor, and its share goes into the trainer's log; what nobody can score
(an outcome or a right answer that is not known) is None, which TRL leaves out. Nothing here needs TRL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from levelhead import rewards as rules
from levelhead._arrays import FloatArray, real
from levelhead.adapters._base import known_name
from levelhead.adapters._trl_columns import Said, Truth, Verify, text_of
from levelhead.elicitation import TABLE as FORMATS
from levelhead.errors import InvalidInputError

__all__ = ["RLCR_TAGS", "TRLReward", "brier_reward", "format_reward", "log_reward", "rlcr_reward"]

RLCR_TAGS = ("think", "answer", "analysis", "confidence")
"""The parts of a completion in RLCR's format, in their order."""

CORNERS = (np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
"""Statements and truths among which the least reward of a monotone rule is found."""

Rule = Callable[[FloatArray, FloatArray], FloatArray]


class TRLReward:
    """A reward function as TRL calls it; the functions of this file make them.

    Attributes:
        column: the column of the data set that it reads, or None.
        floor: what malformed output earns.

    Edge cases: a conversational completion is the content of its last message by the assistant. The
        same function serves every trainer of TRL that takes reward functions.
    """

    def __init__(
        self,
        name: str,
        column: str | None,
        floor: float,
        score: Callable[[Sequence[str], dict[str, Any]], tuple[FloatArray, dict[str, float]]],
    ) -> None:
        self.__name__ = name  # what TRL's log calls it
        self.column, self.floor, self._score = column, floor, score

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        completion_ids: Sequence[Any] | None = None,
        *,
        trainer_state: object = None,
        log_extra: object = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """The reward of each completion, None where it cannot be scored."""
        rewards, told = self._score([text_of(one) for one in completions], columns)
        if log_metric is not None:
            for name, value in told.items():
                if not math.isnan(value):
                    log_metric(f"{self.__name__}/{name}", value)
        return [None if math.isnan(value) else value for value in rewards.tolist()]

    def __repr__(self) -> str:
        return f"<{self.__name__} of {self.column}>" if self.column else f"<{self.__name__}>"


def rlcr_reward(
    *,
    answer: str = "answer",
    verifier: str | Verify = "exact",
    elicitation: str = "answer_confidence_tags",
    rule: str = "brier",
    weight: float = 1.0,
    floor: float | None = None,
) -> TRLReward:
    """Correctness plus a proper score of the stated confidence, for TRL.

    r = y + weight S(q, y);  for Brier and weight 1, 2 q y - q^2

    Args:
        answer: the column with the right answer, or a list of right answers, of each prompt.
        verifier: `exact`, `number`, `math`, `choice`, or a function (answer, right answers) -> 1.0,
            0.0, or None where nobody can say.
        elicitation: a format of `levelhead.elicitation.TABLE` that states an answer and a confidence.
        rule: the proper rule S by name.
        weight: finite, >= 0, at most `rewards.max_calibration_weight(rule)`.
        floor: what malformed output earns, at most the worst reward of a well-formed answer; None is
            that reward.

    Returns:
        A reward function. Its log has `malformed` and `unscorable` (shares of all completions),
        `confidence` and `truth` (means of those that have one).

    Raises:
        InvalidInputError: an unknown name, or a weight or floor past its bound; while training, a
            column that is not there or holds something else.

    Edge cases: the published reward gives 0 to malformed output and 1 + r / 2 to the rest: in units of r
        a floor of -2. Without an answer a completion is malformed, whatever its confidence.
    Reference: Damani et al. 2025 (arXiv:2507.16806); asked for in huggingface/trl#3871.

    Example:
        >>> score = rlcr_reward(answer="solution")
        >>> said = "<answer>4</answer><confidence>0.9</confidence>"
        >>> [round(r, 4) for r in score(completions=[said, said, "4"], solution=["4", "5", "4"])]
        [0.99, -0.81, -1.0]
    """
    truth = Truth.of("rlcr_reward", "", answer, verifier, elicitation)
    if not isinstance(cast(object, rule), str):
        raise InvalidInputError(
            f"rlcr_reward rule: expected the name of a proper rule, such as brier, got {rule!r}"
        )

    def reward(confidence: FloatArray, correct: FloatArray) -> FloatArray:
        return rules.rlcr_reward(confidence, correct, rule=rule, weight=weight)

    return _scored("rlcr_reward", truth, reward, floor)


def brier_reward(
    *,
    outcome: str = "outcome",
    answer: str | None = None,
    verifier: str | Verify = "exact",
    elicitation: str | None = None,
    floor: float | None = None,
) -> TRLReward:
    """Minus the squared error of the stated probability, for TRL.

    r = -(q - y)^2

    Args:
        outcome: the column that says whether the event happened: 1, 0, an expected outcome between
            them, or None.
        answer: the column with right answers, where the probability is one's confidence in an answer
            of one's own; None: it is that of the event.
        verifier: as of `rlcr_reward`; it is not called for events.
        elicitation: a format of `levelhead.elicitation.TABLE`; None is `percent_tag` for events and
            `answer_confidence_tags` for answers.
        floor: what malformed output earns, at most -1; None is -1.

    Returns:
        A reward function with the log of `rlcr_reward`.

    Raises:
        InvalidInputError: as of `rlcr_reward`.

    Edge cases: alone it does not reward a right answer; give `rlcr_reward`, or a reward for
        correctness beside it.
    Reference: Brier 1950; as a reward arXiv:2507.16806.

    Example:
        >>> brier_reward()(completions=["<answer>50</answer>", "so", "so"], outcome=[1, 0, None])
        [-0.25, -1.0, None]
    """
    truth = Truth.of("brier_reward", outcome, answer, verifier, elicitation)
    return _scored("brier_reward", truth, rules.brier_reward, floor)


def log_reward(
    *,
    outcome: str = "outcome",
    answer: str | None = None,
    verifier: str | Verify = "exact",
    elicitation: str | None = None,
    eta: float = 0.01,
    floor: float | None = None,
) -> TRLReward:
    """Log-likelihood of the outcome under the stated probability, for TRL.

    r = y ln q' + (1 - y) ln(1 - q'),  q' = min(max(q, eta), 1 - eta)

    Args:
        outcome: as of `brier_reward`.
        answer: as of `brier_reward`.
        verifier: as of `rlcr_reward`.
        elicitation: as of `brier_reward`.
        eta: in (0, 0.5), how close to certainty a prediction is taken at its word.
        floor: what malformed output earns, at most ln eta; None is ln eta.

    Returns:
        A reward function with the log of `rlcr_reward`.

    Raises:
        InvalidInputError: as of `rlcr_reward`, or an eta outside its range.

    Reference: arXiv:2508.11800.

    Example:
        >>> log_reward()(completions=["<answer>50</answer>"], outcome=[1])
        [-0.6931471805599453]
    """
    eta = real("log_reward eta", eta)
    if not 0.0 < eta < 0.5:
        raise InvalidInputError(
            f"log_reward eta: expected a number in (0, 0.5), got {eta}; without a clip a single certain "
            "mistake would be infinitely bad"
        )
    truth = Truth.of("log_reward", outcome, answer, verifier, elicitation)
    return _scored("log_reward", truth, lambda q, y: rules.log_reward(q, y, eta=eta), floor)


def format_reward(
    *,
    elicitation: str = "answer_confidence_tags",
    tags: Sequence[str] = (),
    good: float = 1.0,
    bad: float = 0.0,
) -> TRLReward:
    """A reward for keeping the format, whatever is stated, for TRL.

    r = good where a confidence can be read and the tags are in order, bad otherwise

    The rewards of this file have a floor of their own and do not need it; beside them it makes a broken
    format cost more.

    Args:
        elicitation: a format of `levelhead.elicitation.TABLE`; where it states answers beside
            confidences, an answer is needed too.
        tags: names of tags that must be opened and closed exactly once each, in this order, such as
            `RLCR_TAGS`; none: order does not matter.
        good: finite, what a well-formed completion earns.
        bad: finite, at most `good`.

    Returns:
        A reward function that reads no column; its log has `malformed`.

    Raises:
        InvalidInputError: an unknown format, or numbers that are not finite or in the wrong order.

    Reference: RLCR (arXiv:2507.16806), whose format has four tags; huggingface/trl#3871.

    Example:
        >>> text = "<answer>4</answer> <confidence>0.9</confidence>"
        >>> format_reward()(completions=[text, "4"]), format_reward(tags=RLCR_TAGS)(completions=[text])
        ([1.0, 0.0], [0.0])
    """
    known_name("format_reward elicitation", elicitation, FORMATS)
    if not (math.isfinite(good) and math.isfinite(bad) and bad <= good):
        raise InvalidInputError(
            f"format_reward bad: expected a finite number of at most good={good}, got {bad}"
        )
    wanted = tuple(tags)

    def score(texts: Sequence[str], columns: dict[str, Any]) -> tuple[FloatArray, dict[str, float]]:
        formed = np.array([_keeps(text, elicitation, wanted) for text in texts], dtype=bool)
        told = {"malformed": _mean(~formed)}
        return np.where(formed, float(good), float(bad)), told

    return TRLReward("format_reward", None, float(bad), score)


def _scored(name: str, truth: Truth, rule: Rule, floor: float | None) -> TRLReward:
    """A rule of `levelhead.rewards` with a floor, on what completions say."""
    low = float(rule(*CORNERS).min())
    # Refused here and not in the first step, after the model has loaded.
    bottom = float(rules.with_format_floor([0.0], [False], lowest=low, floor=floor)[0])

    def score(texts: Sequence[str], columns: dict[str, Any]) -> tuple[FloatArray, dict[str, float]]:
        said = truth.read(texts, columns)
        rewards = np.where(np.isnan(said.truth), np.nan, bottom)
        counted = said.formed & ~np.isnan(said.truth)
        if counted.any():
            rewards[counted] = rule(said.confidence[counted], said.truth[counted])
        rewards = rules.with_format_floor(rewards, said.formed, lowest=low, floor=bottom)
        return rewards, _told(said)

    return TRLReward(name, truth.column, bottom, score)


def _told(said: Said) -> dict[str, float]:
    """What a log needs to know of a batch."""
    return {
        "malformed": _mean(~said.formed),
        "unscorable": _mean(np.isnan(said.truth)),
        "confidence": _mean(said.confidence[~np.isnan(said.confidence)]),
        "truth": _mean(said.truth[~np.isnan(said.truth)]),
    }


def _mean(values: Any) -> float:
    return float(values.mean()) if values.size else math.nan


def _keeps(text: str, elicitation: str, tags: Sequence[str]) -> bool:
    """Whether a text states a confidence (and an answer beside it), with its tags in order."""
    said = FORMATS[elicitation].parse(text)
    if said.status != "ok" or said.provenance != "parsed" or not said.answer:
        return False
    place = 0
    for tag in (f"<{slash}{name}>" for name in tags for slash in ("", "/")):
        if text.count(tag) != 1 or (found := text.find(tag)) < place:
            return False
        place = found + len(tag)
    return True
