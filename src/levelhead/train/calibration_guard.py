"""Watches a run: an alarm when the calibration error has really risen above the baseline's.

A plug-in ECE moves with every look, and higher where a model spreads its statements over more bins, so
that a bare comparison would cry wolf. Each look is a test of the difference of two honest intervals
on the same prompts, and all looks of a run share one level.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np

from levelhead import metrics
from levelhead._text import plural
from levelhead.errors import DataWarning, InvalidInputError, unknown_name
from levelhead.records import STATUSES, Predictions
from levelhead.train.evaluation import scored

__all__ = ["Alarm", "CalibrationGuard"]

ACTIONS = ("off", "warn", "stop")
LEAST_ITEMS = 30
"""Common prompts below which nothing is called worse."""

RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Alarm:
    """The calibration error has risen.

    Attributes:
        step: updates done when it was seen.
        sentence: what happened, for people.
        stop: whether the run shall end.
        ece: of the predictions, on the prompts that both have.
        baseline_ece: of the baseline, on the same prompts.
        low: lower end of the interval of their difference, above 0.
        look: which look it was, from 1.
        level: the share of the run's level that this look had.
    """

    step: int
    sentence: str
    stop: bool
    ece: float
    baseline_ece: float
    low: float
    look: int
    level: float


class CalibrationGuard:
    """Alarms when the ECE is significantly above the baseline's.

    At look k the lower end of the one-sided interval of ECE - ECE_baseline must exceed 0, at level
    a_k = level / (2 looks) for the first `looks` looks, then level / (8 looks) for the next 2 looks,
    and so on: the a_k of any number of looks add up to at most `level`, which bounds the chance of any
    false alarm in a run (Bonferroni).

    Args:
        action: `off` (no test), `warn`, or `stop`, which asks the loop to end.
        level: chance of a false alarm in a whole run, in (0, 0.5].
        baseline: what to compare with; None is the first predictions that are checked.
        looks: about how often `check` will be called, at least 1. More calls are fine, with less power.

    Attributes:
        action: as given.
        looks_done: tests so far.
        first_alarm: step of the first alarm, or None.

    Raises:
        InvalidInputError: an unknown action, a level or number out of its range, or a baseline without
            prompt ids or truths.

    Edge cases: a format that is not kept counts as claims of certainty (`evaluation.scored`), so its
        collapse is an alarm too. The tests simulate 2,000 samples, so a share of the level below 1/2000
        is not resolved. With fewer than 30 prompts in common it never alarms, and says so once.
    Properties: prompts are compared with themselves, and whole prompts are resampled; outcomes that
        several samples share are no evidence twice. It errs on the side of silence: with 500 prompts,
        a level of 5% and 20 looks, a rise to 0.18 is noticed at the first look, and one to 0.10 at one
        look in three.
    Reference: `metrics.paired_differences`; the effect it watches for is that of arXiv:2508.11800.
    """

    def __init__(
        self,
        action: str = "warn",
        level: float = 0.05,
        baseline: Predictions | None = None,
        *,
        looks: int = 20,
    ) -> None:
        if action not in ACTIONS:
            raise unknown_name("guard.action", action, ACTIONS)
        if not 0.0 < level <= 0.5:
            raise InvalidInputError(f"guard.level: expected a number in (0, 0.5], got {level}")
        if looks < 1:
            raise InvalidInputError(f"looks: expected at least 1, got {looks}")
        self.action: Literal["off", "warn", "stop"] = cast(Any, action)
        self.level, self.looks = level, looks
        self.looks_done, self.first_alarm = 0, cast(int | None, None)
        self._baseline: _Sample | None = None
        self._warned = False
        if baseline is not None and action != "off":
            self._baseline = _Sample.of(baseline, "baseline")

    def check(self, step: int, predictions: Predictions) -> Alarm | None:
        """One look.

        Args:
            step: updates done.
            predictions: of the model as it is, on the prompts of the baseline.

        Returns:
            An alarm, or None where there is no reason for one, the action is `off`, or these were the
            first predictions and became the baseline.

        Raises:
            InvalidInputError: predictions of another kind than the baseline's, without prompt ids or
                truths, or on other prompts.
        """
        if self.action == "off":
            return None
        now = _Sample.of(predictions, "predictions")
        if self._baseline is None:
            self._baseline = now
            return None
        base = self._baseline
        if now.kind != base.kind:
            raise InvalidInputError(
                f"guard.baseline: expected {now.kind} predictions, as the run makes, got {base.kind} "
                "predictions; choose another file"
            )
        common = len(set(now.items) & set(base.items))
        if not common:
            raise InvalidInputError(
                f"guard.baseline: expected the prompts that the run is evaluated on (such as "
                f"{now.items[0]!r}), got others (such as {base.items[0]!r}); write the baseline with "
                "the same task and the same split, or use guard.baseline=first"
            )
        if common < LEAST_ITEMS:
            if not self._warned:
                warnings.warn(
                    f"the calibration guard has {plural(common, 'prompt')} in common with its baseline "
                    f"and needs {LEAST_ITEMS}; it will not alarm, so evaluate on more prompts",
                    DataWarning,
                    stacklevel=2,
                )
            self._warned = True
            return None
        self.looks_done += 1
        return self._look(step, now, base)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, in plain values.

        Returns:
            What `restore` takes.
        """
        base = None if self._baseline is None else dataclasses.asdict(self._baseline)
        return {
            "looks_done": self.looks_done,
            "first_alarm": self.first_alarm,
            "baseline": base,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another guard with the same settings was.

        Args:
            state: what `state` returned.
        """
        self.looks_done, self.first_alarm = state["looks_done"], state["first_alarm"]
        self._baseline = None if state["baseline"] is None else _Sample(**state["baseline"])

    def _look(self, step: int, now: _Sample, base: _Sample) -> Alarm | None:
        share = self._share(self.looks_done)
        difference = metrics.paired_differences(
            now.confidence,
            now.correct,
            base.confidence,
            base.correct,
            ["ece"],
            clusters_a=now.items,
            clusters_b=base.items,
            n_boot=RESAMPLES,
            n_permutations=2,  # its p-value asks whether the models are alike, and is not read
            level=1.0 - 2.0 * share,
        )["ece"]
        if not difference.low > 0.0:
            return None
        again = self.first_alarm is not None
        self.first_alarm = self.first_alarm if again else step
        ending = "the run stops here" if self.action == "stop" else "the run goes on"
        sentence = (
            f"step {step}: the calibration error has risen from {difference.value_b:.3f} to "
            f"{difference.value_a:.3f} on {plural(difference.n_clusters, 'prompt')} (by at least "
            f"{difference.low:.3f}; chance of a false alarm in the whole run below "
            f"{100 * self.level:g}%), mean confidence minus accuracy from {base.over():+.3f} to "
            f"{now.over():+.3f}; {ending}"
        )
        return Alarm(
            step=step,
            sentence=sentence,
            stop=self.action == "stop",
            ece=difference.value_a,
            baseline_ece=difference.value_b,
            low=difference.low,
            look=self.looks_done,
            level=share,
        )

    def _share(self, look: int) -> float:
        """Of the level, for the k-th look: halves of it for blocks of looks that double in length."""
        block = int(math.log2((look - 1) // self.looks + 1))
        return self.level / 2 ** (block + 1) / (self.looks * 2**block)


@dataclasses.dataclass(frozen=True)
class _Sample:
    """One model's scored records, as plain values."""

    kind: str
    confidence: Sequence[float]
    correct: Sequence[float]
    items: Sequence[str]

    @staticmethod
    def of(predictions: Predictions, name: str) -> _Sample:
        rows = scored(predictions)
        if predictions.prompt_id is None or predictions.n_without_prompt:
            raise InvalidInputError(
                f"guard {name}: expected a prompt id in every record, got some without; they are "
                "compared prompt by prompt"
            )
        if not rows.confidence.size:
            refused = int(np.count_nonzero(predictions.status == STATUSES.index("refusal")))
            raise InvalidInputError(
                f"guard {name}: expected records with a truth, got none among "
                f"{len(predictions):,} ({refused:,} are refusals)"
            )
        ids = predictions.prompt_id.to_pylist()
        return _Sample(
            predictions.kind,
            rows.confidence.tolist(),
            rows.correct.tolist(),
            [ids[i] for i in np.flatnonzero(rows.kept).tolist()],
        )

    def over(self) -> float:
        """Overconfidence; an event is read as a claim of its likelier side."""
        c, y = np.asarray(self.confidence), np.asarray(self.correct)
        if self.kind == "event":
            c, y = metrics.top_label(c, y)
        return metrics.overconfidence(c, y)
