"""Which flagged answers are shown: one to a prompt, of as many kinds of evidence as there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.diagnose.difficulty._bands import BANDS, Bands
from levelhead.diagnose.difficulty._text import (
    Content,
    Span,
    answer_repetition,
    computation_skipping,
)
from levelhead.diagnose.difficulty._view import Example

__all__ = ["examples_of"]

MAX_EXAMPLES = 12
ALIKE = 3
"""Examples of one kind of evidence: more of them teach a reader nothing."""

LOOKED_AT = 200
"""Flagged answers among which kinds are looked for; every text is read once more."""

EXCERPT = 40
"""Characters that a cell of a table shows in a terminal."""

NUMBER = re.compile(r"-?\d[\d.,]*")


def examples_of(
    texts: Sequence[str | None],
    wanted: BoolArray,
    code: IntArray,
    place: Sequence[tuple[int, int]],
    usual: FloatArray,
    bands: Bands,
    content: Content,
) -> tuple[Example, ...]:
    """Some of the flagged answers.

    Args:
        texts: N answers.
        wanted: (N,) which of them are flagged and may be shown.
        code: (N,) index of each one's prompt.
        place: N times (which of the model's answers to the prompt it is, from 1, of how many).
        usual: (N,) usual operations for each one's prompt; NaN: not known.
        bands: of the prompts.
        content: as in `computation_skipping`.

    Returns:
        At most one for a prompt and three for a kind of evidence, in the order of the answers.
    """
    found: list[tuple[int, tuple[str, ...], Example]] = []
    for i in _in_turn(np.flatnonzero(wanted), code)[:LOOKED_AT]:
        one = _example(texts[i] or "", bands, int(code[i]), float(usual[i]), content, place[i])
        found.append((i, tuple(NUMBER.sub("#", reason) for reason in one.reasons), one))
    chosen: dict[str, tuple[int, Example]] = {}
    kinds: Counter[tuple[str, ...]] = Counter()
    for most in range(1, ALIKE + 1):
        for i, kind, one in found:
            if len(chosen) < MAX_EXAMPLES and kinds[kind] < most and one.prompt not in chosen:
                kinds[kind] += 1
                chosen[one.prompt] = (i, one)
    return tuple(one for _, one in sorted(chosen.values(), key=lambda pair: pair[0]))


def _in_turn(rows: IntArray, code: IntArray) -> list[int]:
    """The first of the rows of each prompt, then the second of each, and so on."""
    seen: Counter[int] = Counter()
    turns: list[tuple[int, int]] = []
    for i in rows.tolist():
        turns.append((seen[int(code[i])], i))
        seen[int(code[i])] += 1
    return [i for _, i in sorted(turns)]


def _example(
    text: str, bands: Bands, prompt: int, usual: float, content: Content, place: tuple[int, int]
) -> Example:
    known = None if np.isnan(usual) else usual
    repeated = answer_repetition(text).spans
    skipped = computation_skipping(text, usual_operations=known, content=content).spans
    spans = (*repeated, *skipped)
    return Example(
        bands.counts.prompts[prompt],
        place[0],
        place[1],
        BANDS[bands.band[prompt]],
        tuple(dict.fromkeys(span.reason for span in spans)),
        _excerpt(text, spans[0], up_to=not repeated),
        spans,
    )


def _excerpt(text: str, span: Span, *, up_to: bool) -> str:
    """Whole words from where the evidence begins, or those up to its end."""
    if up_to:  # what stands before an answer tells more than what stands behind it
        words = text[max(0, span.end - 10 * EXCERPT) : span.end].split()
        if len(" ".join(words)) > EXCERPT - 2:
            kept = _fitting(words[::-1])[::-1]
            more = "…" if text[span.end :].strip() else ""
            return f"…{' '.join(kept)}{more}" if kept else f"…{words[-1][2 - EXCERPT :]}{more}"
    start = 0 if up_to else span.start
    words = text[start : start + 10 * EXCERPT].split()
    kept = _fitting(words)
    said = " ".join(kept) if kept else " ".join(words)[: EXCERPT - 2]
    more = "…" if len(kept) < len(words) or text[start + 10 * EXCERPT :].strip() else ""
    return ("…" if text[:start].strip() else "") + said + more


def _fitting(words: Sequence[str]) -> list[str]:
    """The first words that fit into a cell with a mark on either side."""
    kept: list[str] = []
    room = EXCERPT - 2
    for word in words:
        room -= len(word)
        if room < 0:
            break
        kept.append(word)
        room -= 1
    return kept
