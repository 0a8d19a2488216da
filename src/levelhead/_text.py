"""How numbers read in sentences, the same wherever they are printed."""

from __future__ import annotations

import math
import re

__all__ = ["percent", "plural", "without_secrets"]

_SECRET = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/@:]+:[^\s@]+@")


def percent(value: float | None) -> str:
    """A share in percent, with a decimal only near 0 and 100, where it matters.

    Args:
        value: a share in [0, 1]; None or NaN where it is undefined.

    Returns:
        Text such as `67%`, `99.6%` or `undefined`; only 0 and 1 themselves print as 0% and 100%.

    Example:
        >>> percent(0.6699), percent(0.9961), percent(0.0), percent(0.99999), percent(None)
        ('67%', '99.6%', '0%', '>99.9%', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    if 0.0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 < value < 1.0:
        return ">99.9%"
    edge = 0.0 < value < 0.01 or 0.99 < value < 1.0
    return f"{100 * value:.1f}%" if edge else f"{100 * value:.0f}%"


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
