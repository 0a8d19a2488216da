"""Wrong versions of the audit's report, of its pictures, and of what every report shares."""

from __future__ import annotations

from mutant import Mutant

REPORT, CHARTS = ["tests/audit/test_report.py"], ["tests/audit/test_charts.py"]
PAGES = ["tests/test_pages.py"]

MUTANTS = [
    Mutant(
        target="levelhead._pages",
        old="autoescape=True",
        new="autoescape=False",
        why="Jinja's default: a text in the data becomes markup",
        tests=REPORT,
    ),
    Mutant(
        target="levelhead._pages",
        old="    return text[:end].rstrip()",
        new="    return Markup(text[:end].rstrip())",
        why="the preview of a long text is marked as safe",
        tests=["tests/audit/test_report.py::test_every_text_field_is_escaped"],
    ),
    Mutant(
        target="levelhead._text",
        old='        return "undefined"\n    smallest',
        new="        value = 0.0\n    smallest",
        why="an undefined number is printed as 0.000",
        tests=["tests/test_text.py"],
    ),
    Mutant(
        target="levelhead.audit.report",
        old='status == "ok" or n == 0',
        new='status != "refusal" or n == 0',
        why="records without a usable confidence are passed over in silence",
        tests=["tests/audit/test_report.py::test_what_became_of_the_records_is_said"],
    ),
    Mutant(
        target="levelhead.audit.charts",
        old="x, y = np.array(curve.confidence), np.array(curve.accuracy)",
        new="y, x = np.array(curve.confidence), np.array(curve.accuracy)",
        why="the axes of the reliability diagram are swapped",
        tests=CHARTS,
    ),
    Mutant(
        target="levelhead.audit.charts",
        old='PALETTE["over" if over else "under"]',
        new='PALETTE["under" if over else "over"]',
        why="overconfident bins are shown as underconfident",
        tests=CHARTS,
    ),
    Mutant(
        target="levelhead.audit.charts",
        old="(says - right) * (says - 0.5) > 0 if _event(curve) else says > right",
        new="says > right",
        why="an event called too unlikely is shown as underconfidence",
        tests=CHARTS,
    ),
    Mutant(
        target="levelhead._drawing",
        old='aria-label="{escape(blanked(label))}"',
        new='aria-label="{blanked(label)}"',
        why="a model's name breaks out of the attribute",
        tests=["tests/audit/test_charts.py::test_svg_is_self_contained_reproducible_and_themed"],
    ),
    Mutant(
        target="levelhead.audit.charts",
        old="ax.plot(curve.coverage, curve.risk, color",
        new="ax.plot(curve.risk, curve.coverage, color",
        why="the axes of the risk-coverage curve are swapped",
        tests=CHARTS,
    ),
]
