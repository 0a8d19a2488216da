"""The tables as Markdown and JSON."""

from __future__ import annotations

import json
import math

from levelhead.lab.evaluate import Scores
from levelhead.lab.experiments import TABLES, Outcome, RowResult
from levelhead.lab.table import cells, markdown, to_json


def _outcome(ece: float) -> Outcome:
    return Outcome(Scores(ece, 0.75, 0.7514), Scores(ece + 0.1, math.nan, 0.7))


RESULTS = [
    RowResult(TABLES["published"][1], {0: _outcome(0.2), 1: _outcome(0.3)}, _outcome(0.2386)),
    RowResult(TABLES["clipped"][0], {0: _outcome(0.1)}, None),
]


def test_a_row_as_text() -> None:
    # Two seeds 0.1 apart: half-width t(0.975, 1) * s / sqrt(2) = 12.7062 * 0.05.
    assert cells(RESULTS[0]) == (
        "GRPO", "10", "0.2", "0.239", "0.2500 ± 0.6353", "0.3500 ± 0.6353", "0.2386",
        "0.7500", "undefined", "0.7514",
    )  # fmt: skip
    assert cells(RESULTS[1])[3:7] == ("-", "0.1000", "0.2000", "-")


def test_markdown_has_a_table_for_each_title() -> None:
    text = markdown(RESULTS, {"took": "3 s"})
    assert text.count("\n## ") + text.startswith("## ") == 2
    assert "| GRPO | 10 | 0.2 | 0.239 |" in text
    assert "* took: 3 s" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {11}


def test_json_has_every_seed_and_no_nan() -> None:
    text = json.dumps(to_json(RESULTS, {"took": "3 s"}), allow_nan=False)
    first, second = json.loads(text)["rows"]
    assert first["seeds"]["1"]["mean"]["ece"] == 0.3
    assert first["seeds"]["0"]["single"]["auroc"] is None
    assert second["limit"] is None
    assert second["ece_mean"]["low"] is None
    assert first["published"] == [0.239, 0.751, 0.751]
