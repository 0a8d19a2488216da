"""Which format a text is in: an ordered table of regular expressions, extended by the user's own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from levelhead.errors import InvalidInputError

__all__ = ["MAX_OTHER", "OTHER", "RULES", "Rule", "classify", "own_rules"]

OTHER = "other"
"""What no rule recognizes."""

MAX_OTHER = 0.1
"""Share of `other` above which the table does not fit the texts."""

FENCE = r"```(?:python\d?|py|c|cpp|c\+\+|java|javascript|js|sh|bash|r|sql|ruby|go|rust|julia)\b"
BARE = r"```[ \t]*\n(?=(?:(?!```).){0,4000}?(?:\bdef |\bprint\s*\(|\breturn\b|\bimport |[\w\]] ?= ?\S))"
BLOCK = rf"(?:{FENCE}|{BARE}|<llm-code>|<code>)"
# Atomic: a line that fits two of these must not be tried twice.
LINE = (
    r"(?>[ \t][^\n]*|(?:def|class|import|from|return|for|while|if|elif|else|try|except|with"
    r"|assert)\b[^\n]*|print\s*\([^\n]*|[@#\)][^\n]*"
    r"|[A-Za-z_]\w*(?:\[[^\]\n]*\])?[ \t]*[-+*/]?=[^=\n][^\n]*|)"
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A format and the expression that finds it.

    Attributes:
        name: the format, e.g. `code`.
        pattern: what is searched for; its start is where the answer-bearing block begins.
        when: `first`: a match decides at once, wherever it is; `block`: among all blocks that match,
            the one that begins first in the text decides; `last`: asked only where no block matched.
        needs: casefolded words of which a text must hold one before the expression is tried, as that is
            ten times as quick; any text is tried where there are none.
    """

    name: str
    pattern: re.Pattern[str]
    when: str = "block"
    needs: tuple[str, ...] = ()


def _rule(
    name: str, pattern: str, when: str = "block", flags: int = 0, needs: tuple[str, ...] = ()
) -> Rule:
    return Rule(name, re.compile(pattern, flags), when, needs)


RULES: tuple[Rule, ...] = (
    _rule(
        "boxed-only",
        r"\A(?:\$\$?|\\\[|\\\()?\s*\\(?:boxed|fbox)\s*\{[^\n]*\}\s*(?:\$\$?|\\\]|\\\))?\s*\.?\Z",
        "first",
    ),
    _rule(
        "code",
        rf"\A{BLOCK}(?:(?!```|</llm-code>|</code>).)*+(?:```|</llm-code>|</code>)?\Z",
        "first",
        re.S,
    ),
    _rule(
        "code",
        rf"\A(?=(?:def|class|import|from|print|#)\b)(?=[\s\S]*?(?:def |print\s*\())"
        rf"{LINE}(?:\n{LINE})*+\Z",
        "first",
    ),
    _rule(
        "tagged",
        r"\A<(think|thinking|reasoning|scratchpad)>.*?</\1>\s*<answer>|<answer>",
        flags=re.S | re.I,
        needs=("<answer>",),
    ),
    _rule("code+NL", BLOCK, flags=re.S | re.I, needs=("```", "<llm-code>", "<code>")),
    _rule("code+NL", r"^def \w+\([^\n]*:[ \t]*\n", flags=re.M, needs=("def ",)),
    _rule(
        "latex/NL",
        r"\\(?:boxed|fbox)\s*\{|^####\s*\S",
        flags=re.M,
        needs=("\\boxed", "\\fbox", "####"),
    ),
    _rule(
        "latex/NL",
        r"\banswer\b[^\n.]{0,40}?(?:\b(?:is|be|as|to|of)\b|[:=])\s*\S|\bfinal answer\b",
        flags=re.I,
        needs=("answer",),
    ),
    _rule("latex/NL", r"\$[^$\n]+\$|\\\[|\\\(|\\frac\b|\\begin\{", "last"),
    _rule("latex/NL", r"\b(?>(?>[^\W\d_]{2,})[,;:]?\s+){4}[^\W\d_]{2,}", "last"),
)
"""The table: within each `when` the order decides between blocks that begin at one place."""

_THOUGHT = re.compile(r"\A<(think|thinking|reasoning|scratchpad)>.*?</\1>", re.S | re.I)


def classify(text: str | None, rules: Sequence[Rule] = RULES) -> str:
    """The format of a text.

    A closed block of thinking at the start is left out unless nothing follows it: formats are those
    of the answer.

    Args:
        text: what a model wrote; None counts as empty.
        rules: the table; `own_rules(...)` puts one's own first.

    Returns:
        The name of the rule that decides, `other` where none does.

    Edge cases:
        - an empty text is `other`.
        - of several formats in one text, the answer-bearing block that begins first decides.

    Reference: the kinds of answers follow arXiv:2504.07912.

    Example:
        >>> classify("Two and two is four, so \\\\boxed{4}. Check: ```python\\nprint(2 + 2)\\n```")
        'latex/NL'
        >>> classify("def answer():\\n    return 2 + 2\\n")
        'code'
    """
    text = (text or "").strip()
    if text[:1] == "<" and (thought := _THOUGHT.match(text)) is not None:
        rest = text[thought.end() :].lstrip()
        if rest and not rest[:8].lower().startswith("<answer>"):
            text = rest
    best, name, folded = len(text) + 1, OTHER, text.casefold()
    for rule in rules:
        if rule.needs and not any(word in folded for word in rule.needs):
            continue
        if rule.when == "last":
            if name == OTHER and rule.pattern.search(text):
                return rule.name
        elif (found := rule.pattern.search(text)) is not None:
            if rule.when == "first":
                return rule.name
            if found.start() < best:
                best, name = found.start(), rule.name
    return name


def own_rules(
    given: Sequence[str], rules: Sequence[Rule] = RULES, *, where: str = "rule"
) -> tuple[Rule, ...]:
    """The table with a user's rules before it.

    Args:
        given: `NAME=REGEX` each, in the order in which they are asked; they decide before all others.
        rules: the table to extend.
        where: what the error names, e.g. `--rule`.

    Returns:
        The rules.

    Raises:
        InvalidInputError: a rule has another form, or its expression cannot be compiled.

    Example:
        >>> classify("ANSWER 42", own_rules(["shouted=^ANSWER"]))
        'shouted'
    """
    own: list[Rule] = []
    for text in given:
        name, equals, pattern = text.partition("=")
        if not equals or not name.strip() or not pattern:
            raise InvalidInputError(
                f"{where}: expected NAME=REGEX, such as table='^\\|', got {text!r}"
            )
        try:
            own.append(Rule(name.strip(), re.compile(pattern, re.M), "first"))
        except re.error as error:
            raise InvalidInputError(
                f"{where}: expected a regular expression after {name.strip()}=, got {pattern!r} "
                f"({error})"
            ) from error
    return (*own, *rules)
