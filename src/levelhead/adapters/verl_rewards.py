"""Our rewards as verl's `custom_reward_function`: what one response earns, and what an audit needs.

    reward.custom_reward_function.path=pkg://levelhead.adapters.verl_rewards
    reward.custom_reward_function.name=compute_score
    '+reward.custom_reward_function.reward_kwargs={rule: rlcr, verifier: math}'

verl puts every number of the returned dict beside the response: into its validation metrics, and into
the files of `trainer.validation_data_dir`, which `levelhead audit` reads. Nothing here needs verl.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np

from levelhead import rewards
from levelhead._arrays import FloatArray, real
from levelhead.adapters._base import known_name
from levelhead.elicitation import TABLE as ELICITATIONS
from levelhead.elicitation import Format
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.tasks._verify import VERIFIERS

__all__ = ["FORMS", "KINDS", "RULES", "check_options", "compute_score"]

RULES = (*rewards.TABLE, "correctness", "format")
"""What `rule` may be: a reward of `levelhead.rewards`, correctness alone, or well-formedness alone."""

KINDS = ("event", "answer")
"""What a prompt asks for: the probability of an event, or an answer and a confidence in it."""

FORMS = {"event": "percent_tag", "answer": "answer_confidence_tags"}
"""The format that a kind of prompt asks for unless `elicitation` names another."""

OF_ANSWERS = ("rlcr", "correctness")

OPTIONS = ("rule", "kind", "elicitation", "verifier", "weight", "eta", "floor")
"""What may be in `reward_kwargs`."""

OF_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})
"""What verl's reward managers add where a reward model runs; it is no concern of ours."""

Scorer = Callable[[float, float], float]


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    *,
    rule: str = "log",
    kind: str | None = None,
    elicitation: str | None = None,
    verifier: str = "exact",
    weight: float = 1.0,
    eta: float = 0.01,
    floor: float | None = None,
    **from_verl: Any,
) -> dict[str, Any]:
    """What one response earns under a rule, with its confidence and what became of it.

    score = r(q, y) where the response is well-formed, `floor` otherwise

    Args:
        data_source: verl's name of the data set; for messages only.
        solution_str: the response without its prompt.
        ground_truth: for an event its outcome, 0 or 1; for an answer a right one, or several of which
            one is enough.
        extra_info: what else verl knows of the row; its `index` is for messages.
        rule: one of `RULES`. `format` is 1 for a well-formed response and 0 for another.
        kind: one of `KINDS`; None is `answer` for `rlcr` and `correctness`, else `event`.
        elicitation: the format of a response, a name in `levelhead.elicitation.TABLE`; None is that
            of the kind.
        verifier: how answers are compared: exact, number, math or choice.
        weight: for `rlcr`, >= 0, at most `rewards.max_calibration_weight`; 1 elsewhere.
        eta: in (0, 0.5), where `log` and `trust` clip a prediction.
        floor: what a malformed response earns; None is the least that a well-formed one can, and more
            is refused.
        from_verl: what verl adds where a reward model runs.

    Returns:
        `score`; `acc`, whether the answer was right, or whether the event happened; `confidence` in
        [0, 1], None where there is none, which verl leaves out of its means; `status`, why;
        `well_formed`, 1.0 or 0.0; and `answer`, "" where there is none. Always the same keys, which
        verl takes from the first of a batch.

    Raises:
        InvalidInputError: an unknown rule, kind, format, verifier or option, one that does not suit
            the others, or a truth that cannot be judged by.

    Edge cases: without an answer an answer is wrong, whatever its confidence, and malformed.
        `correctness` needs no confidence. A right answer that is NaN is none.
    Reference: arXiv:2508.11800 (log); arXiv:2507.16806 (rlcr).

    Example:
        >>> said = "<answer>80</answer>"
        >>> found = compute_score("weather", said, 1.0, rule="brier")
        >>> round(found["score"], 4), found["acc"], found["confidence"], found["status"]
        (-0.04, 1.0, 0.8, 'ok')
    """
    _refuse_unknown(from_verl)
    kind = _kind(rule, kind)
    score, low = _score_of(rule, kind, weight, eta, floor)
    said = _form(kind, elicitation).parse(solution_str)
    try:
        truth = _truth(said.answer, ground_truth, kind, verifier)
    except InvalidInputError as error:
        raise InvalidInputError(f"{_row(data_source, extra_info)}: {error}") from error
    answered = kind == "event" or bool(said.answer)
    formed = said.confidence is not None and answered
    readable = answered if rule == "correctness" else formed
    stated = 0.0 if said.confidence is None else said.confidence
    return {
        "score": score(stated, truth) if readable else low,
        "acc": truth,
        "confidence": said.confidence,
        "well_formed": float(formed),
        "status": said.status,
        "answer": said.answer or "",
    }


def _refuse_unknown(from_verl: Iterable[str]) -> None:
    """Raise for a name that neither verl nor a user of `compute_score` can mean."""
    unknown = sorted(set(from_verl) - OF_VERL)
    if unknown:
        raise unknown_name("reward_kwargs", unknown[0], OPTIONS)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise where `compute_score` would refuse these `reward_kwargs`, whatever it is to score.

    Args:
        options: by name.

    Raises:
        InvalidInputError: as of `compute_score`.

    Example:
        >>> check_options({"rule": "log", "eta": 0.01})
    """
    _refuse_unknown(set(options) - set(OPTIONS))
    rule, kind = options.get("rule", "log"), options.get("kind")
    kind = _kind(rule, kind)
    _score_of(
        rule, kind, options.get("weight", 1.0), options.get("eta", 0.01), options.get("floor")
    )
    _form(kind, options.get("elicitation"))
    known_name("verifier", options.get("verifier", "exact"), VERIFIERS)


def _kind(rule: str, kind: str | None) -> str:
    known_name("rule", rule, RULES)
    if kind is None:
        return "answer" if rule in OF_ANSWERS else "event"
    return known_name("kind", kind, KINDS)


def _form(kind: str, elicitation: str | None) -> Format:
    """The format in which a response of this kind was asked for."""
    name = FORMS[kind] if elicitation is None else elicitation
    return ELICITATIONS[known_name("elicitation", name, ELICITATIONS)]


def _score_of(rule: str, kind: str, weight: Any, eta: Any, floor: Any) -> tuple[Scorer, float]:
    bottom = None if floor is None else real("floor", floor)
    return _scorer(rule, kind, real("weight", weight), real("eta", eta), bottom)


@functools.lru_cache(maxsize=64)
def _scorer(
    rule: str, kind: str, weight: float, eta: float, floor: float | None
) -> tuple[Scorer, float]:
    """(confidence, truth) -> reward, and what a malformed response earns, every option checked."""
    if rule in OF_ANSWERS and kind == "event":
        raise InvalidInputError(
            f"rule: expected one that scores the probability of an event, got {rule!r}, which scores "
            "answers; use log or brier, or kind=answer"
        )
    if rule in ("log", "trust") and not 0.0 < eta < 0.5:
        raise InvalidInputError(
            f"eta: expected a number in (0, 0.5), got {eta}; without a clip a single certain mistake "
            "would be infinitely bad"
        )
    if rule != "rlcr" and weight != 1.0:
        raise InvalidInputError(
            f"weight: expected 1 with the rule {rule!r}, got {weight:g}; only rlcr weighs a score "
            "against correctness"
        )
    function = _function(rule, weight, eta)

    def score(confidence: float, truth: float) -> float:
        return float(function(np.array([confidence]), np.array([truth]))[0])

    least = min(score(c, y) for c in (0.0, 1.0) for y in (0.0, 1.0))
    if rule == "format":
        least = 0.0
    low = rewards.with_format_floor([0.0], [False], lowest=least, floor=floor)
    return score, float(low[0])


def _function(rule: str, weight: float, eta: float) -> Callable[..., FloatArray]:
    if rule == "format":
        return lambda confidence, truth: np.ones_like(truth)
    if rule == "correctness":
        return lambda confidence, truth: truth
    options = {"log": {"eta": eta}, "trust": {"eps": eta}, "rlcr": {"weight": weight}}
    return functools.partial(rewards.TABLE[rule].function, **options.get(rule, {}))


def _truth(answer: str | None, ground_truth: Any, kind: str, verifier: str) -> float:
    """Whether the answer is right, or whether the event happened."""
    if kind == "event":
        outcome = _number(ground_truth)
        if outcome not in (0.0, 1.0):
            raise InvalidInputError(
                f"ground_truth: expected an outcome of 0 or 1, got {ground_truth!r}; for a question "
                "with a right answer use kind=answer"
            )
        return outcome
    known_name("verifier", verifier, VERIFIERS)
    targets = _targets(ground_truth)
    if not targets:
        raise InvalidInputError(
            f"ground_truth: expected at least one right answer, got {ground_truth!r}"
        )
    verdict = VERIFIERS[verifier](answer or "", targets)
    if verdict is None:
        raise InvalidInputError(
            f"ground_truth: expected a right answer that the verifier {verifier!r} can read, got "
            f"{ground_truth!r}; remove the row, or choose another verifier"
        )
    return verdict if answer else 0.0


def _number(value: Any) -> float:
    """NaN for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _targets(ground_truth: Any) -> tuple[str, ...]:
    if isinstance(ground_truth, list | tuple | np.ndarray):
        several = cast(Iterable[Any], ground_truth)
        return tuple(str(one) for one in several if not _is_nothing(one))
    return () if _is_nothing(ground_truth) else (str(ground_truth),)


def _is_nothing(value: Any) -> bool:
    """None, or the NaN that a table has in place of it."""
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _row(data_source: str, extra_info: Any) -> str:
    index = extra_info.get("index") if hasattr(extra_info, "get") else None
    return f"{data_source}" if index is None else f"{data_source}, row {index}"
