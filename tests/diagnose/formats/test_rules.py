"""Which format a text is in: one text for each rule, what decides between several, own rules."""

from __future__ import annotations

import time

import pytest

from levelhead.diagnose.formats._rules import RULES, classify, own_rules
from levelhead.errors import InvalidInputError

PROSE = "First we add the two numbers and see what comes out."

TEXTS = [
    ("boxed-only", "\\boxed{4}"),
    ("boxed-only", "  $\\boxed{\\frac{1}{2}}$.\n"),
    ("boxed-only", "\\[ \\boxed{x^2} \\]"),
    ("code", "```python\nprint(2 + 2)\n```"),
    ("code", "```python\nprint(2 + 2)"),
    ("code", "<llm-code>\nprint(4)\n</llm-code>"),
    ("code", "def answer() -> int:\n    '''How many apples?'''\n    x = 4\n\n    return x\n"),
    ("code", "import math\nx = math.pi\nprint(x)"),
    ("code+NL", f"{PROSE}\n```python\nprint(4)\n```\nSo it is \\boxed{{4}}."),
    ("code+NL", "```python\nprint(4)\n```\nThis prints four."),
    ("code+NL", f"{PROSE}\ndef answer():\n    return 4\n"),
    ("code+NL", f"{PROSE}\n```\nx = 4\n```\n"),
    ("code+NL", "Let x be four.\n<llm-code>\nprint(4)\n</llm-code>"),
    ("latex/NL", f"{PROSE} So \\boxed{{4}}. Check: ```python\nprint(4)\n```"),
    ("latex/NL", "2+2\n#### 4"),
    ("latex/NL", "The answer would be 4"),
    ("latex/NL", "Answer: 4"),
    ("latex/NL", "$x = 4$"),
    ("latex/NL", PROSE),
    ("latex/NL", "# Solution\nWe print nothing. The answer is 4."),
    ("tagged", "<think>So \\boxed{3}, or def f():</think>\n<answer>4</answer>"),
    ("tagged", "<answer>```python\nprint(4)\n```</answer>"),
    ("latex/NL", "<think>```python\nprint(4)\n```</think>\nSo \\boxed{4}."),
    ("boxed-only", "<think>hm</think>\\boxed{4}"),
    ("latex/NL", "<think>The answer is 4</think>"),
    ("other", "```json\n{}\n```"),
    ("other", "4"),
    ("other", "x = 4"),
    ("other", "   \n"),
    ("other", ""),
]


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_each_text_is_in_its_format(name: str, text: str) -> None:
    assert classify(text) == name


def test_every_rule_decides_some_text() -> None:
    for i, rule in enumerate(RULES):
        without = [one for j, one in enumerate(RULES) if j != i]
        changed = [t for name, t in TEXTS if classify(t, without) != name]
        assert changed, f"no text needs rule {i}, {rule.name}"


def test_nothing_is_other() -> None:
    assert classify(None) == "other"


def test_own_rules_decide_before_all_others_and_in_their_order() -> None:
    rules = own_rules(["table=^\\|.*\\|$", "four=4"])
    assert classify("\\boxed{4}\n| a | 4 |", rules) == "table"
    assert classify("\\boxed{4}", rules) == "four"
    assert classify("\\boxed{5}", rules) == "boxed-only"


@pytest.mark.parametrize("text", ["table", "=x", "table="])
def test_a_rule_in_another_form_is_named(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"--rule: expected NAME=REGEX, such as .*, got "):
        own_rules([text], where="--rule")


def test_an_expression_that_does_not_compile_is_named() -> None:
    with pytest.raises(
        InvalidInputError, match=r"rule: expected a regular expression after a=, got '\('"
    ):
        own_rules(["a=("])


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n" + "    x = 1\n" * 4000 + "and so on here we go\n",
        "for = 3\n" * 3000 + "def (",
        "<think>" * 5000,
        "```\n" * 5000,
        "answer " * 6000,
        " " * 30000 + "x",
        "```\n" + ("y" * 4000 + "```\n") * 8,
        "\\boxed{" * 5000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    classify(text)
    assert time.process_time() - start < 0.5
