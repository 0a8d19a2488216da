"""Tables and hidden states from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.diagnose.truth._files import read_hidden, read_statements
from levelhead.errors import InvalidInputError, RecordError
from levelhead.predict.methods import option_shares


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


ROWS = [
    {"id": "a", "p": 0.9, "said": "Yes.", "truth": "pos"},
    {"id": "a", "p": 0.8, "said": "No", "truth": "NEGATIVE"},
    {"id": None, "p": None, "said": "hedge", "truth": None},
    {"id": "c", "p": 0.2, "said": "It depends.", "truth": "unknown"},
]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_all_containers_say_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "jsonl":
        lines(path, ROWS)
    elif kind == "json":
        path.write_text(json.dumps(ROWS))
    elif kind == "csv":
        rows = [",".join("" if v is None else str(v) for v in row.values()) for row in ROWS]
        path.write_text("\n".join(["id,p,said,truth", *rows]))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    found = read_statements(path, claim="said", belief="p", condition="truth", prompt_id="id")
    assert found.belief.tolist()[:2] == [0.9, 0.8]
    assert np.isnan(found.belief).tolist() == [False, False, True, False]
    assert found.claim.tolist()[:2] == [1.0, 0.0]
    assert np.isnan(found.claim).tolist() == [False, False, True, True]
    assert found.condition == ("Positive", "Negative", None, "Unknown")
    assert found.ids is not None
    assert (found.ids[0] == found.ids[1], found.ids[3]) == (True, "c")
    assert any("1 rows have no prompt id" in text for text in found.warnings)
    assert any("1 of 4 claims begin with neither yes nor no" in text for text in found.warnings)


@pytest.mark.parametrize("value", [1, 1.0, True, "true", "yes", "1"])
def test_claims_of_many_kinds(tmp_path: Path, value: object) -> None:
    path = lines(tmp_path / "x.jsonl", [{"c": value}, {"c": None}])
    found = read_statements(path, claim="c")
    assert found.claim[0] == 1.0
    assert np.isnan(found.claim[1])


def test_predictions_of_options(tmp_path: Path) -> None:
    """As `levelhead predict --method options` writes them: shares, and the mass outside of them."""
    logs = [[("Yes", np.log(0.6)), ("No", np.log(0.2))], [("No", np.log(0.5)), ("Yes", np.log(0.3))],
            [("Well", np.log(0.99)), ("Yes", np.log(0.001))]]  # fmt: skip
    rows = []
    for i, (top, order) in enumerate(zip(logs, (0, 1, 0), strict=True)):
        shares, outside = option_shares(top, ["Yes", "No"] if order == 0 else ["No", "Yes"])
        rows.append(
            {"q": "a" if i < 2 else "b", "option_shares": shares, "outside": outside, "at": order}
        )
    beliefs = tmp_path / "beliefs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), beliefs)
    claims = lines(tmp_path / "c.jsonl", [{"q": x, "c": 1} for x in ("b", "a", "a", "z")])
    found = read_statements(
        claims, claim="c", belief="option_shares", prompt_id="q", yes_at="at", beliefs=beliefs
    )
    assert found.options is not None
    assert found.belief[1:3] == pytest.approx([(0.75 + 0.375) / 2] * 2)
    assert np.isnan(found.belief[[0, 3]]).all()  # .001 of mass is no belief; z was not asked
    assert found.options.n_low == 1
    assert any("1 prompts have no belief there" in text for text in found.warnings)
    assert any("at least 3 wordings" in text for text in found.notes)
    own = read_statements(beliefs, claim="at", belief="option_shares", yes_at="at")
    assert own.belief[:2] == pytest.approx([0.75, 0.375])


def test_beliefs_of_a_file_are_averaged_by_prompt(tmp_path: Path) -> None:
    beliefs = lines(tmp_path / "b.jsonl", [{"q": "a", "p": 0.2}, {"q": "a", "p": 0.4}])
    claims = lines(tmp_path / "c.jsonl", [{"q": "a", "c": 1}])
    found = read_statements(claims, claim="c", belief="p", prompt_id="q", beliefs=beliefs)
    assert found.belief == pytest.approx([0.3])


@pytest.mark.parametrize(
    ("rows", "options", "text"),
    [
        ([{"c": 2}], {}, r"x.jsonl:1: c: expected 0, 1, yes, no, a hedge or nothing, got 2"),
        ([{"c": 1, "p": 0.5}, {"c": 1, "p": 87}], {"belief": "p"},
         r"x.jsonl:2: p: expected a probability in \[0, 1\], got 87.0; fractions and percentages are"),
        ([{"c": 1, "p": "likely"}], {"belief": "p"}, "x.jsonl:1: p: expected a probability"),
        ([{"c": 1, "k": "blue"}], {"condition": "k"},
         "x.jsonl:1: k: expected Positive, Negative or Unknown, got 'blue'"),
        ([{"c": 1, "p": [0.4, 0.4]}, {"c": 1, "p": [0.5]}], {"belief": "p"},
         "x.jsonl:2: p: expected a list of 2 probabilities, got"),
        ([{"c": 1, "p": [0.4, 0.9]}], {"belief": "p"}, "x.jsonl:1: p: expected probabilities that sum"),
        ([{"c": 1, "p": [0.4, 0.5], "at": 7}], {"belief": "p", "yes_at": "at"},
         "x.jsonl:1: at: expected a place from 0 to 1, got 7"),
        ([{"c": "I believe so"}, {"c": None}], {},
         r"x.jsonl: c: 1 of 2 claims begin with neither yes nor no, such as 'I believe so'; the first"),
        ([{"c": 1}], {"belief": "belief"}, "column: expected one of c, got 'belief'"),
        ([{"c": 1, "t": "?"}], {"label": "t"}, r"x.jsonl:1: t: expected 0 or 1, got '\?'"),
    ],
)  # fmt: skip
def test_bad_values_are_named_with_their_line(
    tmp_path: Path, rows: list[dict], options: dict, text: str
) -> None:
    with pytest.raises(RecordError, match=text):
        read_statements(lines(tmp_path / "x.jsonl", rows), claim="c", **options)


def test_beliefs_of_another_file_need_prompts(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", [{"c": 1, "q": "a", "p": 0.5}])
    with pytest.raises(InvalidInputError, match="--beliefs: expected --belief and --prompt-id"):
        read_statements(path, claim="c", beliefs=path)
    other = lines(tmp_path / "y.jsonl", [{"q": "b", "p": 0.5}])
    with pytest.raises(
        RecordError, match="expected the prompts of the claims in column 'q', got none"
    ):
        read_statements(path, claim="c", belief="p", prompt_id="q", beliefs=other)


def test_hidden_states(tmp_path: Path) -> None:
    h = np.arange(24, dtype=np.float16).reshape(4, 3, 2)
    np.savez(tmp_path / "x.npz", hidden=h, label=[1, 0, 1, 0], topic=list("abcd"), id=[1, 2, 3, 4])
    found = read_hidden(tmp_path / "x.npz")
    assert found.names == ("0", "1", "2")
    assert np.array_equal(found.layers[1], h[:, 1])
    assert (found.topic, found.ids) == (("a", "b", "c", "d"), ("1", "2", "3", "4"))
    assert found.types is None
    np.savez(tmp_path / "y.npz", layer_20=h[:, 0], layer_3=h[:, 1])
    named = read_hidden(tmp_path / "y.npz")
    assert named.names == ("3", "20")
    assert np.array_equal(named.layers[0], h[:, 1])
    np.save(tmp_path / "z.npy", h[:, 0])
    assert len(read_hidden(tmp_path / "z.npy").layers) == 1


def test_bad_hidden_states_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for arrays, text in (
        ({"states": np.zeros((2, 2))}, "expected an array 'hidden', or 'layer_0', .*got states"),
        ({"hidden": np.zeros(3)}, r"hidden: expected shape \(N, d\) or \(N, L, d\), got \(3,\)"),
        ({"hidden": np.zeros((2, 2)), "label": [1]}, r"label: expected shape \(2,\), got \(1,\)"),
        ({"hidden": np.zeros((2, 2)), "label": [1, 3]}, "label: expected 0 or 1, got 3 in row 1"),
        ({"hidden": np.full((2, 2), np.inf)}, "layer 0: expected finite numbers, got some others"),
        ({"layer_0": np.zeros((2, 2)), "layer_1": np.zeros((3, 2))}, r"layer 1: expected shape \(2, d\)"),
        ({"hidden": np.zeros((2, 2), dtype=complex)}, "layer 0: expected real numbers, got dtype"),
        ({"hidden": np.array([[None, 1]], dtype=object)}, "without pickled objects"),
    ):  # fmt: skip
        np.savez(path, **arrays)
        with pytest.raises(RecordError, match=text):
            read_hidden(path)
    path.write_text("no numbers")
    with pytest.raises(RecordError, match="expected an array of numbers of numpy"):
        read_hidden(path)
    with pytest.raises(RecordError, match=r"none\.npz"):
        read_hidden(tmp_path / "none.npz")


def test_lists_need_the_place_of_yes(tmp_path: Path) -> None:
    """Both orders read as one mix up yes and no, which looks like indifference."""
    asked = (([0.8, 0.1], 0), ([0.1, 0.8], 1))
    both = [{"c": 1, "q": "a", "p": shares, "yes_at": place} for shares, place in asked]
    path = lines(tmp_path / "x.jsonl", both)
    beside = {"prompt_id": "q", "beliefs": path}
    for further in ({}, beside):
        with pytest.raises(
            InvalidInputError, match="--yes-at: expected the place .*a column 'yes_at'"
        ):
            read_statements(path, claim="c", belief="p", **further)
        with pytest.raises(
            InvalidInputError, match="the column 'yes_at', where yes has other places"
        ):
            read_statements(path, claim="c", belief="p", yes_at="0", **further)
        found = read_statements(path, claim="c", belief="p", yes_at="yes_at", **further)
        assert found.belief == pytest.approx([8 / 9] * 2)
        assert not any("never swapped" in text for text in found.notes)
    bare = lines(tmp_path / "y.jsonl", [{"c": 1, "p": [0.8, 0.1]}, {"c": 0, "p": [0.2, 0.6]}])
    for place, belief in (("0", [8 / 9, 1 / 4]), ("1", [1 / 9, 3 / 4])):
        found = read_statements(bare, claim="c", belief="p", yes_at=place)
        assert found.belief == pytest.approx(belief)
        assert any(f"stands in place {place} in every row" in text for text in found.notes)
    with pytest.raises(InvalidInputError, match="--yes-at: expected a place from 0 to 1, got 2"):
        read_statements(bare, claim="c", belief="p", yes_at="2")


def test_a_place_of_yes_beside_numbers_is_no_silent_matter(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", [{"c": 1, "p": 0.8, "yes_at": i} for i in (0, 1)])
    with pytest.raises(
        InvalidInputError, match="--yes-at: expected lists over options in 'p', got s"
    ):
        read_statements(path, claim="c", belief="p", yes_at="yes_at")
    found = read_statements(path, claim="c", belief="p")
    assert found.belief.tolist() == [0.8, 0.8]
    assert any("column 'yes_at' is not used" in text for text in found.warnings)
