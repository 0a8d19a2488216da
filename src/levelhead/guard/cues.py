"""Words that hedge and words that assert, counted in a model's text.

A cue is a word or phrase of English with whole-word boundaries, in any case, however it is spaced,
with a straight, a curly or no apostrophe. An assertion behind a negation hedges: "I'm sure" asserts,
"I'm not so sure" hedges, "definitely" asserts, "not definitely" hedges. What this cannot see:
meaning ("in May", "may" as permission, "a certain gene" is left out by asking for "certain" in a
phrase), what the doubt is about (the answer, or a remark on the way to it), quotation, irony, and
every language but English. It is a count for a model that weighs it, not a judgment of a text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.records import as_strings

__all__ = ["ASSERTIONS", "HEDGES", "Cues", "count_cues", "word_counts"]

pc: Any = arrow_compute  # its functions are made at run time, where no type checker sees them

HEDGES = (
    "maybe", "perhaps", "possibly", "probably", "presumably", "supposedly", "seemingly",
    "arguably", "conceivably", "potentially", "might", "may", "could be", "could have",
    "seem", "seems", "seemed", "appear to", "appears to", "likely", "unlikely",
    "i think", "i believe", "i guess", "i suppose", "i suspect", "i assume", "i doubt",
    "i don't know", "i do not know", "i don't recall", "i can't recall", "i can't remember",
    "i'm guessing", "my guess", "best guess", "an educated guess", "if i recall", "if i remember",
    "as far as i know", "to my knowledge", "i could be wrong", "i might be wrong", "i may be wrong",
    "unsure", "uncertain", "uncertainty", "unclear", "unknown", "doubtful", "questionable",
    "tentatively", "tentative", "hard to say", "hard to tell", "difficult to say",
    "it's possible", "it is possible", "it depends", "more or less", "sort of", "kind of",
    "not necessarily", "no idea", "can't be sure", "cannot be sure", "can't be certain",
)  # fmt: skip
"""Words and phrases that take something back."""

ASSERTIONS = (
    "definitely", "certainly", "undoubtedly", "indisputably", "unquestionably", "absolutely",
    "clearly", "obviously", "evidently", "surely", "for sure", "for certain", "of course",
    "no doubt", "without a doubt", "without doubt", "without any doubt", "beyond doubt",
    "beyond any doubt", "there's no doubt", "i don't doubt", "i do not doubt",
    "i'm sure", "i am sure", "we're sure", "i'm certain", "i am certain", "it is certain",
    "quite sure", "very sure", "pretty sure", "completely sure", "quite certain",
    "completely certain", "almost certain", "i'm confident", "i am confident", "very confident",
    "highly confident", "quite confident", "i'm convinced", "i am convinced", "i know that",
    "it's clear", "it is clear", "it's obvious", "it is obvious", "guaranteed", "must be",
    "well known", "well-known", "well established", "well-established", "has been proven",
    "undeniable", "undeniably", "unmistakably", "without question", "100% sure", "100% certain",
)  # fmt: skip
"""Words and phrases that leave no room; behind a negation they hedge."""

_NEGATION = (
    r"(?:not|cannot|never|hardly|neither|nor|less|far from|\w+n['’]t|"
    r"(?:do|does|did|is|are|was|ca|could|would|wo)nt)"
)
_BETWEEN = (
    r"(?:\s+(?:be|been|so|too|that|all that|at all|very|really|entirely|completely|totally|quite|"
    r"fully|absolutely|100%|yet|exactly)){0,2}"
)
_SURE = r"(?:sure|certain|confident|convinced|clear|obvious|definite|guaranteed)"


@dataclasses.dataclass(frozen=True)
class Cues:
    """Counts of one list of texts.

    Attributes:
        hedges: (N,) hedges in each text; NaN where there is no text.
        assertions: (N,) assertions in each text; NaN where there is no text.
        words: (N,) words of each text, NaN where there is none.
    """

    hedges: FloatArray
    assertions: FloatArray
    words: FloatArray

    def per_hundred(self) -> tuple[FloatArray, FloatArray]:
        """Hedges and assertions per hundred words; NaN where there are no words."""
        words = np.where(self.words > 0.0, self.words, np.nan)
        return 100.0 * self.hedges / words, 100.0 * self.assertions / words


def count_cues(
    texts: Iterable[str | None] | pa.Array | pa.ChunkedArray,
    *,
    hedges: Sequence[str] = HEDGES,
    assertions: Sequence[str] = ASSERTIONS,
) -> Cues:
    """Count the hedges and the assertions in texts.

    hedges = matches of `hedges` + negated assertions; assertions = matches of `assertions` - negated
    ones. Matches do not overlap; where several cues begin at one place the longest counts.

    Args:
        texts: (N,) texts; None where there is none.
        hedges: words and phrases that hedge, plain text without patterns; `(*HEDGES, "ish")` adds.
        assertions: words and phrases that assert, likewise.

    Returns:
        The counts.

    Raises:
        InvalidInputError: a phrase is empty, or there is none.

    Edge cases: a negation counts up to two adverbs away ("not entirely sure", "isn't all that
        clear"). "Make sure", "sure" and "certain" by themselves are no cues. A text without words
        has counts of 0.
    Reference: hedging cues as in Hyland (1998), Hedging in Scientific Research Articles; the lists
        are our own.

    Example:
        >>> count_cues(["Perhaps. I'm not sure.", "I'm sure it's definitely so."]).hedges
        array([2., 0.])
        >>> count_cues(["It will surely rain, methinks"], hedges=("methinks",)).per_hundred()
        (array([20.]), array([20.]))
    """
    column = as_strings(texts if isinstance(texts, pa.Array | pa.ChunkedArray) else list(texts))
    hedging, asserting, negated = _patterns(tuple(hedges), tuple(assertions))
    taken_back = _matches(column, negated)
    return Cues(
        hedges=_matches(column, hedging),
        assertions=np.maximum(_matches(column, asserting) - taken_back, 0.0),
        words=word_counts(column),
    )


def word_counts(column: pa.Array | pa.ChunkedArray) -> FloatArray:
    """How many words each text has, a word being what stands between white space.

    Args:
        column: (N,) strings.

    Returns:
        (N,) counts; NaN where there is no text.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    pieces = _floats(pc.list_value_length(pc.utf8_split_whitespace(trimmed)))
    return np.where(_floats(pc.binary_length(trimmed)) == 0.0, 0.0, pieces)


def _matches(column: Any, pattern: str) -> FloatArray:
    # Its automaton reads a text once whatever the number of cues, 30 times faster than `re`.
    return _floats(pc.count_substring_regex(column, pattern, ignore_case=True))


def _floats(column: Any) -> FloatArray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


@lru_cache(maxsize=16)
def _patterns(hedges: tuple[str, ...], assertions: tuple[str, ...]) -> tuple[str, str, str]:
    """(whatever hedges, whatever asserts when it stands alone, assertions that are negated)."""
    hedge, assertion = _any("hedges", hedges), _any("assertions", assertions)
    negated = rf"{_NEGATION}{_BETWEEN}\s+(?:{assertion})"
    unsure = rf"{_NEGATION}{_BETWEEN}\s+{_SURE}"
    edge, end = r"(?:^|\b)", r"(?:\b|$)"
    return (
        rf"{edge}(?:{negated}|{unsure}|{hedge}){end}",
        rf"{edge}(?:{assertion}){end}",
        rf"{edge}{negated}{end}",
    )


def _any(name: str, phrases: tuple[str, ...]) -> str:
    """A pattern for any of some phrases, the longest first, since the first that fits is taken."""
    if not phrases or isinstance(phrases, str) or not all(p.strip() for p in phrases):
        raise InvalidInputError(
            f"{name}: expected at least one word or phrase, none of them empty, got "
            f"{str(phrases)[:60]}"
        )
    parts = [r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases]
    parts = [part.replace("'", "['’]?").replace(r"\-", "-") for part in parts]
    return "|".join(sorted(dict.fromkeys(parts), key=len, reverse=True))
