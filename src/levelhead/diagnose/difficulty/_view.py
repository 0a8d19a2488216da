"""What the diagnosis of difficulty found, before it is put into words."""

from __future__ import annotations

import dataclasses

from levelhead.diagnose.difficulty._amplify import EstimatorCounts
from levelhead.diagnose.difficulty._bands import Bands, PassCounts
from levelhead.diagnose.difficulty._shortcuts import ShortcutTest
from levelhead.diagnose.difficulty._suite import RegressionSuite
from levelhead.diagnose.difficulty._text import Span

__all__ = ["BandRow", "Example", "DifficultyResult"]


@dataclasses.dataclass(frozen=True)
class BandRow:
    """A band of difficulty.

    Attributes:
        name: of the band.
        prompts: how many prompts are in it.
        rate: their mean pass rate where difficulty was told, None without prompts.
        rate_after: that of the tuned model, None without a base or prompts in common.
        update: share of the estimator's expected update, None where there is none at all.
        gradient: share under the gradient of the pass rate itself.
        flagged: share of flagged texts among right answers of the tuned model, None without any.
        flagged_base: that of the base.
    """

    name: str
    prompts: int
    rate: float | None
    rate_after: float | None
    update: float | None
    gradient: float | None
    flagged: float | None
    flagged_base: float | None


@dataclasses.dataclass(frozen=True)
class Example:
    """A right answer that is flagged.

    Attributes:
        prompt: its id.
        sample: which of the tuned model's answers to the prompt it is, from 1, as they were read.
        samples: how many there are.
        band: of the prompt.
        reasons: what the detectors say.
        excerpt: some words from where a repetition begins, or those that lead to an answer without work.
        spans: where all evidence stands.
    """

    prompt: str
    sample: int
    samples: int
    band: str
    reasons: tuple[str, ...]
    excerpt: str
    spans: tuple[Span, ...]


@dataclasses.dataclass(frozen=True)
class DifficultyResult:
    """What `diagnose_difficulty` found.

    Attributes:
        tuned: name of the tuned model.
        base: name of the base, or None.
        bands: difficulty for the base, or for the tuned model without one.
        after: right samples of the tuned model, where there is a base.
        by_count: the estimator.
        rows: one for each of `BANDS`.
        flip: share of hard prompts from which on a model drifts to guessing under the estimator, None
            where there is no such share.
        true_flip: the same under the gradient of the pass rate.
        has_texts: whether there were texts.
        test: of shortcuts, None without a base or texts.
        never: (share flagged, answers, prompts) of right answers to prompts that the base never solved.
        suite: what was solved before, None without a base or such prompts.
        examples: flagged right answers to prompts that are rarely solved.
        warnings: what was odd.
        seed: of every random number.
    """

    tuned: str
    base: str | None
    bands: Bands
    after: PassCounts | None
    by_count: EstimatorCounts
    rows: tuple[BandRow, ...]
    flip: float | None
    true_flip: float | None
    has_texts: bool
    test: ShortcutTest | None
    never: tuple[float, int, int] | None
    suite: RegressionSuite | None
    examples: tuple[Example, ...]
    warnings: tuple[str, ...]
    seed: int

    @property
    def verdict(self) -> str:
        """`SHORTCUTS`, `NO SHORTCUTS` or `INCONCLUSIVE`."""
        return "INCONCLUSIVE" if self.test is None else self.test.verdict
