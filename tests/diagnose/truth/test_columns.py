"""Claims in lists against the same claims a row each, and beliefs in percent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.diagnose.truth._columns import number_of, probability, read_columns, too_small
from levelhead.diagnose.truth._files import read_statements
from levelhead.errors import RecordError
from levelhead.readers import ReadLog
from levelhead.readers._values import Place

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


FOLDED = [
    {"id": "a", "p": 0.9, "said": ["yes", "no", None], "truth": "positive", "topic": "t"},
    {"id": "b", "p": 0.2, "said": [], "truth": "negative", "topic": "t"},
    {"id": "c", "p": None, "said": ["hedge"], "truth": None, "topic": "u"},
]
PLAIN = [{**row, "said": said} for row in FOLDED for said in row["said"]]
COLUMNS = {
    "claim": "said",
    "belief": "p",
    "prompt_id": "id",
    "condition": "truth",
    "topic": "topic",
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("each", [False, True])
def test_a_list_of_claims_is_a_row_for_each(kind: str, each: bool, tmp_path: Path) -> None:
    folded, plain = FOLDED, PLAIN
    if each:  # every claim with a belief of its own
        folded = [{**row, "p": [0.1 * (j + 1) for j in range(len(row["said"]))]} for row in FOLDED]
        plain = [
            {**row, "said": s, "p": p}
            for row in folded
            for s, p in zip(row["said"], row["p"], strict=True)
        ]
    one = read_statements(write(tmp_path / f"x.{kind}", folded), **COLUMNS)
    other = read_statements(write(tmp_path / f"y.{kind}", plain), **COLUMNS)
    for name in ("belief", "claim"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("ids", "condition", "topic", "options"):
        assert getattr(one, name) == getattr(other, name), name
    assert any("2 rows hold 1 to 3 samples each in lists ('said'" in note for note in one.notes)
    assert not any("samples" in note for note in other.notes)


def test_lists_over_options_are_one_belief_for_all_claims(tmp_path: Path) -> None:
    rows = [{"q": f"q{i}", "p": [0.7, 0.2], "said": [1, 0]} for i in range(3)]
    found = read_statements(
        write(tmp_path / "x.jsonl", rows), claim="said", belief="p", prompt_id="q", yes_at="0"
    )
    plain = [{**row, "said": said} for row in rows for said in (1, 0)]
    other = read_statements(
        write(tmp_path / "y.jsonl", plain), claim="said", belief="p", prompt_id="q", yes_at="0"
    )
    np.testing.assert_array_equal(found.belief, other.belief)
    assert found.claim.tolist() == [1.0, 0.0] * 3


def test_each_claim_may_have_a_list_over_options(tmp_path: Path) -> None:
    rows = [{"p": [[0.8, 0.2], [0.1, 0.9], [0.5, 0.5]], "said": [1, 0, 1]}]
    path = write(tmp_path / "x.jsonl", rows * 2)
    found = read_statements(path, claim="said", belief="p", yes_at="0")
    assert found.belief.tolist() == pytest.approx([0.8, 0.1, 0.5] * 2)


def test_errors_of_lists_name_the_row_and_the_claim(tmp_path: Path) -> None:
    rows = [{}, {"p": 0.1, "said": [1, 7]}]
    with pytest.raises(RecordError, match=r"x.jsonl:1: sample 2: said: expected 0, 1, yes, no"):
        read_statements(write(tmp_path / "x.jsonl", rows[1:]), claim="said")
    rows = [{"p": [0.5, 0.5], "said": [1, 0]}, {"p": [0.5], "said": [1, 0]}]
    with pytest.raises(
        RecordError, match=r"y.jsonl:2: expected lists of one length in a row.* got 2"
    ):
        read_statements(write(tmp_path / "y.jsonl", rows), claim="said", belief="p")


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"a": 1}])
    with pytest.raises(RecordError, match="column: expected"):
        read_columns(path, ["b"], log=ReadLog())
    columns, places = read_columns(path, ["a"], ("c",), log=ReadLog())
    assert columns == {"a": [1]}
    assert places[0][0].row(places[0][1]) == 1


@pytest.mark.parametrize(
    ("value", "percent", "expected"),
    [
        (90, True, 0.9), (100.0, True, 1.0), (0, True, 0.0), (0.5, None, 0.5), (1, False, 1.0),
        ("90%", None, 0.9), ("90 %", True, 0.9), ("90", True, 0.9), ("0.9", None, 0.9),
        (None, True, None), ("n/a", None, None), (math.nan, True, None), (1.0000001, None, 1.0),
    ],
)  # fmt: skip
def test_probabilities_in_either_unit(
    value: Any, percent: bool | None, expected: float | None
) -> None:
    found = probability(value, "p", (Place(Path("x")), 0), percent, [value])
    assert math.isnan(found) if expected is None else found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "percent", "others", "words"),
    [
        (87, None, [87, 3], "x:1: p: expected a probability in [0, 1], got 87; percentages must be "
         "divided by 100: pass --percent"),
        (87, None, [0.4, 87, 60], "got 87; percentages must be divided by 100: pass --percent"),
        (87, None, [0.4, 87], "got 87; fractions and percentages are mixed: bring them to one scale"),
        (101, True, [101], "x:1: p: expected a percentage in [0, 100], got 101"),
        (-1, None, [-1], "expected a probability in [0, 1], got -1"),
        ("150%", None, [], "expected a probability in [0, 1], got '150%'"),
        (500, None, [500], "expected a probability in [0, 1], got 500"),
        ([1], None, [], "expected a probability in [0, 1], got [1]"),
    ],
)  # fmt: skip
def test_what_is_no_probability(value: Any, percent: bool | None, others: Any, words: str) -> None:
    with pytest.raises(RecordError) as told:
        probability(value, "p", (Place(Path("x")), 0), percent, others)
    assert words in str(told.value)
    assert ("--percent" in str(told.value)) == ("--percent" in words)


def test_percentages_are_divided_and_fractions_told(tmp_path: Path) -> None:
    rows = [{"p": 90, "said": 1}, {"p": 5, "said": 0}]
    path = write(tmp_path / "x.jsonl", rows)
    found = read_statements(path, claim="said", belief="p", percent=True)
    assert found.belief.tolist() == [0.9, 0.05]
    assert found.warnings == ()
    odd = write(tmp_path / "y.jsonl", [{"p": 0.9, "said": 1}, {"p": 0.0, "said": 0}])
    found = read_statements(odd, claim="said", belief="p", percent=True)
    assert found.warnings == (
        f"{odd}: 'p' is read as percentages, but no value is above 1; leave --percent out if they are "
        "fractions",
    )
    lists = write(tmp_path / "z.jsonl", [{"p": [70, 20], "said": 1}])
    found = read_statements(lists, claim="said", belief="p", yes_at="0", percent=True)
    assert found.belief.tolist() == pytest.approx([7 / 9])


def test_too_small_and_numbers() -> None:
    path = Path("x")
    assert too_small([0.0, math.nan], "p", path) is None
    assert too_small([0.011, 0.0], "p", path) is None
    assert "leave --percent out" in str(too_small([0.01, 0.0], "p", path))
    assert number_of("7") == 7.0
    assert all(math.isnan(number_of(one)) for one in (None, [1], {"a": 1}, "x"))


@pytest.mark.parametrize("first", [1, 150])
def test_a_list_beside_single_claims_is_no_claim(first: int, tmp_path: Path) -> None:
    rows = [{"p": 0.5, "said": 1}] * first + [{"p": 0.5, "said": [1, 0]}]
    path = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(RecordError) as told:
        read_statements(path, claim="said", belief="p")
    assert str(told.value) == (
        f"{path}:{first + 1}: said: expected one claim in every row, or a list of claims in every row "
        "of JSON Lines or Parquet, got '[1, 0]'; write all rows in one way"
    )
    one = write(tmp_path / "y.jsonl", [{"p": 0.5, "said": said} for said in ("[1]", "yes, [no]")])
    assert read_statements(one, claim="said", belief="p").claim[0] == 1.0


def test_a_number_of_python_is_none_of_a_table() -> None:
    assert math.isnan(number_of("1_0"))
