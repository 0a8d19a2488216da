"""The diagnosis as HTML and as JSON: nothing is lost, nothing is markup that is not ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from levelhead.diagnose.charts import Curve, line_chart
from levelhead.diagnose.report import cell, json_text, numeric, render_html, shown, write_report
from levelhead.diagnose.section import Chart, Measure, Section, Table
from levelhead.errors import RecordError

EVIL = "<script>alert(1)</script>\x00"


def a_section(**given: object) -> Section:
    k = np.array([1.0, 2.0, 4.0])
    curve = Curve("base", k, np.array([0.2, 0.3, np.nan]))
    svg = line_chart([curve], x_label="k", label="pass@k", prefix="sharpening-1", log_x=True)
    content: dict[str, object] = {
        "name": "sharpening",
        "title": "Sharpening",
        "verdict": "SHARPEN",
        "tone": "bad",
        "headline": "It favors what it could do before.",
        "sentences": ["Noise alone would show 0."],
        "measures": [Measure("pass@1", 0.25, 0.2, 0.3, null=0.25, percent=True, note="of all")],
        "charts": [Chart("Curves", "How to read it.", svg)],
        "tables": [Table("Changes", ("problem", "base", "n"), [("a", 0.5, 3), (EVIL, None, 1200)])],
        "warnings": ["odd"],
        "notes": ["seed 0"],
        "data": {"value": np.float64(0.5), "missing": float("nan")},
    }
    return Section(**(content | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Measure("a", 0.25, 0.2, 0.3, null=0.1, percent=True), ("25%", "20% to 30%", "10%")),
        (Measure("a", 1.5), ("1.500", "", "")),
        (Measure("a", None, null="none of them"), ("undefined", "", "none of them")),
        (Measure("a", 0.0, -0.1, 0.1, null=0.0), ("0.000", "−0.100 to 0.100", "0.000")),
        (Measure("a", 1.0, 0.5, None), ("1.000", "", "")),
        (Measure("k", 1500, 8, 2000, null=16), ("1,500", "8 to 2,000", "16")),
        (
            Measure("d", -0.25, -0.5, 0.1, null=0.0, change=True),
            ("−0.250", "−0.500 to +0.100", "0.000"),
        ),
        (
            Measure("d", 0.25, -0.05, 0.5, null=0.0, percent=True, change=True),
            ("+25.0 points", "−5.0 to +50.0", "0.0"),
        ),
        (Measure("d", None, percent=True, change=True), ("undefined", "", "")),
    ],
)
def test_a_measure_in_words(measure: Measure, expected: tuple[str, str, str]) -> None:
    assert shown(measure) == expected


@pytest.mark.parametrize(
    ("value", "plain", "percent", "change"),
    [
        (-0.25, "−0.250", None, "−0.250"),
        (0.25, "0.250", "25%", "+0.250"),
        (1200, "1,200", None, None),
        (None, "undefined", "undefined", "undefined"),
        ("a-b", "a-b", "a-b", "a-b"),
    ],
)
def test_a_cell_reads_as_its_column_does(
    value: float | str | None, plain: str, percent: str | None, change: str | None
) -> None:
    table = Table("t", ("x", "y", "z"), (), percent=("y",), change=("z",))
    for column, text in enumerate((plain, percent, change)):
        if text is not None:
            assert cell(table, column, value) == text


def test_columns_of_numbers_are_set_to_the_right() -> None:
    rows = [
        ["1%", "+1.5", "−4.7 points", "−1.0 to +2.0", "a 1", "1 of 2", 0.5, "", "<0.1%"],
        ["2%", "undefined", "0.0 points", "0.1 to 0.2", "2", "1", None, "", "-"],
    ]
    table = Table("t", [str(i) for i in range(9)], rows)
    assert [numeric(table, i) for i in range(9)] == [
        *(True, True, True, True), *(False, False), True, *(False, False),
    ]  # fmt: skip
    page = render_html([a_section(tables=[table])], "x").replace("\n", "")
    assert '<td class="n">−4.7 points</td>' in page
    assert page.count('<th scope="col" class="n"><bdi>') == 5


def test_cells_of_the_page_read_as_in_the_terminal() -> None:
    table = Table("t", ("x", "share", "d"), [(EVIL, 0.25, -0.5)], percent=["share"], change=["d"])
    page = render_html([a_section(tables=[table])], "x")
    assert '<td class="n">25%</td><td class="n">−0.500</td>' in page.replace("\n", "")


def test_json_has_everything_but_pictures() -> None:
    (found,) = json.loads(json_text([a_section()]))["sections"]
    assert "charts" not in found
    assert found["data"] == {"value": 0.5, "missing": None}
    assert found["measures"][0]["null"] == 0.25
    assert found["tables"][0]["rows"] == [["a", 0.5, 3], [EVIL, None, 1200]]
    assert (found["verdict"], found["warnings"]) == ("SHARPEN", ["odd"])


def test_html_has_every_section_and_no_foreign_markup() -> None:
    page = render_html([a_section(), a_section(name="formats", headline=EVIL)], "base and tuned")
    assert "<script" not in page
    assert "\x00" not in page
    assert page.count("<svg") == 2
    for text in ("SHARPEN", "Noise alone would show 0.", "20% to 30%", "undefined", "1,200",
                 'id="formats"', 'href="#sharpening"', "seed 0", "How to read it."):  # fmt: skip
        assert text in page
    assert page == render_html(
        [a_section(), a_section(name="formats", headline=EVIL)], "base and tuned"
    )


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="none"):
        write_report([a_section()], "x", tmp_path / "none" / "x.html")
    write_report([a_section()], "x", tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
