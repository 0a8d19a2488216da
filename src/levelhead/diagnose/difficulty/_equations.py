"""The arithmetic that a text writes out: how much of it, what it comes to, whether it is true."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator

__all__ = [
    "equation_validity",
    "number_of",
    "operation_count",
    "right_hand_sides",
    "statement_count",
]

DIGITS = re.compile(r"\d[\d.,]*")
OPERATOR = re.compile(r"\s*[-+*/×÷^=]\s*\d")

NUMBER = re.compile(r"[-−]?\$?\d[\d,]*(?:\.\d+)?")
RIGHT_SIDE = re.compile(
    r"=(?:\s|\\boxed\s?\{|\\\(|\$|\*\*){0,12}(?P<value>[-−]?\$?\d[\d,]{0,30}(?:\.\d{1,30})?)"
    r"(?![\d.,]*\s*[-+*/×÷^=]\s*\d)"
)
"""A number that an equation ends with."""

RUN = re.compile(r"[\d.,+\-−*/×÷^=() \t]+")
"""What may be an equation between numbers: digits, signs, parentheses."""

FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
COMMENTS = ("#", "//", "*", "/*", '"""')

LONGEST, LARGEST, LARGEST_POWER = 120, 1e12, 64.0

BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def operation_count(text: str) -> int:
    """How many operations between numbers a text writes out.

    Args:
        text: any.

    Returns:
        Matches of a number, one of `- + * / × ÷ ^ =` and a digit that do not overlap.

    Example:
        >>> operation_count("3 * 4 = 12, then 12 + 5 = 17")
        2
    """
    count, place = 0, 0
    while (number := DIGITS.search(text, place)) is not None:
        found = OPERATOR.match(text, number.end())
        count += found is not None
        place = number.end() if found is None else found.end()
    return count


def statement_count(text: str) -> int:
    """How many statements of code a text holds: lines that are neither empty nor comments.

    Args:
        text: the lines inside fences count; all of them where there is no fence.

    Returns:
        The number of lines.

    Example:
        >>> statement_count("So:\\n```python\\n# sum\\nx = 1 + 2\\nprint(x)\\n```\\nDone.")
        2
    """
    blocks = FENCE.findall(text) or [text]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return sum(1 for line in lines if line and not line.startswith(COMMENTS))


def number_of(value: str) -> float | None:
    """The one number that an answer is, without its unit.

    Args:
        value: such as `$1,234.50`, `42 apples`.

    Returns:
        The number, or None where the answer holds none or several, as `3/4` does.

    Example:
        >>> number_of("$1,234.50"), number_of("42 apples"), number_of("3/4"), number_of("B")
        (1234.5, 42.0, None, None)
    """
    found = NUMBER.findall(value)
    return _value(found[0]) if len(found) == 1 else None


def right_hand_sides(text: str) -> set[float]:
    """The numbers that the equations of a text end with.

    Args:
        text: any.

    Returns:
        Each number that stands alone behind an equals sign.

    Example:
        >>> sorted(right_hand_sides("3 * 4 = 12 and x = 5 + 2 = 7"))
        [7.0, 12.0]
    """
    return {_value(match["value"]) for match in RIGHT_SIDE.finditer(text)}


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("$", "").replace("−", "-"))


def equation_validity(text: str) -> float | None:
    """The share of the written equations between numbers that are true.

    Args:
        text: any. `3 + 4 = 7 = 14 / 2` is two equations.

    Returns:
        The share, or None where no equation can be parsed. A right side with decimals may be rounded to
        them. What has letters in it (`2x = 10`) is no equation between numbers, nor is `7 = 7`.

    Example:
        >>> equation_validity("3 * 4 = 12. Then 10 / 3 = 3.33, and 2 + 2 = 5.")
        0.6666666666666666
    """
    told = list(_equations(text))
    return sum(told) / len(told) if told else None


def _equations(text: str) -> Iterator[bool]:
    for run in RUN.finditer(text):
        sides = run.group().split("=")
        before = text[max(0, run.start() - 1) : run.start()]
        if before not in ("", ":", "$", "\n") and not sides[0][:1].isspace():
            sides[0] = ""  # part of a name or a term, as in 2x + 3 = 7 or f(2) = 5
        after = text[run.end() : run.end() + 1]
        if (after.isalpha() or after in ("%", "\\", "_", "{")) and not sides[-1][-1:].isspace():
            sides[-1] = ""
        values = [_evaluated(side) for side in sides]
        for i in range(len(sides) - 1):
            left, right = values[i], values[i + 1]
            if left is None or right is None or not (left[1] or right[1]):
                continue
            yield _equal(left[0], right[0], sides[i + 1], exact=right[1])


def _equal(left: float, right: float, written: str, *, exact: bool) -> bool:
    decimals = re.search(r"\.(\d+)", written)
    slack = 0.0 if exact or decimals is None else 0.5 * 10.0 ** -len(decimals.group(1))
    return abs(left - right) <= slack + 1e-9 * max(1.0, abs(left))


def _evaluated(side: str) -> tuple[float, bool] | None:
    """(value, whether it has an operation), or None where it is no expression of numbers."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", side.strip().rstrip(".,").strip()).replace("−", "-")
    if not text or len(text) > LONGEST or text[0] in "+*/×÷^" or text[:2] == "- ":
        return None
    for sign, python in (("×", "*"), ("÷", "/"), ("^", "**")):
        text = text.replace(sign, python)
    try:
        tree = ast.parse(re.sub(r"(?<![\d.])0+(?=\d)", "", text), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    has_operation = any(isinstance(node, ast.BinOp) for node in ast.walk(tree))
    value = _number(tree.body)
    return None if value is None else (value, has_operation)


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value) if abs(node.value) <= LARGEST else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if not isinstance(node, ast.BinOp) or type(node.op) not in BINARY:
        return None
    left, right = _number(node.left), _number(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Div) and right == 0.0:
        return None
    if isinstance(node.op, ast.Pow) and (not 1e-4 <= left <= 1e4 or abs(right) > LARGEST_POWER):
        return None
    value = BINARY[type(node.op)](left, right)
    return value if abs(value) <= LARGEST**2 else None
