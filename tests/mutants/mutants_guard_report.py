"""Wrong versions of what the guard says: its pictures, its report, its advice, its commands."""

from __future__ import annotations

from mutant import Mutant

CHARTS = "levelhead.guard.charts"
WORDS = "levelhead.guard.words"
PAGE = "levelhead.guard._page"

MUTANTS = [
    Mutant(
        target=CHARTS,
        old="[share / (b - a) for",
        new="[share for",
        why="bars as high as their share: a wide bin looks fuller than it is",
        tests=["tests/guard/test_charts.py::test_bars_have_areas_in_proportion_to_their_shares"],
    ),
    Mutant(
        target=CHARTS,
        old="return LEFT + value * (WIDTH - LEFT - RIGHT)",
        new="return LEFT + value * (WIDTH - LEFT)",
        why="the point of the threshold is drawn at another coverage than it has",
        tests=["tests/guard/test_charts.py"],
    ),
    Mutant(
        target=CHARTS,
        old=">{escape(blanked(words))}</text>",
        new=">{blanked(words)}</text>",
        why="a model's name can bring markup into the page",
        tests=["tests/guard/test_charts.py::test_hostile_words_stay_words"],
    ),
    Mutant(
        target=WORDS,
        old="rate * n + 1.0, n - rate * n, limit",
        new="rate * n, n - rate * n + 1.0, limit",
        why="advises too few prompts: the probability of fewer errors, not of at most so many",
        tests=["tests/guard/test_words.py"],
    ),
    Mutant(
        target=WORDS,
        old="    if not promise or not changed:\n",
        new="    if True:\n",
        why="a promise stands unqualified behind the alarm that ends it",
        tests=["tests/guard/test_words.py"],
    ),
    Mutant(
        target="levelhead._text",
        old='    if 0.0 < value < 0.0005:\n        return "<0.1%"\n',
        new="",
        why="a rare error prints as 0%",
        tests=["tests/test_text.py"],
    ),
    Mutant(
        target=PAGE,
        old='promise = e.max_error if e.method == "ltt" else None',
        new="promise = e.max_error",
        why="a limit on the mean loss is drawn as one on the error rate among the answered",
        tests=[
            "tests/guard/test_report.py::"
            "test_a_promise_on_the_mean_loss_draws_no_limit_on_the_error_rate"
        ],
    ),
    Mutant(
        target=PAGE,
        old="    if e.on_fit_rows:\n        out.append(",
        new="    if e.on_fit_rows and e.max_error is None:\n        out.append(",
        why="a guard that is judged on the rows of its fit is not flagged",
        tests=["tests/guard/test_report.py::test_rows_of_the_fit_are_flagged_in_red"],
    ),
]
