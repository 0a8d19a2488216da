"""Features: what a verifier sees of a record, computed from whatever evidence the record carries.

A feature is a function evidence -> (N,) numbers, NaN where a row has no evidence, and one line of
`TABLE`. All of them read the record as a *claim*: an answer claims to be right, an event's
probability p claims the event where p >= 1/2 and its absence below. No feature looks at a label, and
a row's features depend on its own prompt's rows alone. The format that a confidence was elicited in
is no feature: it is the same for all rows of nearly every file, and its name is not a number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.guard._samples import others_mean, within_mean, within_sd
from levelhead.guard._spelled import is_text, spelled_numbers
from levelhead.guard.cues import word_counts
from levelhead.guard.evidence import INSTEAD, Evidence
from levelhead.records import STATUSES, Predictions

__all__ = ["TABLE", "Feature", "Features", "claim_correct", "features"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

_REFUSAL = STATUSES.index("refusal")

OWN = "column "
"""Before the name of a numeric column of the user's own, which makes it a feature."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        name: what reports and a verifier call it.
        needs: the evidence that it needs, as `Evidence.has` takes it: `confidence`, `prompt_id`,
            `event`, `claim` or keys of `evidence.COLUMNS`.
        function: evidence of N rows -> (N,) float64, NaN where a row has none.
        description: what it is, with its unit.
    """

    name: str
    needs: tuple[str, ...]
    function: Callable[[Evidence], FloatArray]
    description: str

    def __call__(self, predictions: Predictions) -> FloatArray:
        """(N,) values of this feature alone."""
        return self.function(Evidence(predictions))


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of some predictions.

    Attributes:
        names: (F,) names, keys of `TABLE`, or `column NAME` for a column of the user's own.
        values: (N, F) float64; NaN where a row has no evidence, finite elsewhere.
        empty: features for which the columns are there and no row has a value; among `names` only
            where they were asked for.
    """

    names: tuple[str, ...]
    values: FloatArray
    empty: tuple[str, ...] = ()


def features(
    predictions: Predictions, names: Iterable[str] | None = None, own: Iterable[str] = ()
) -> Features:
    """Compute the features of predictions in the claim reading.

    Args:
        predictions: records of one model; their labels are never looked at.
        names: which features, in which order; None computes every one that the records carry
            evidence for, which leaves out those without a value in any row. `column NAME` is the
            column of that name.
        own: more columns of numbers, in any unit, each of which is a feature `column NAME`.

    Returns:
        The features, row by row. Constant ones are left to whoever fits on them.

    Raises:
        InvalidInputError: an unknown name, the same name twice, a feature that was asked for whose
            columns are not there, or a column with values that cannot be.

    Edge cases: records with nothing but confidences have `stated` and `stated_missing`, `refused`,
        and events `claims_event`. Asked for by name, a feature without any value is a column of NaN.
    Properties: independent of labels and of the order of the rows; a row's features depend on no
        row of another prompt.
    Reference: token gap: arXiv:2402.10200; semantic entropy (discrete): arXiv:2302.09664;
        P(True): arXiv:2207.05221.

    Example:
        >>> p = Predictions.from_arrays("event", [0.25, 0.9], [0, 1], columns={"p_true": [0.5, 1]})
        >>> found = features(p, ["stated", "p_true"])
        >>> found.values.tolist()
        [[0.75, 0.5], [0.9, 1.0]]
    """
    evidence = Evidence(predictions)
    if names is None:
        asked = tuple(n for n, f in TABLE.items() if all(map(evidence.has, f.needs)))
    else:
        asked = _asked(names, evidence)
    added = tuple(OWN + name for name in own)
    asked += _asked((name for name in dict.fromkeys(added) if name not in asked), evidence)
    columns: dict[str, FloatArray] = {}
    empty: list[str] = []
    for name in asked:
        ours = not name.startswith(OWN)
        values = TABLE[name].function(evidence) if ours else _own(predictions, name)
        if np.isnan(values).all():
            empty.append(name)
            if names is None and ours:
                continue
        columns[name] = values
    stacked = np.column_stack(list(columns.values())) if columns else np.empty((len(evidence), 0))
    return Features(tuple(columns), stacked, tuple(empty))


def claim_correct(predictions: Predictions) -> tuple[FloatArray, FloatArray]:
    """The stated confidence in each claim, and whether the claim was right.

    answers: (c, correct); events: (max(p, 1 - p), [outcome = 1] where p >= 1/2, else [outcome = 0])

    Args:
        predictions: answers or events.

    Returns:
        stated: (N,) in [0, 1], for events in [1/2, 1]; NaN where there is no usable confidence.
        correct: (N,) 0 or 1; NaN where the truth is unknown or the model refused: neither can be
            fitted on or counted as an error.

    Edge cases: p = 1/2 (to 1e-9) claims the event, so that every claim is right or wrong; the
        `top_label` reading of the metrics lets it count half instead. An event whose probability is
        missing, unparsable or out of range claims nothing and is wrong.

    Example:
        >>> p = Predictions.from_arrays("event", [0.25, 0.5, None], [0, 0, 1])
        >>> claim_correct(p)
        (array([0.75, 0.5 ,  nan]), array([1., 0., 0.]))
    """
    evidence = Evidence(predictions)
    correct = predictions.label.copy()
    if predictions.kind == "event":
        right = np.where(evidence.claims_event == 1.0, correct, 1.0 - correct)
        nothing = np.isnan(evidence.claims_event) & ~np.isnan(correct)
        correct = np.where(nothing, 0.0, right)
    correct[predictions.status == _REFUSAL] = np.nan
    return evidence.stated.copy(), correct


def of_one_row(names: Iterable[str]) -> tuple[str, ...]:
    """The names of those features that depend on nothing but their own row."""
    alone = (n for n in names if n.startswith(OWN) or "prompt_id" not in TABLE[n].needs)
    return tuple(alone)


def numbers_of(column: Any) -> FloatArray | None:
    """(N,) the numbers of an Arrow column, or that its texts spell, NaN where there is none.

    None where it holds anything else: names, lists, dates.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_temporal(column.type):
        return None
    try:
        if is_text(column.type):
            return spelled_numbers(column, "text", "a number")
        numbers = pc.cast(column, "float64", safe=False)
    except (InvalidInputError, pa.ArrowException):  # no numbers
        return None
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _own(predictions: Predictions, name: str) -> FloatArray:
    """(N,) the numbers of a column of the user's own; NaN where it has none."""
    column = name.removeprefix(OWN)
    values = predictions.columns[column]
    found = numbers_of(values)
    if found is None:
        raise InvalidInputError(
            f"{column}: expected a column of numbers as evidence, got one of type {values.type}; "
            "convert it, or leave it out"
        )
    if np.isinf(found).any():
        i = int(np.isinf(found).argmax())
        raise InvalidInputError(
            f"{column}: expected finite numbers as evidence, got {found[i]} in row {i + 1}; correct it"
        )
    return found


def _asked(names: Iterable[str], evidence: Evidence) -> tuple[str, ...]:
    asked = tuple(names)
    there = evidence.predictions.columns.column_names
    for i, name in enumerate(asked):
        if name in asked[:i]:
            raise InvalidInputError(f"names: expected each feature once, got {name!r} again")
        if name.startswith(OWN):
            if name.removeprefix(OWN) not in there:
                raise InvalidInputError(
                    f"evidence: expected a column {name.removeprefix(OWN)}, got "
                    f"{', '.join(there) or 'no columns besides confidences'}; add it, or fit without it"
                )
            continue
        if name not in TABLE:
            raise unknown_name("feature", name, TABLE)
        for need in TABLE[name].needs:
            if not evidence.has(need):
                raise InvalidInputError(f"{name}: {_lacking(need, evidence)}")
    return asked


def _lacking(need: str, evidence: Evidence) -> str:
    """What is expected and what was got, where evidence is not there."""
    kind, end = evidence.predictions.kind, "add it, or leave the feature out"
    if need == "prompt_id":
        return f"expected prompt ids, which say whose samples belong together, got none; {end}"
    if need == "event" or (need == "answer" and kind == "event"):
        wanted = "events" if need == "event" else "answers"
        return f"expected {wanted}, got {kind}s; leave the feature out"
    ways = (("answer",),) if need == "claim" else ((need,), *INSTEAD.get(need, ()))
    wanted = " or ".join(" with ".join(way) for way in ways)
    got = ", ".join(evidence.predictions.columns.column_names) or "no columns besides confidences"
    return f"expected a column {wanted}, got {got}; {end}"


def _flag(evidence: Evidence, *statuses: str) -> FloatArray:
    codes = [STATUSES.index(status) for status in statuses]
    return np.isin(evidence.predictions.status, codes).astype(np.float64)


def _entropy(evidence: Evidence) -> FloatArray:
    p = evidence.classes
    logs = np.log(np.where(p.flat > 0.0, p.flat, 1.0))
    return -dataclasses.replace(p, flat=p.flat * logs).reduce(np.add) + 0.0


def _class_gap(evidence: Evidence) -> FloatArray:
    first, second = evidence.classes.top_two()
    return np.where(np.isneginf(second), np.nan, first - second)


def _claimed(evidence: Evidence, values: FloatArray) -> FloatArray:
    """Probabilities of the event as probabilities of what each row claims."""
    claims = evidence.claims_event
    return np.where(np.isnan(claims), np.nan, np.where(claims == 1.0, values, 1.0 - values))


def _event_probability(evidence: Evidence) -> FloatArray:
    p = evidence.predictions
    return p.confidence if p.kind == "event" else np.full(len(p), np.nan)


def _over_samples(
    evidence: Evidence, statistic: Callable[[Any, FloatArray], FloatArray]
) -> FloatArray:
    return statistic(evidence.predictions.clusters, _event_probability(evidence))


def _characters(texts: Any) -> FloatArray:
    lengths = pc.utf8_length(texts).cast("float64")
    return lengths.to_numpy(zero_copy_only=False)


_FEATURES: tuple[Feature, ...] = (
    Feature("stated", ("confidence",), lambda e: e.stated.copy(), "stated confidence in the claim"),
    Feature(
        "stated_missing",
        ("confidence",),
        lambda e: _flag(e, "missing", "unparsable", "out_of_range"),
        "1 where no usable confidence was stated",
    ),
    Feature("refused", ("confidence",), lambda e: _flag(e, "refusal"), "1 where the model refused"),
    Feature(
        "claims_event",
        ("event",),
        lambda e: e.claims_event.copy(),
        "events: 1 where the claim is that it happens",
    ),
    Feature(
        "mean_logprob",
        ("token_logprobs",),
        lambda e: e.tokens.mean(),
        "mean log-probability of the answer's tokens (length-normalized), nats",
    ),
    Feature(
        "min_token_prob",
        ("token_logprobs",),
        lambda e: np.exp(e.tokens.reduce(np.minimum)),
        "probability of the answer's least likely token",
    ),
    Feature(
        "sequence_prob",
        ("token_logprobs",),
        lambda e: np.exp(e.tokens.reduce(np.add)),
        "probability of the whole answer, the product over its tokens",
    ),
    Feature(
        "mean_token_entropy",
        ("token_entropies",),
        lambda e: e.token_entropies.mean(),
        "mean entropy at the answer's tokens, nats",
    ),
    Feature(
        "token_gap",
        ("top_logprobs",),
        lambda e: e.token_gaps.mean(),
        "mean of p(most likely token) - p(second) over the answer's tokens",
    ),
    Feature(
        "class_top",
        ("probs",),
        lambda e: e.classes.reduce(np.maximum),
        "largest class probability",
    ),
    Feature("class_gap", ("probs",), _class_gap, "largest minus second class probability"),
    Feature("class_entropy", ("probs",), _entropy, "entropy of the class probabilities, nats"),
    Feature(
        "agreement",
        ("prompt_id", "claim"),
        lambda e: e.samples.share,
        "share of the prompt's samples with this answer (events: this claim), itself included",
    ),
    Feature(
        "agreement_others",
        ("prompt_id", "claim"),
        lambda e: e.samples.others,
        "share of the prompt's other samples with this answer (events: this claim)",
    ),
    Feature(
        "n_clusters",
        ("prompt_id", "cluster"),
        lambda e: e.clusters.clusters,
        "number of semantic clusters among the prompt's samples",
    ),
    Feature(
        "semantic_entropy",
        ("prompt_id", "cluster"),
        lambda e: e.clusters.entropy,
        "entropy of the shares of those clusters, nats",
    ),
    Feature(
        "samples_mean",
        ("event", "prompt_id"),
        lambda e: _claimed(e, _over_samples(e, within_mean)),
        "events: mean probability that the prompt's samples give to this claim",
    ),
    Feature(
        "others_mean",
        ("event", "prompt_id"),
        lambda e: _claimed(e, _over_samples(e, others_mean)),
        "events: mean probability that the prompt's other samples give to this claim",
    ),
    Feature(
        "samples_sd",
        ("event", "prompt_id"),
        lambda e: _over_samples(e, within_sd),
        "events: standard deviation (ddof 1) of the prompt's stated probabilities",
    ),
    Feature("p_true", ("p_true",), lambda e: e.share("p_true"), "P(True): the model's own check"),
    Feature(
        "stated_minus_token",
        ("confidence", "token_logprobs"),
        lambda e: e.stated - np.exp(e.tokens.mean()),
        "stated confidence minus the geometric mean probability of the answer's tokens",
    ),
    Feature(
        "text_log_characters",
        ("text",),
        lambda e: np.log1p(_characters(e.texts)),
        "ln(1 + characters of the output)",
    ),
    Feature(
        "text_log_words",
        ("text",),
        lambda e: np.log1p(e.cues.words),
        "ln(1 + words of the output)",
    ),
    Feature(
        "answer_log_characters",
        ("answer",),
        lambda e: np.log1p(_characters(e.answers)),
        "answers: ln(1 + characters of the answer)",
    ),
    Feature(
        "answer_log_words",
        ("answer",),
        lambda e: np.log1p(word_counts(e.answers)),
        "answers: ln(1 + words of the answer)",
    ),
    Feature("hedges", ("text",), lambda e: e.cues.per_hundred()[0], "hedging cues per 100 words"),
    Feature(
        "assertions",
        ("text",),
        lambda e: e.cues.per_hundred()[1],
        "asserting cues per 100 words",
    ),
    Feature(
        "retrieval_support",
        ("retrieval_support",),
        lambda e: e.share("retrieval_support"),
        "how far retrieved evidence supports the answer, 0 to 1",
    ),
    Feature(
        "contradiction",
        ("contradiction",),
        lambda e: e.share("contradiction"),
        "how far retrieved evidence contradicts the answer, 0 to 1",
    ),
    Feature(
        "judge_mean",
        ("judge_scores",),
        lambda e: e.judges.mean(),
        "mean score of the judges, in their unit",
    ),
    Feature(
        "judge_disagreement",
        ("judge_scores",),
        lambda e: e.judges.spread(),
        "standard deviation (ddof 1) of the judges' scores, in their unit",
    ),
    Feature(
        "pass_rate",
        ("pass_rate",),
        lambda e: e.share("pass_rate"),
        "given pass rate of the prompt or its like; it must not come from these records' labels",
    ),
)

TABLE: dict[str, Feature] = {feature.name: feature for feature in _FEATURES}
"""The features by name, in the order in which they are computed."""
