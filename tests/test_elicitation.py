"""Elicitation formats: what a text says, what it does not say, and the published stand-ins."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelhead import elicitation as e
from levelhead.elicitation import TABLE, Elicited, answer_confidence_tags, by_pattern
from levelhead.errors import InvalidInputError
from levelhead.records import PROVENANCES, STATUSES

PERCENT = [
    ("<answer>37</answer>", 0.37, "ok"),
    ("<answer> 37 % </answer>", 0.37, "ok"),
    ("<answer>37.5</answer>", 0.375, "ok"),
    ("<answer>0</answer>", 0.0, "ok"),
    ("<answer>1</answer>", 0.01, "ok"),
    ("<answer>100</answer>", 1.0, "ok"),
    ("<answer>1e2</answer>", 1.0, "ok"),
    ("<answer>+5</answer>", 0.05, "ok"),
    ("<answer>0.5%</answer>", 0.005, "ok"),
    ("<ANSWER>\n37\n</Answer>", 0.37, "ok"),
    ("<answer>5</answer> no, <answer>7</answer>", 0.07, "ok"),
    ("<answer>5</answer> then <answer>7", 0.05, "ok"),
    ("I write <answer> tags: <answer>7</answer>", 0.07, "ok"),
    ("</answer><answer>7</answer></answer>", 0.07, "ok"),
    ("<answer>0.37</answer>", None, "out_of_range"),
    ("<answer>101</answer>", None, "out_of_range"),
    ("<answer>-5</answer>", None, "out_of_range"),
    ("<answer>1e999</answer>", None, "out_of_range"),
    ("<answer>101%</answer>", None, "out_of_range"),
    ("<answer>nan</answer>", None, "unparsable"),
    ("<answer>inf</answer>", None, "unparsable"),
    ("<answer>about 37</answer>", None, "unparsable"),
    ("<answer>3 7</answer>", None, "unparsable"),
    ("<answer>1_0</answer>", None, "unparsable"),
    ("<answer>٣٧</answer>", None, "unparsable"),
    ("<answer>37%%</answer>", None, "unparsable"),
    ("<answer></answer>", None, "missing"),
    ("<answer>37", None, "missing"),
    ("37</answer>", None, "missing"),
    ("37", None, "missing"),
    ("", None, "missing"),
]


@pytest.mark.parametrize(("text", "confidence", "status"), PERCENT)
def test_percent_tag(text: str, confidence: float | None, status: str) -> None:
    said = e.percent_tag(text)
    assert (said.confidence, said.status, said.provenance) == (confidence, status, "parsed")


PAPER = [
    ("<answer>37</answer>", 0.37, "ok"),
    ("<answer>99.9</answer>", 0.99, "ok"),
    ("<answer>5</answer> or <answer>7</answer>", 0.05, "ok"),
    ("<answer> 1_0 </answer>", 0.1, "ok"),
    ("<answer>0.5</answer>", None, "out_of_range"),
    ("<answer>100</answer>", None, "out_of_range"),
    ("<answer>0</answer>", None, "out_of_range"),
    ("<answer>70%</answer>", None, "unparsable"),
    ("<answer>nan</answer>", None, "unparsable"),
    ("<answer>inf</answer>", None, "unparsable"),
    ("<answer>37", None, "missing"),
    ("", None, "missing"),
]


@pytest.mark.parametrize(("text", "confidence", "status"), PAPER)
def test_percent_tag_paper(text: str, confidence: float | None, status: str) -> None:
    said = e.percent_tag_paper(text)
    assert (said.confidence, said.status) == (confidence, status)


@pytest.mark.parametrize(
    ("value", "confidence", "status"),
    [
        ("37", 0.37, "ok"),
        (37, 0.37, "ok"),
        (37.25, 0.3725, "ok"),
        ("0", 0.01, "ok"),
        ("100", 0.99, "ok"),
        ("-inf", 0.01, "ok"),
        ("1e999", 0.99, "ok"),
        ("0.5", 0.01, "ok"),
        ("70%", None, "unparsable"),
        ("", None, "unparsable"),
        ("nan", None, "unparsable"),
        (float("nan"), None, "unparsable"),
        (10**400, None, "unparsable"),
        (None, None, "missing"),
    ],
)
def test_percent_value_paper(
    value: str | float | None, confidence: float | None, status: str
) -> None:
    said = e.percent_value_paper(value)
    assert (said.confidence, said.status) == (confidence, status)


TAGS = [
    ("<answer> A </answer><confidence>0.8</confidence>", "A", 0.8, "ok"),
    ("<confidence>0.2</confidence><confidence> .9 </confidence>", None, 0.9, "ok"),
    ("<answer>A</answer><answer>B</answer><confidence>80%</confidence>", "B", 0.8, "ok"),
    ("<confidence>1</confidence>", None, 1.0, "ok"),
    ("<confidence>1%</confidence>", None, 0.01, "ok"),
    ("<confidence>90</confidence>", None, None, "out_of_range"),
    ("<confidence>-0.1</confidence>", None, None, "out_of_range"),
    ("<confidence>1.01</confidence>", None, None, "out_of_range"),
    ("<confidence>120%</confidence>", None, None, "out_of_range"),
    ("<confidence>nan</confidence>", None, None, "unparsable"),
    ("<confidence>inf</confidence>", None, None, "unparsable"),
    ("<confidence>high</confidence>", None, None, "unparsable"),
    ("<confidence></confidence>", None, None, "missing"),
    ("<answer>A</answer>", "A", None, "missing"),
    ("<answer>A</answer><confidence>0.8", "A", None, "missing"),
]


@pytest.mark.parametrize(("text", "answer", "confidence", "status"), TAGS)
def test_answer_confidence_tags(
    text: str, answer: str | None, confidence: float | None, status: str
) -> None:
    assert e.answer_confidence_tags(text) == Elicited(answer, confidence, status)


RLCR = [
    ("<confidence>0.8</confidence>", 0.8, "parsed"),
    ("<confidence> 80 </confidence>", 0.8, "parsed"),
    ("<confidence>80%</confidence>", 0.8, "parsed"),
    ("<confidence>about 0.3 or 0.4</confidence>", 0.3, "parsed"),
    ("<confidence>0</confidence>", 0.0, "parsed"),
    ("<confidence>1</confidence>", 1.0, "parsed"),
    ("<confidence>100</confidence>", 1.0, "parsed"),
    ("<confidence>0.2</confidence><confidence>0.4</confidence>", 0.4, "parsed"),
    ("<confidence>100.5</confidence>", 0.0, "fallback"),
    ("<confidence>-0.5</confidence>", 0.0, "fallback"),
    ("<confidence>nan</confidence>", 0.0, "fallback"),
    ("<confidence>inf</confidence>", 0.0, "fallback"),
    ("<confidence>high</confidence>", 0.0, "fallback"),
    ("<confidence></confidence>", 0.0, "fallback"),
    ("nothing", 0.0, "fallback"),
]


@pytest.mark.parametrize(("text", "confidence", "provenance"), RLCR)
def test_rlcr_has_a_confidence_for_everything(
    text: str, confidence: float, provenance: str
) -> None:
    said = e.answer_confidence_tags_rlcr(text)
    assert (said.confidence, said.status, said.provenance) == (confidence, "ok", provenance)


@given(
    st.lists(
        st.sampled_from(["<confidence>", "</confidence>", "0.3", "7", " ", "x", "\n"]), max_size=12
    )
)
def test_the_last_tag_is_the_one_that_the_regular_expression_finds(parts: list[str]) -> None:
    text = "".join(parts)
    found = re.findall(r"<confidence>(.*?)</confidence>", text, re.DOTALL)
    said = e.answer_confidence_tags_rlcr(text)
    if not found:
        assert said.provenance == "fallback"
    else:
        alone = e.answer_confidence_tags_rlcr(f"<confidence>{found[-1]}</confidence>")
        assert (said.confidence, said.provenance) == (alone.confidence, alone.provenance)


@given(st.text(max_size=60))
def test_whatever_the_text_a_format_says_something_valid(text: str) -> None:
    for name in TABLE:
        for tagged in (text, f"<answer>{text}</answer><confidence>{text}</confidence>"):
            said = TABLE[name].parse(tagged)
            assert said.status in STATUSES
            assert said.provenance in PROVENANCES
            assert (said.confidence is not None) == (said.status == "ok")
            assert said.confidence is None or 0.0 <= said.confidence <= 1.0


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("tag", ["<answer>", "</answer>", "<confidence>", "<", "1"])
def test_megabytes_of_one_tag_take_linear_time(name: str, tag: str) -> None:
    start = time.process_time()
    TABLE[name].parse(tag * (1_000_000 // len(tag)))
    assert time.process_time() - start < 1.0


def test_a_pattern_takes_the_last_match_and_both_groups() -> None:
    parse = e.by_pattern(r"A: (?P<answer>\w+) \((?P<confidence>[^)]*)\)")
    assert parse("A: x (0.1)\nA: y (0.75)") == Elicited("y", 0.75, "ok")
    assert parse("A: y (85%)").confidence == 0.85
    assert parse("A: y (85)").status == "out_of_range"
    assert parse("A: y (sure)").status == "unparsable"
    assert parse("A: y ()").status == "missing"
    assert parse("B").status == "missing"


def test_a_pattern_with_percentages_and_an_optional_group() -> None:
    parse = e.by_pattern(r"sure(: (?P<confidence>\d+))?", percent=True)
    assert parse("sure: 85").confidence == 0.85
    assert parse("sure") == Elicited(None, None, "missing")
    assert parse("sure: 101").status == "out_of_range"


def test_a_pattern_is_searched_in_the_end_of_a_long_text() -> None:
    parse = e.by_pattern(r"sure: (?P<confidence>[0-9.]+)")
    limit = e.MAX_PATTERN_TEXT
    said = "sure: 0.75"
    assert parse("x" * 10 * limit + said).confidence == 0.75
    assert parse(said + "x" * (limit - len(said))).confidence == 0.75
    assert parse(said + "x" * (limit - len(said) + 1)).status == "missing"
    assert parse("<answer>B</answer>" + "x" * limit + said).answer == "B"
    # The line does not begin where the search does.
    assert e.by_pattern(r"^x*(?P<confidence>1)$")("x" * limit + "1").status == "missing"


def test_a_pattern_that_tries_every_start_ends_soon() -> None:
    parse = e.by_pattern(r"a+b(?P<confidence>[0-9.]+)")
    start = time.process_time()
    assert parse("a" * 120_000).status == "missing"
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "expected a regular expression"), ("[0-9]+", "expected a group named confidence")],
)
def test_a_pattern_that_cannot_be_used(pattern: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        e.by_pattern(pattern)


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["", "<answer>A</answer><confidence>0.1</confidence>"], "answer_confidence_tags"),
        (["<answer>37</answer>", "<confidence>x</confidence>"], "answer_confidence_tags"),
        (["<answer>A</answer>", "<answer>37%</answer>"], "percent_tag"),
        (["<answer>A</answer>", "<confidence>0.5"], None),
        ([], None),
    ],
)
def test_the_format_is_detected_by_its_tags(texts: list[str], name: str | None) -> None:
    assert e.detect(texts) == name


def test_the_table_names_what_it_holds() -> None:
    assert all(name == one.name and one.description for name, one in TABLE.items())


def test_a_pattern_without_an_answer_group_takes_the_answer_tag() -> None:
    parse = by_pattern(r"sure=(?P<confidence>[0-9.]+)")
    assert parse("<answer> 42 </answer> sure=0.8").answer == "42"
    assert parse("sure=0.8").answer is None


def test_percentages_in_tags_when_the_user_says_so() -> None:
    text = "<answer>B</answer><confidence>80</confidence>"
    assert answer_confidence_tags(text).status == "out_of_range"
    assert answer_confidence_tags(text, percent=True).confidence == 0.8
