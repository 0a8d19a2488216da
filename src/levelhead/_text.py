"""How numbers read in sentences, the same wherever they are printed."""

from __future__ import annotations

import math
import re

__all__ = [
    "ROUNDING",
    "interval",
    "number",
    "p_value",
    "percent",
    "plural",
    "points",
    "signed",
    "without_secrets",
]

MINUS = "\N{MINUS SIGN}"

ROUNDING = 1e-9
"""A change this close to 0 is rounding."""

MOST_DIGITS = 9
"""Of a p-value; beyond them it is equal to the level."""

_SECRET = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/@:]+:[^\s@]+@")


def percent(value: float | None) -> str:
    """A share in percent, with a decimal only near 0 and 100, where it matters.

    Args:
        value: a share in [0, 1], or a relative change; None or NaN where it is undefined.

    Returns:
        Text such as `67%`, `99.6%` or `undefined`; only 0 and 1 themselves print as 0% and 100%.

    Example:
        >>> percent(0.6699), percent(0.9961), percent(0.0), percent(0.99999), percent(None)
        ('67%', '99.6%', '0%', '>99.9%', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    if value < 0.0:  # an end of an interval may lie there
        size = percent(-value)
        return {"<": ">", ">": "<"}.get(size[0], "") + MINUS + size.lstrip("<>")
    if 0.0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 <= value < 1.0:
        return ">99.9%"
    edge = 0.0 < value < 0.01 or 0.99 < value < 1.0
    return f"{100 * value:.1f}%" if edge else f"{abs(100 * value):.0f}%"  # -0.0 is 0


def number(value: float | None, digits: int = 3) -> str:
    """A number to three decimals; what would round to 0.000 without being 0 says so.

    Args:
        value: any; None or NaN where it is undefined.
        digits: decimals.

    Returns:
        Text, with a minus sign and no hyphen before what is negative.

    Example:
        >>> number(0.2922), number(0.0004), number(-0.5), number(0.0), number(None)
        ('0.292', '<0.001', '−0.500', '0.000', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    smallest = 0.5 * 10.0**-digits
    if 0 < abs(value) < smallest:
        least = f"{2 * smallest:.{digits}f}"
        return f"<{least}" if value > 0 else f">{MINUS}{least}"
    return f"{value or 0.0:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A change with its sign; only 0 itself has none, and what rounds to it shows its first digit.

    Args:
        value: any; None or NaN where it is undefined.
        digits: decimals.

    Returns:
        Text, with a minus sign and no hyphen before what is negative.

    Example:
        >>> signed(0.25), signed(-0.25), signed(0.0), signed(-0.0002), signed(None)
        ('+0.250', '−0.250', '0.000', '−0.0002', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    if abs(value) < ROUNDING:
        return f"{0.0:.{digits}f}"
    if not round(value, digits):
        digits = -math.floor(math.log10(abs(value)))
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(
    low: float | None, high: float | None, digits: int = 3, *, change: bool = False
) -> str:
    """An interval in brackets.

    Args:
        low: its lower end; None or NaN where it is undefined.
        high: its upper end.
        digits: decimals.
        change: whether it is that of a change, whose ends have signs.

    Returns:
        Text, with a minus sign and no hyphen before what is negative, and no sign before 0; empty where
        an end is undefined.

    Example:
        >>> interval(0.1, 0.25), interval(-0.1, 0.25, 2, change=True), interval(None, 1.0)
        ('[0.100, 0.250]', '[−0.10, +0.25]', '')
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    ends = [
        f"{end:{'+' if change else ''}.{digits}f}" if abs(end) >= ROUNDING else f"{0.0:.{digits}f}"
        for end in (low, high)
    ]
    return f"[{', '.join(ends)}]".replace("-", MINUS)


def points(value: float | None) -> str:
    """A difference of two shares in percentage points, without the word.

    Args:
        value: a difference in [-1, 1]; None or NaN where it is undefined.

    Returns:
        Text with one decimal and the sign, as `signed` has it.

    Example:
        >>> points(0.134), points(-0.0467), points(0.0)
        ('+13.4', '−4.7', '0.0')
    """
    if value is not None and abs(value) < ROUNDING:
        value = 0.0
    return signed(None if value is None else 100.0 * value, 1)


def p_value(p: float | None, level: float | None = None) -> str:
    """A p-value in a sentence; in a column of them `number` prints the same without the letter.

    A p-value from N random draws is (1 + as extreme ones) / (1 + N), so that none is below 1 / (1 + N):
    it prints as it is, never as 0, and as `p < 0.001` only where there were more than 999 draws.

    Args:
        p: in [0, 1]; None or NaN where it is undefined.
        level: in (0, 1), what it is compared with; None where it is not. There are as many decimals, at
            least three, as show on which side of it p lies.

    Returns:
        Text such as `p = 0.032`, `p < 0.001` or `p undefined`.

    Example:
        >>> p_value(0.0317), p_value(1 / 10_000), p_value(1 / 200), p_value(None)
        ('p = 0.032', 'p < 0.001', 'p = 0.005', 'p undefined')
        >>> p_value(0.0504), p_value(0.0504, 0.05), p_value(0.0008, 0.0005)
        ('p = 0.050', 'p = 0.0504', 'p = 0.0008')
    """
    if p is None or not math.isfinite(p):
        return "p undefined"
    digits = 3
    if level is not None:
        digits = max(digits, math.ceil(-math.log10(level)))
        while digits < MOST_DIGITS and (round(p, digits) <= level) != (p <= level):
            digits += 1
    least = 10.0**-digits
    return f"p < {least:.{digits}f}" if p < least else f"p = {p:.{digits}f}"


def plural(count: int, noun: str) -> str:
    """A number with its noun.

    Args:
        count: how many.
        noun: in the singular; it takes an s.

    Returns:
        Text.

    Example:
        >>> plural(1, "record"), plural(2000, "record")
        ('1 record', '2,000 records')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def without_secrets(text: str) -> str:
    """A message without the key and the secret of an address, also of one taken for a path.

    Args:
        text: any.

    Returns:
        The text.

    Example:
        >>> without_secrets("s3://KEY:SE/CRET@bucket/x: not found")
        's3://bucket/x: not found'
    """
    return _SECRET.sub(r"\1", text)
