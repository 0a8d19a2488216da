"""Wrong parsers of elicited confidences."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.elicitation"
TESTS = ["tests/test_elicitation.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="    ambiguous = 0.0 < found < 1.0 and not sign\n",
        new="    ambiguous = False\n",
        why="0.8 in a percent tag is read as 0.8 percent",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old='    if not 0.0 <= value <= 1.0:\n        return Elicited(answer, None, "out_of_range")\n',
        new="    value = value / 100.0 if value > 1.0 else value\n",
        why="a confidence of 90 where a fraction was asked for is guessed to be a percentage",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old='    return Elicited(answer, 0.0, "ok", "fallback")',
        new='    return Elicited(answer, 0.0, "ok")',
        why="the stand-in 0.0 looks like a stated confidence",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="        value = int(float(answer))\n",
        new="        value = round(float(answer))\n",
        why="the published reward cuts off the fraction and does not round",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="        if not match[1]:\n            start = match.end()\n",
        new="        if not match[1] and start < 0:\n            start = match.end()\n",
        why="an opening tag that is only mentioned swallows the real one",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="    if math.isnan(found):\n",
        new="    if math.isinf(found):\n",
        why="min and max turn NaN into a confidence of 1 percent or keep it as NaN",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="        start = max(0, len(text) - MAX_PATTERN_TEXT)\n",
        new="        start = min(len(text), MAX_PATTERN_TEXT)\n",
        why="the beginning of the text is left out instead of all but its end",
        tests=TESTS,
    ),
]
