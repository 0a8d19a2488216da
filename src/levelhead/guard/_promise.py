"""A threshold and what it promises, in words and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from levelhead._arrays import ArrayLike, BoolArray, vector
from levelhead._text import p_value
from levelhead.errors import InvalidInputError

__all__ = ["Cell", "Threshold", "certainty"]

MAX_COUNT = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """One threshold that was tested.

    Attributes:
        value: the threshold; rows with a score >= value are in the cell.
        answered: how many rows these are.
        errors: how many of them are wrong, or the sum of their losses.
        p_value: P(at most so many errors | error rate = max_error), or for method "crc" the bound on
            the loss that is compared with `max_error`.
    """

    value: float
    answered: int
    errors: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The lowest score that is answered, and what was tested to get there.

    Attributes:
        value: rows with a score >= value are answered; None answers nothing.
        max_error: the promised error rate among the answered; for "crc" the mean loss per row.
        delta: in how many of all samples the promise may fail; None for "crc".
        method: "ltt" (Learn-then-Test) or "crc" (conformal risk control).
        n: rows that were looked at, those without a score included.
        n_answered: rows at or above `value`.
        n_errors: errors among them; for "crc" the sum of their losses.
        p_value: that of `value` ("ltt"); None where nothing is answered and for "crc".
        n_min: cells with fewer rows were left out; 0 for "crc".
        grid_size: thresholds in the grid, tested or not.
        path: the tested cells in order; the last one failed unless the grid ended.
        bound: the largest loss possible; 1 for "ltt".
    """

    value: float | None
    max_error: float
    delta: float | None
    method: Literal["ltt", "crc"]
    n: int
    n_answered: int
    n_errors: float
    p_value: float | None
    n_min: int
    grid_size: int
    path: tuple[Cell, ...]
    bound: float = 1.0

    @property
    def coverage(self) -> float:
        """The share of the rows that is answered."""
        return self.n_answered / self.n

    @property
    def promise(self) -> str:
        """What holds for new rows, and on which condition."""
        like = f"as long as new prompts are like these {self.n:,}"
        if self.value is None:
            return (
                f"Nothing is answered, so no answer is wrong: no threshold passed on {self.n:,} "
                "prompts"
            )
        if self.method == "crc":
            return (
                f"The mean loss per prompt, 0 where nothing is answered, is at most "
                f"{self.max_error:g} on average over samples like this one, {like}; "
                "this says nothing about the share of errors among the answered"
            )
        return (
            f"At most {_percent(self.max_error)} of the answered are wrong, with "
            f"{certainty(self.delta or 0.0)} certainty, {like}"
        )

    @property
    def sentence(self) -> str:
        """What the rule found on the rows at hand."""
        if self.value is None:
            return self._nothing()
        what = (
            f"{_percent(self.n_errors / self.n_answered)} of them wrong ({self.n_errors:,.0f})"
            if self.method == "ltt" and self.n_answered
            else f"with a total loss of {self.n_errors:g}"
        )
        return (
            f"Answers at a score of at least {self.value:g}: {self.n_answered:,} of {self.n:,} "
            "prompts "
            f"({_percent(self.coverage)}), {what}"
        )

    def _nothing(self) -> str:
        if self.method == "crc":
            return (
                f"Answers nothing: even the strictest threshold may lose more than "
                f"{self.max_error:g} per prompt on average (a bound of {self.bound:g} / (n + 1) "
                f"alone is {self.bound / (self.n + 1):.3g})"
            )
        if not self.path:
            return (
                f"Answers nothing: no threshold has {self.n_min:,} prompts above it, and fewer "
                "prove nothing; use more prompts"
            )
        first = self.path[0]
        return (
            f"Answers nothing: {first.errors:,.0f} of the {first.answered:,} prompts with a score of at "
            f"least {first.value:g} are wrong, which does not show an error rate of at most "
            f"{_percent(self.max_error)} ({p_value(first.p_value, self.delta)})"
        )

    def answers(self, score: ArrayLike) -> BoolArray:
        """(N,) True where a row is answered; a NaN score never is."""
        array = vector("score", score)
        return np.zeros(array.size, np.bool_) if self.value is None else array >= self.value

    def state(self) -> dict[str, Any]:
        """All fields as plain JSON values; floats stay exact."""
        state = dataclasses.asdict(self)
        state["path"] = [list(dataclasses.astuple(cell)) for cell in self.path]
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Threshold:
        """The threshold that `state()` described."""
        fields = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(state, Mapping) or set(state) != fields:
            raise InvalidInputError(
                f"threshold: expected the entries {', '.join(sorted(fields))}, got "
                f"{', '.join(sorted(map(str, state))) or 'none'}; set the threshold again"
            )
        value, n, method = state["value"], state["n"], state["method"]
        good = (
            (value is None or _is_number(value))
            and method in ("ltt", "crc")
            and all(_is_number(state[k]) for k in ("max_error", "n_errors", "bound"))
            and all(_is_number(state[k]) or state[k] is None for k in ("delta", "p_value"))
            and all(_is_count(state[k]) for k in ("n", "n_answered", "n_min", "grid_size"))
            and n > 0
            and state["n_answered"] <= n
            and isinstance(state["path"], list)
            and all(
                isinstance(c, list) and len(c) == 4 and all(map(_is_number, c))
                for c in state["path"]
            )
        )
        if not good:
            raise InvalidInputError(
                "threshold: expected the entries as they were saved, got others; set the threshold again"
            )
        entries: dict[str, Any] = dict(state)
        entries["path"] = tuple(Cell(*cell) for cell in state["path"])
        return cls(**entries)


def _is_number(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= MAX_COUNT  # beyond it some are no floats at all
    return isinstance(value, float) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def certainty(delta: float) -> str:
    """1 - delta in percent, with the decimals that tell it from 100%.

    Example:
        >>> certainty(0.05), certainty(0.1), certainty(0.0001), certainty(0.05 / 3)
        ('95%', '90%', '99.99%', '98.3%')
    """
    failing = 100.0 * delta
    decimals = max(0, 1 - math.floor(math.log10(failing))) if failing > 0.0 else 0
    text = f"{100.0 - failing:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g}%"
