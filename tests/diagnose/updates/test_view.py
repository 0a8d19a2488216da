"""The numbers, pictures and tables of a comparison of weights."""

from __future__ import annotations

import dataclasses

import pytest

from levelhead.diagnose.section import Measure
from levelhead.diagnose.updates._null import OverlapCounts
from levelhead.diagnose.updates._rank import Rank
from levelhead.diagnose.updates._result import TensorUpdate, UpdatesResult
from levelhead.diagnose.updates._view import charts, measures, rank_words, tables

NOISE = Rank(60, 60, 50.0, 20.0, "exact")


def tensor(
    layer: int | None,
    kind: str = "up_proj",
    changed: int = 500,
    null: float | None = 0.5,
    rank: Rank | None = None,
    n: int = 1000,
) -> TensorUpdate:
    return TensorUpdate(
        f"{layer}.{kind}", layer, kind, (n // 10, 10), "bfloat16", n, changed, (changed,), changed,
        1e-5, 1e-4, 0, None, null, None, rank,
    )  # fmt: skip


def result(*tensors: TensorUpdate, **fields: object) -> UpdatesResult:
    n, changed = (sum(getattr(one, name) for one in tensors) for name in ("n", "changed"))
    found = UpdatesResult(
        "base", "tuned", None, tensors, (0.0,), n, changed, (changed / n,), 0.1, 0.5, 0.4, 0.0, 40,
        0.8, 0.95, ((0.1, 1.0, 1.0), (0.2, 0.5, 0.5)), 0.0, None, "AS ROUNDING PRODUCES", {}, (),
        len(tensors), 0,
    )  # fmt: skip
    return dataclasses.replace(found, **fields)  # type: ignore[arg-type]


def by_name(found: UpdatesResult) -> dict[str, Measure]:
    return {one.name: one for one in measures(found)}


def test_layers_are_listed_by_their_number_and_all_of_them_are_seen() -> None:
    few = tables(result(*(tensor(i) for i in (0, 1, 10, 11, 2, 9))))
    assert [row[0] for row in few[1].rows] == [0, 1, 2, 9, 10, 11]
    assert [row[0] for row in few[2].rows] == ["0", "1", "2", "9", "10", "11"]
    # Twenty do not fit: those that say most come first, and neighbors are put together.
    changed = {7: 100, 19: 900}
    by_layer, by_both = tables(
        result(*(tensor(i, changed=changed.get(i, 500)) for i in range(20)))
    )[1:]
    assert by_layer.title == "By layer, those farthest from the null first"
    assert [row[0] for row in by_layer.rows] == [7, 19, *(i for i in range(19) if i != 7)]
    assert [row[0] for row in by_both.rows] == [f"{i} to {i + 1}" for i in range(0, 20, 2)]
    assert by_both.rows[3] == ("6 to 7", 0.3)
    assert [row[0] for row in tables(result(*map(tensor, range(13))))[2].rows][-2:] == [
        "10 to 11",
        "12",
    ]


def test_a_chart_of_the_layers_takes_the_place_of_rows_that_are_not_shown() -> None:
    titles = [one.title for one in charts(result(*map(tensor, range(13))))]
    assert titles[-1] == "Density by layer"
    assert len(charts(result(*map(tensor, range(12))))) == len(titles) - 1


def test_kinds_with_most_weights_come_first() -> None:
    found = tables(result(tensor(0, "a", n=100), tensor(0, "b"), tensor(1, "b"), tensor(0, "c")))
    assert [row[0] for row in found[0].rows] == ["b", "c", "a"]
    assert found[2].header == ("layer", "b", "c", "a")
    many = tables(result(*(tensor(0, f"k{i}") for i in range(9))))[2]
    assert len(many.header) == 8
    assert many.note == "the 7 kinds with most weights"


def test_the_null_of_a_group_counts_what_did_not_change_as_that() -> None:
    found = result(
        tensor(0, "a", null=0.1, n=100, changed=10), tensor(0, "a", null=0.5, n=300, changed=150),
        tensor(0, "a", null=None, n=400, changed=0), tensor(1, "b", null=None, changed=0),
    )  # fmt: skip
    rows = [dict(zip(tables(found)[0].header, row, strict=True)) for row in tables(found)[0].rows]
    assert [row["kind"] for row in rows] == ["b", "a"]
    assert rows[0]["null"] is None
    assert rows[1]["null"] == pytest.approx((100 * 0.1 + 300 * 0.5) / 800)
    assert rows[1]["density"] == pytest.approx(160 / 800)


def test_ranks_are_columns_where_there_are_ranks() -> None:
    assert "rank/full" in tables(result(tensor(0, rank=NOISE), tensor(1)))[1].header
    assert "rank/full" not in tables(result(tensor(0, rank=NOISE), tensor(1), tensor(2)))[1].header


def test_an_adapter_shows_its_rank_and_not_a_share() -> None:
    rank = Rank(8, 256, 7.5, 5.0, "adapter")
    found = result(tensor(0, rank=rank), tensor(1), tensor(2), tensor(3, changed=0, null=None))
    assert rank_words(found) == "rank 8 in 1 of 4 tensors"
    named = by_name(found)
    assert named["rank of the adapter"].value == 8
    assert isinstance(named["rank of the adapter"].value, int)
    assert (
        named["rank of the adapter"].note == "rank 8 in 1 of 4 tensors; a matrix's own could be 256"
    )
    assert named["effective rank of the adapter"].value == 7.5
    assert "rank / largest possible" not in named
    assert tables(found)[1].header[4:] == ("rank", "effective", "stable")
    assert tables(found)[1].rows[0][4] == 8
    mixed = result(tensor(0, rank=rank), tensor(1, rank=dataclasses.replace(rank, rank=16)))
    assert rank_words(mixed) == "ranks 8 to 16 in 2 of 2 tensors"
    assert rank_words(result(tensor(0))) == ""


def test_ranks_of_sketches_are_apart_and_have_their_null() -> None:
    drawn = Rank(256, 256, 200.0, 60.0, "sketch")
    other = dataclasses.replace(NOISE, stable=30.0)
    named = by_name(result(tensor(0, rank=drawn), tensor(1, rank=NOISE), tensor(2, rank=other)))
    assert named["stable rank"].value == 25.0
    small = named["stable rank of a sketch"]
    assert (small.value, small.null) == (60, 64)
    assert named["effective rank of a sketch / its size"].value == 200 / 256
    narrow = by_name(result(tensor(0, rank=dataclasses.replace(drawn, full=40))))
    assert narrow["stable rank of a sketch"].null is None


def test_noise_has_full_rank_where_it_leaves_no_row_out() -> None:
    # 60 (ln 60 + 3) = 425.7 changes: an empty row in one of twenty matrices.
    for changed, null in ((426, 1.0), (425, None)):
        found = by_name(result(tensor(0, changed=changed, rank=NOISE)))
        assert found["rank / largest possible"].null == null


def test_measures_stand_beside_their_nulls() -> None:
    sums = OverlapCounts(n=100, first=20, second=10, both=8, expected=4.0, variance=2.0)
    named = by_name(result(tensor(0), overlap=sums.result()))
    assert named["density where anything changed"].null == 0.5
    small = named["density among the smallest weights"]
    assert (small.value, small.null) == (0.8, 0.95)
    assert (
        named["overlap, of TUNED's changes"].value,
        named["overlap, of TUNED's changes"].null,
    ) == (0.4, 0.2)
    assert (
        named["overlap, of OTHER's changes"].value,
        named["overlap, of OTHER's changes"].null,
    ) == (0.8, 0.4)
    assert named["Jaccard"].value == 8 / 22
    some = by_name(dataclasses.replace(result(tensor(0)), tolerances=(0, 1e-6), densities=(1, 0.5)))
    assert some["density above 1e-6"].value == 0.5  # as it is given on the command line


def test_nothing_changed_is_no_rows_of_zeros() -> None:
    still = result(
        tensor(0, changed=0, null=None), excluded={"lm_head.weight": "resized"}, by_size=()
    )
    assert [one.title for one in tables(still)] == ["Not compared"]
    assert charts(still) == ()


def test_weights_of_zero_have_no_place_on_a_logarithmic_axis() -> None:
    for sizes in ((0.0, 0.0, 0.0), (0.0, 0.0, 0.1)):
        points = tuple((size, 1.0, 1.0) for size in sizes)
        drawn = charts(result(tensor(0), by_size=points))
        assert [one.title for one in drawn] == ["Density by kind of matrix"]
