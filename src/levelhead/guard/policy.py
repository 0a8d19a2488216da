"""What to do with each answer: give it, hand it on, or stay silent."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import ArrayLike, real, vector
from levelhead.errors import InvalidInputError
from levelhead.guard._promise import certainty
from levelhead.guard.ranking import MARGIN
from levelhead.guard.threshold import Threshold, slice_labels

__all__ = ["ABSTAIN", "ANSWER", "DECISIONS", "ESCALATE", "Policy", "decision_names"]

DECISIONS = ("answer", "escalate", "abstain")
"""The names of the decision codes 0, 1 and 2."""

ANSWER, ESCALATE, ABSTAIN = range(3)

FIELDS = ("thresholds", "by", "escalate_above", "margin")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Thresholds, and what happens below them.

    A row is *answered* where its score reaches the threshold of its slice, *escalated* (to a person
    or a stronger model) where it reaches `escalate_above` only, and abstained from otherwise. A slice
    without a threshold, be it new or one where none passed, is never answered.

    Attributes:
        thresholds: by slice; one entry "" where there are no slices.
        by: the column that holds the slice; None: one threshold for all.
        escalate_above: scores from here on are worth a second look; None: nothing is escalated.
        margin: how far a stated confidence may exceed the verified one, see `ranking.overconfident`.
    """

    thresholds: Mapping[str, Threshold]
    by: str | None = None
    escalate_above: float | None = None
    margin: float = MARGIN

    def __post_init__(self) -> None:
        bad = [k for k, t in self.thresholds.items() if not isinstance(t, Threshold)]
        if not self.thresholds or bad:
            raise InvalidInputError(
                "thresholds: expected a Threshold for each slice, got "
                f"{'none' if not bad else f'something else for {bad[0]!r}'}"
            )
        if self.by is None and set(self.thresholds) != {""}:
            raise InvalidInputError(
                "thresholds: expected the single entry '' without slices, got "
                f"{', '.join(map(repr, sorted(self.thresholds)))}; name the slices' column with by="
            )
        if self.escalate_above is not None and not np.isfinite(
            real("escalate_above", self.escalate_above)
        ):
            raise InvalidInputError(
                f"escalate_above: expected a finite number or None, got {self.escalate_above}"
            )
        if not 0.0 <= real("margin", self.margin) <= 1.0:
            raise InvalidInputError(f"margin: expected a value in [0, 1], got {self.margin}")

    @property
    def promise(self) -> str:
        """What holds for new rows, over all slices at once."""
        if self.by is None:
            return self.thresholds[""].promise
        first = next(iter(self.thresholds.values()))
        answering = [name for name, t in self.thresholds.items() if t.value is not None]
        if not answering:
            return (
                f"Nothing is answered, so no answer is wrong: no threshold passed in any {self.by}"
            )
        if first.delta is None:
            return f"In each {self.by} that is answered: {self.thresholds[answering[0]].promise}"
        total = sum(t.delta or 0.0 for t in self.thresholds.values())
        n = sum(t.n for t in self.thresholds.values())
        return (
            f"At most {100 * first.max_error:.3g}% of the answered are wrong in each of the "
            f"{len(self.thresholds):,} values of {self.by}, with {certainty(total)} certainty for all "
            f"of them at once, as long as new prompts are like these {n:,}"
        )

    @property
    def sentence(self) -> str:
        """What the thresholds did on the rows that they were set on."""
        if self.by is None:
            return self.thresholds[""].sentence
        return "; ".join(f"{self.by} {k!r}: {t.sentence}" for k, t in self.thresholds.items())

    def decide(
        self, score: ArrayLike, slices: Sequence[Any] | npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.int8]:
        """What to do with each row.

        Args:
            score: (N,) the score that the thresholds were set on; NaN is never answered.
            slices: (N,) the slice of each row; needed where the policy has `by`, and only there.

        Returns:
            (N,) int8 codes, whose names are `DECISIONS`: 0 answer, 1 escalate, 2 abstain.

        Raises:
            InvalidInputError: slices are missing or unexpected, or the lengths differ.

        Edge cases: a slice that was not there when the thresholds were set is never answered: it is
            escalated from `escalate_above` on and abstained from otherwise. `unseen` counts these.

        Example:
            >>> from levelhead.guard.threshold import risk_threshold
            >>> t = risk_threshold([0.8] * 100 + [0.1] * 20, [0] * 100 + [1] * 20, max_error=0.1)
            >>> t.value, Policy({"": t}, escalate_above=0.05).decide([0.9, 0.1, 0.0])
            (0.12, array([0, 1, 2], dtype=int8))
        """
        scores = vector("score", score)
        if self.by is None and slices is not None:
            raise InvalidInputError(
                "slices: expected none, since this policy has one threshold for all rows, got some"
            )
        least = np.full(scores.size, np.inf)
        if self.by is None:
            value = self.thresholds[""].value
            least[:] = np.inf if value is None else value
        else:
            names = list(self.thresholds)
            number = {name: i for i, name in enumerate(names)}
            labels = self._labels(slices, scores.size)
            code = np.fromiter((number.get(one, -1) for one in labels), np.int64, scores.size)
            values = [self.thresholds[name].value for name in names]
            table = np.array([np.inf if v is None else v for v in values] + [np.inf])
            least = table[code]
        # An infinite score would reach an infinite threshold, which stands for "never".
        answered = np.isfinite(least) & (scores >= least)
        decision = np.where(answered, ANSWER, ABSTAIN).astype(np.int8)
        if self.escalate_above is not None:
            decision[~answered & (scores >= self.escalate_above)] = ESCALATE
        return decision

    def unseen(self, slices: Sequence[Any] | npt.NDArray[Any]) -> dict[str, int]:
        """How many rows each slice has that no threshold was set for, the most frequent first."""
        if self.by is None:
            return {}
        labels = slice_labels(slices, len(slices))
        return dict(
            Counter(label for label in labels if label not in self.thresholds).most_common()
        )

    def state(self) -> dict[str, Any]:
        """All fields as plain JSON values; floats stay exact."""
        return {
            "thresholds": {name: t.state() for name, t in self.thresholds.items()},
            "by": self.by,
            "escalate_above": self.escalate_above,
            "margin": self.margin,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Policy:
        """The policy that `state()` described."""
        if not isinstance(state, Mapping) or set(state) != set(FIELDS):
            raise InvalidInputError(
                f"policy: expected the entries {', '.join(FIELDS)}, got others; set the threshold again"
            )
        thresholds, by = state["thresholds"], state["by"]
        if not isinstance(thresholds, Mapping) or not (by is None or isinstance(by, str)):
            raise InvalidInputError(
                "policy: expected thresholds by slice and the name of a column, got others; "
                "set the threshold again"
            )
        found = {str(name): Threshold.from_state(one) for name, one in thresholds.items()}
        return cls(found, by, state["escalate_above"], state["margin"])

    def to_json(self) -> str:
        """`state()` as JSON text."""
        return json.dumps(self.state(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """The policy that `to_json` wrote."""
        try:
            return cls.from_state(json.loads(text))
        except json.JSONDecodeError as error:
            raise InvalidInputError(
                f"policy: expected JSON, got something else ({error})"
            ) from error

    def _labels(self, slices: Sequence[Any] | npt.NDArray[Any] | None, size: int) -> list[str]:
        if slices is None:
            raise InvalidInputError(
                f"slices: expected the column {self.by!r}, by which the thresholds were set, got none"
            )
        return slice_labels(slices, size)


def decision_names(decisions: npt.NDArray[np.int8]) -> list[str]:
    """The names of decision codes, for a column of texts."""
    return [DECISIONS[code] for code in decisions.tolist()]
