"""The audit of a model against its base, as the first section of a diagnosis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levelhead._arrays import BoolArray
from levelhead._text import interval, number, percent, signed
from levelhead.audit.convention import convention
from levelhead.audit.model_records import ModelRecords
from levelhead.audit.summary import audit
from levelhead.errors import InvalidInputError
from levelhead.records import Predictions

if TYPE_CHECKING:
    from levelhead.audit.result import AuditResult, MetricRow
    from levelhead.diagnose.section import Section

__all__ = ["audit_section", "audited"]

NEEDED = (
    "ece",
    "mean_confidence",
    "accuracy",
    "overconfidence",
    "errors_at_90",
    "brier",
    "auroc",
    "trust",
)
"""The metrics of the audit that are shown; `levelhead audit` has them all."""


def audited(
    base: Predictions,
    tuned: Predictions,
    rules: str,
    *,
    n_boot: int,
    level: float,
    seed: int,
    on_step: Callable[[str], None],
) -> AuditResult:
    """The audit of both models on the prompts that both have.

    Args:
        base: of the base model.
        tuned: of the tuned model, under another name.
        rules: name of the convention that bins and that counts missing confidences.
        n_boot: bootstrap replicates.
        level: of the intervals.
        seed: of every random number.
        on_step: called with a line about each step as it begins.

    Returns:
        Both models and their comparison.
    """
    warnings: list[str] = []
    if base.prompt_id is not None and tuned.prompt_id is not None:
        both = base, tuned
        base, tuned = (one.take(_shared(one, other)) for one, other in (both, both[::-1]))
        left = [len(before) - len(after) for before, after in zip(both, (base, tuned), strict=True)]
        if not len(base):
            raise InvalidInputError(
                "expected prompts that both models have, got none in common; name the column of "
                "prompt ids with --prompt-id"
            )
        if any(left):
            warnings.append(
                f"{left[0]:,} records of {base.model} and {left[1]:,} of {tuned.model} are left out of "
                "the calibration: the other has none of their prompts"
            )
    given = convention(rules)
    records = []
    for one in (base, tuned):
        kept = ModelRecords(one.model, given.missing, ())
        kept.add(one, one.model, len(one))
        records.append(kept)
    return audit(
        records[1:],
        given,
        baseline=records[0],
        n_boot=n_boot,
        level=level,
        seed=seed,
        warnings=warnings,
        on_step=on_step,
    )


def _shared(one: Predictions, other: Predictions) -> BoolArray:
    """Which rows of the one have a prompt that the other has; those without an id have none."""
    both: list[Any] = [one.prompt_id, other.prompt_id]
    mine, theirs = (
        ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids for ids in both
    )
    return np.asarray(cast(Any, pc).is_in(mine, theirs.unique(), skip_nulls=True))


WORDS = {
    True: ("WORSE CALIBRATED", "bad", "is worse calibrated than"),
    False: ("BETTER CALIBRATED", "good", "is better calibrated than"),
    None: ("NO CLEAR CHANGE", "open", "is not clearly better or worse calibrated than"),
}
"""What a change of the ECE is called, what it means, and the same in a sentence."""

STEPS = {
    True: (
        "levelhead lint RECIPE says which setting of the training does this",
        "levelhead calibrate repairs confidences without training; levelhead guard abstains where they "
        "are wrong",
    ),
    False: (),
    None: (),
}
"""What to do about it."""

EXPLAINED = "Overconfidence is the mean confidence minus the accuracy."
"""The definition that a label has in brackets, which a terminal would cut."""


def audit_section(result: AuditResult) -> Section:
    """The audit of a model against its base as a section.

    Args:
        result: of one model with one baseline.

    Returns:
        What changed, the calibration error of both with its null, and their reliability.
    """
    from levelhead.audit import charts
    from levelhead.diagnose.section import Chart, Section, Table

    (comparison,) = result.comparisons
    models = {one.name: one for one in result.models}
    tuned, base = models[comparison.model], models[comparison.baseline]
    changes = {row.name: row for row in comparison.rows}
    ece = changes["ece"]
    word, tone, how = WORDS[ece.worse]
    header = ("metric", base.name, tuned.name, "change", "interval")
    rows = [
        (row.label.partition(" (")[0], row.baseline_value, row.model_value, row.difference,
         "" if row.low is None or row.high is None else f"{signed(row.low)} to {signed(row.high)}")
        for name in NEEDED if (row := changes.get(name)) is not None
    ]  # fmt: skip
    drawn = charts.reliability_diagram({one.name: one.reliability for one in (base, tuned)})
    svg = charts.to_svg(
        cast(Any, drawn.figure), prefix="audit-1", label="reliability of both models"
    )
    headline = f"{tuned.name} {how} {base.name}"
    if ece.difference is not None and ece.low is not None and ece.high is not None:
        headline += (
            f": ECE {number(ece.baseline_value)} to {number(ece.model_value)}, a change of "
            f"{signed(ece.difference)} {interval(ece.low, ece.high, change=True)}"
        )
    measures = [_measure(one.name, one.metric("ece"), one.null) for one in (base, tuned)]
    sentences = [
        f"{base.name} says {percent(base.metric('mean_confidence').value)} on average and is right "
        f"{percent(base.metric('accuracy').value)} of the time.",
        f"{tuned.name} alone: {tuned.verdict.headline}.",
        *tuned.verdict.sentences,
    ]
    if any(one.value is not None and one.low is not None and one.value > (one.high or 1.0)
           for one in measures):  # fmt: skip
        sentences.append(
            "An ECE counts chance as error; its interval takes that out, and so may lie below it."
        )
    return Section(
        name="audit",
        title="Overconfidence",
        verdict=word,
        tone=cast(Any, tone),
        headline=f"{headline}.",
        sentences=sentences,
        measures=measures,
        charts=[Chart("Reliability", "Below the diagonal a model is surer than it is right.", svg)],
        tables=[Table("Changes", header, rows, EXPLAINED, change=("change",))],
        next_steps=STEPS[ece.worse],
        warnings=[*result.warnings, *(w for one in (base, tuned) for w in one.warnings)],
        notes=[f"seed {result.seed}; levelhead audit shows more of this", *result.notes],
        data={"changes": [dataclasses.asdict(row) for row in comparison.rows]},
    )


def _measure(name: str, ece: MetricRow, null: Any) -> Any:
    from levelhead.diagnose.section import Measure

    return Measure(
        f"ECE of {name}", ece.value, ece.low, ece.high, None if null is None else null.expected,
        "beside it stands what a calibrated model with these confidences would show",
    )  # fmt: skip
