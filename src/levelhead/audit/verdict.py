"""The verdict in words: what the numbers of one model say, and how sure that is."""

from __future__ import annotations

from levelhead._text import interval, number, p_value, percent
from levelhead.audit.result import MetricRow, NullRow, Verdict

__all__ = ["MATERIAL_GAP", "SMALL_ECE", "TOO_FEW", "verdict"]

TOO_FEW = 30
"""Below this many scored records no verdict is given."""

SMALL_ECE = 0.05
"""A model is called calibrated only where the whole interval of its ECE lies below this."""

MATERIAL_GAP = 0.02
"""A significant gap between confidence and accuracy below this is called slight."""

SIGNIFICANT = 0.05


def verdict(
    metrics: dict[str, MetricRow], null: NullRow | None, n: int, *, kind: str, asserted: int = 0
) -> Verdict:
    """The verdict on one model.

    Overconfident or underconfident: the interval of mean confidence minus accuracy excludes 0.
    Miscalibrated: it does not, but the ECE is larger than chance explains (p < 0.05).
    Calibrated: neither, and the ECE's whole interval lies below `SMALL_ECE`. Otherwise inconclusive,
    as it is where no record states a confidence.

    Args:
        metrics: rows by name; needs `ece`, `overconfidence`, `mean_confidence`, `accuracy`.
        null: what a calibrated model would show, or None where it is unknown.
        n: number of scored records.
        kind: `answer` or `event`.
        asserted: how many of them state no usable confidence and count as claims of certainty.

    Returns:
        The label, the headline and supporting sentences.
    """
    if n and asserted >= n:
        return Verdict(
            "inconclusive",
            f"No confidence stated: none of {n:,} records has one that can be read, so there is no "
            f"calibration to judge; it is right {percent(metrics['accuracy'].value)} of the time",
            (
                "The numbers below count every record as a claim of certainty. Where the model does "
                "state a confidence, name its column or format (--confidence, --elicitation, --pattern).",
            ),
        )
    ece, gap = metrics["ece"], metrics["overconfidence"]
    says, right = metrics["mean_confidence"].value, metrics["accuracy"].value
    label = _label(ece, gap, null, n)
    slight = gap.value is not None and abs(gap.value) < MATERIAL_GAP
    names = {
        "overconfident": "Slightly overconfident" if slight else "Overconfident",
        "underconfident": "Slightly underconfident" if slight else "Underconfident",
        "miscalibrated": "Miscalibrated, though not in one direction",
        "calibrated": "Calibrated as far as these data can tell",
        "inconclusive": "Too few data for a verdict" if n < TOO_FEW else "Undecided",
    }
    chance = "" if null is None else f", {null.expected:.3f} would be expected by chance"
    headline = (
        f"{names[label]}: says {percent(says)} on average, is right {percent(right)} of the time; "
        f"ECE {number(ece.value)}{_interval(ece)}{chance}"
    )
    sentences = _sentences(metrics, null, label, kind, n)
    if asserted:
        sentences.insert(0, _asserted_sentence(metrics, asserted, n))
    return Verdict(label, headline, tuple(sentences))


def _label(ece: MetricRow, gap: MetricRow, null: NullRow | None, n: int) -> str:
    if n < TOO_FEW or ece.value is None:
        return "inconclusive"
    if gap.low is not None and gap.low > 0.0:
        return "overconfident"
    if gap.high is not None and gap.high < 0.0:
        return "underconfident"
    if null is not None and null.p_value < SIGNIFICANT:
        return "miscalibrated"
    if ece.high is not None and ece.high <= SMALL_ECE:
        return "calibrated"
    return "inconclusive"


def _sentences(
    metrics: dict[str, MetricRow], null: NullRow | None, label: str, kind: str, n: int
) -> list[str]:
    out: list[str] = []
    if n < TOO_FEW:
        out.append(f"An audit needs at least {TOO_FEW} scored records, these are {n}.")
    elif label == "inconclusive":
        out.append(
            "The intervals are too wide to call this model calibrated; more records would help."
        )
    wrong, sure = metrics.get("confidence_on_errors"), metrics.get("errors_at_90")
    if (
        wrong is not None
        and sure is not None
        and wrong.value is not None
        and sure.value is not None
    ):
        out.append(
            f"When it is wrong it still says {percent(wrong.value)} on average; "
            f"{percent(sure.value)} of its errors are stated at 90% or more."
        )
    trust = metrics.get("trust")
    if trust is not None and trust.value is not None and n >= TOO_FEW:
        out.append(_trust_sentence(trust))
    if null is not None and n >= TOO_FEW:
        beyond = "more than chance explains" if null.p_value < SIGNIFICANT else "within chance"
        gap = ""
        if null.p_value >= SIGNIFICANT and label in ("overconfident", "underconfident"):
            gap = "; what is beyond chance is the mean gap between confidence and accuracy"
        out.append(
            f"A perfectly calibrated model with the same confidences would show ECE "
            f"{null.expected:.3f} (95% of the time below {null.quantile_95:.3f}); "
            f"this is {beyond} ({p_value(null.p_value, SIGNIFICANT)}){gap}."
        )
    if kind == "event":
        out.append(
            "Its confidences are probabilities of events: ECE, AUROC, Brier and NLL read them as such; "
            "confidence, accuracy, overconfidence, Trust and the selective metrics read each as a claim "
            "of the likelier outcome."
        )
    return out


def _asserted_sentence(metrics: dict[str, MetricRow], asserted: int, n: int) -> str:
    parsed = {name: metrics[name].parsed for name in ("mean_confidence", "accuracy", "ece")}
    return (
        f"{asserted:,} of {n:,} records state no usable confidence and count as claims of certainty; "
        f"the others alone say {percent(parsed['mean_confidence'])}, are right "
        f"{percent(parsed['accuracy'])} of the time, ECE {number(parsed['ece'])}."
    )


def _trust_sentence(trust: MetricRow) -> str:
    value = f"{number(trust.value, 2)}{_interval(trust, 2)}"
    score = f"Trustworthiness is {value} (1 is perfect, 0 is silence)"
    if trust.high is not None and trust.high < 0.0:
        return f"{score}: acting on its confidence is worse than not asking it."
    if trust.low is not None and trust.low > 0.0:
        return f"{score}: acting on its confidence is better than not asking it."
    return f"{score}: it is not clear that acting on its confidence beats not asking it."


def _interval(row: MetricRow, digits: int = 3) -> str:
    text = interval(row.low, row.high, digits)
    return f" {text}" if text else ""
