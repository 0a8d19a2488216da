"""Cues: what hedges, what asserts, what a negation does to it, and how fast they are counted."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard.cues import ASSERTIONS, HEDGES, count_cues, word_counts
from levelhead.readers import load

SECONDS = 1.0
"""Time in which thousands of reasoning traces of 3 kB must be counted."""

READINGS = [  # text, hedges, assertions: each read by a person
    ("I'm sure.", 0, 1),
    ("I'm not sure.", 1, 0),
    ("I'm not so sure.", 1, 0),
    ("I’m not entirely sure, but it is definitely red.", 1, 1),
    ("I am not at all sure", 1, 0),
    ("This is not definitely so.", 1, 0),
    ("It isn't obviously wrong.", 1, 0),
    ("It is clear, obviously.", 0, 2),
    ("It is NOT ALL THAT CLEAR", 1, 0),
    ("We cannot be certain", 1, 0),
    ("I am far from certain", 1, 0),
    ("I'm less confident now", 1, 0),
    ("No doubt about it; there's no doubt.", 0, 2),
    ("I doubt it. I don't doubt it.", 1, 1),
    ("Perhaps it may\n\nbe so, I think", 3, 0),
    ("It must be; without a\ndoubt", 0, 2),
    ("It could be, and it might, but it is unlikely", 3, 0),
    ("I don't know. I DO NOT KNOW.", 2, 0),
    ("100% sure. Not 100% sure.", 1, 1),
    ("a well-known and well established fact", 0, 2),
    ("Make sure that certain genes clear the important surfaces", 0, 0),
    ("maybes, dismay, mayor, likelihood, uncertainties, seemingless", 0, 0),
    ("We want sure signs, and the patient clearly slept", 0, 1),
    ("It is not necessarily so", 1, 0),
    ("", 0, 0),
    ("  \n ", 0, 0),
]


@pytest.mark.parametrize(("text", "hedges", "assertions"), READINGS)
def test_what_a_text_says(text: str, hedges: int, assertions: int) -> None:
    found = count_cues([text])
    assert (found.hedges[0], found.assertions[0]) == (hedges, assertions)


def test_every_cue_counts_once_by_itself_and_in_any_case() -> None:
    for phrases, counts in ((HEDGES, (1, 0)), (ASSERTIONS, (0, 1))):
        for form in ("{}", "({})", "so {} so"):
            texts = [form.format(p) for p in phrases]
            for shown in (texts, [t.upper() for t in texts], [t.replace("'", "’") for t in texts],
                          [t.replace(" ", " \n") for t in texts]):  # fmt: skip
                found = count_cues(shown)
                odd = (found.hedges != counts[0]) | (found.assertions != counts[1])
                assert [text for text, is_odd in zip(shown, odd, strict=True) if is_odd] == []


def test_no_cue_is_in_both_lists_or_twice() -> None:
    assert len(set(HEDGES) | set(ASSERTIONS)) == len(HEDGES) + len(ASSERTIONS)


def test_the_cues_of_a_long_text_are_those_of_its_sentences() -> None:
    texts = [text for text, _, _ in READINGS]
    whole = count_cues([" ... ".join(texts)])
    assert whole.hedges[0] == sum(h for _, h, _ in READINGS)
    assert whole.assertions[0] == sum(a for _, _, a in READINGS)
    assert whole.words[0] == sum(len(text.split()) for text in texts) + len(texts) - 1


def test_without_negations_the_counts_are_those_of_a_slow_search() -> None:
    rng = np.random.default_rng(0)
    words = [*HEDGES[:20], *ASSERTIONS[:12], "gene", "red", "blue", "table"]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(50)]
    found = count_cues(texts)
    for i, text in enumerate(texts):
        assert found.hedges[i] == slow(text, HEDGES)
        assert found.assertions[i] == slow(text, ASSERTIONS)


def slow(text: str, phrases: tuple[str, ...]) -> int:
    """Reads word by word, and takes the longest phrase that begins at each."""
    words, count, at = text.split(), 0, 0
    while at < len(words):
        fits = [p.split() for p in phrases if words[at : at + len(p.split())] == p.split()]
        count += bool(fits)
        at += max(map(len, fits), default=1)
    return count


def test_rates_and_words() -> None:
    found = count_cues(["maybe one two three", None, "", "definitely"])
    np.testing.assert_array_equal(found.words, [4, np.nan, 0, 1])
    np.testing.assert_array_equal(found.hedges, [1, np.nan, 0, 0])
    hedges, assertions = found.per_hundred()
    np.testing.assert_array_equal(hedges, [25.0, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(assertions, [0.0, np.nan, np.nan, 100.0])


def test_words_are_what_python_splits() -> None:
    texts = ["", " ", "a", " a b ", "a\tb\nc  d", "naïve 細胞 x", "a\u00a0b", None]
    expected = [np.nan if text is None else len(text.split()) for text in texts]
    np.testing.assert_array_equal(word_counts(pa.array(texts, pa.string())), expected)


def test_lists_can_be_extended_and_replaced_and_hold_no_patterns() -> None:
    found = count_cues(["methinks (a.b) axb maybe"], hedges=(*HEDGES, "methinks", "a.b"))
    assert found.hedges[0] == 3
    assert count_cues(["maybe so"], hedges=("so",), assertions=("maybe",)).assertions[0] == 1
    assert count_cues(["not quite so"], assertions=("so",)).hedges[0] == 1


@pytest.mark.parametrize("texts", [
    pa.array(["maybe", None]),
    pa.array(["maybe", None]).dictionary_encode(),
    pa.chunked_array([["maybe"], [None]], pa.string()),
    pa.array(["maybe", None], pa.large_string()),
])  # fmt: skip
def test_texts_may_be_any_column(texts: pa.Array) -> None:
    np.testing.assert_array_equal(count_cues(texts).hedges, [1, np.nan])


def test_no_texts() -> None:
    assert count_cues([]).hedges.shape == (0,)


@pytest.mark.parametrize("phrases", [(), ("maybe", " ")])
def test_a_phrase_that_is_empty_is_refused(phrases: tuple[str, ...]) -> None:
    words = "hedges: expected at least one word or phrase, none of them empty, got " + str(phrases)
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        count_cues(["x"], hedges=phrases)


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    start = time.process_time()
    count_cues(["not " * 50_000 + "so " * 50_000, "n't" * 100_000, "very " * 100_000])
    assert time.process_time() - start < SECONDS


def test_reasoning_traces_are_counted_in_a_second(shared_data: Path) -> None:
    (p,) = load([shared_data / "crispr/predictions/final_grpo"]).values()
    texts = p.columns["text"]
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        found = count_cues(texts)
        best = min(best, time.process_time() - start)
    assert len(p) == 5608
    assert best < SECONDS
    assert 1.0 < np.nanmean(found.per_hundred()[0]) < 5.0
