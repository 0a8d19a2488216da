"""The words, numbers and pictures of a comparison of weights."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose._updates_rank import Rank
from levelhead.diagnose._updates_section import _sentences, section
from levelhead.diagnose.updates import UpdatesResult, diagnose_updates

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> UpdatesResult:
    """Two runs of noise."""
    folder, dice = tmp_path_factory.mktemp("models"), torch.Generator().manual_seed(0)
    base = {
        f"model.layers.{i}.{kind}.weight": (0.02 * torch.randn(80, 60, generator=dice)).bfloat16()
        for i in range(2)
        for kind in ("mlp.up_proj", "self_attn.q_proj")
    }
    base["model.norm.weight"] = torch.ones(60).bfloat16()
    for name in ("base", "one", "two"):
        step = 0.0 if name == "base" else 1e-5
        save_file({k: (v.double() + step * torch.randn(v.shape, generator=dice).double()).bfloat16()
                   for k, v in base.items()}, folder / f"{name}.safetensors")  # fmt: skip
    return diagnose_updates(
        *(folder / f"{n}.safetensors" for n in ("base", "one", "two")), threads=1
    )


def test_the_null_is_said_beside_the_finding(result: UpdatesResult) -> None:
    found = section(result)
    assert (found.verdict, found.tone) == ("AS ROUNDING PRODUCES", "good")
    said = " ".join((found.headline, *found.sentences))
    assert "12% of the weights changed" in said
    assert "Noise alone would show 12%" in said
    assert "false-alarm level of 1%" in said
    assert "That is what two independent runs share" in said
    assert "1 tensor of 5 did not change at all" in said
    by_name = {one.name: one for one in found.measures}
    assert by_name["density where anything changed"].null == result.null_density
    assert by_name["overlap, of this run's changes"].null == result.overlap.matched  # type: ignore[union-attr]
    assert by_name["Jaccard"].value == result.overlap.jaccard  # type: ignore[union-attr]
    assert [table.title for table in found.tables] == [
        "By kind of matrix", "By layer", "Density by layer and kind",
    ]  # fmt: skip
    assert all(len(row) == len(t.header) for t in found.tables for row in t.rows)
    assert len(found.charts) == 2
    assert all(chart.svg.startswith("<svg") for chart in found.charts)
    json.dumps(found.data, allow_nan=False)
    assert not found.warnings


def test_what_was_not_compared_is_a_warning(result: UpdatesResult) -> None:
    lost = dataclasses.replace(result.tensors[0], nonfinite=7)
    odd = dataclasses.replace(
        result, tensors=(lost,), excluded={"lm_head.weight": "resized from 9 to 12 rows"}
    )
    found = section(odd)
    assert found.warnings[0] == "interrupted: 1 of 5 tensors were compared"
    assert found.warnings[1].startswith("7 weights are NaN or infinite and left out, in 1 tensor")
    assert found.warnings[2].endswith("such as lm_head.weight: resized from 9 to 12 rows")
    assert found.tables[-1].title == "Not compared"


@pytest.mark.parametrize(
    ("verdict", "words", "tone"),
    [
        ("SPARSE BEYOND ROUNDING", "rounding does not explain why so few", "bad"),
        ("DENSE", "the update is dense", "good"),
        ("UNDECIDED", "too few weights are small enough", "open"),
        ("UNCHANGED", "weights changed as they are stored", "open"),
    ],
)
def test_headlines(result: UpdatesResult, verdict: str, words: str, tone: str) -> None:
    found = section(dataclasses.replace(result, verdict=verdict))
    assert words in found.headline
    assert found.tone == tone


def test_a_step_of_uneven_size_and_where_its_changes_are_missing(result: UpdatesResult) -> None:
    tensors = tuple(
        dataclasses.replace(one, kind="embed_tokens", changed=0)
        if one.name.startswith("model.layers.0")
        else one
        for one in result.tensors
    )
    found = section(dataclasses.replace(result, tensors=tensors, z=-9.0))
    assert "as they do after a dense step of uneven size" in found.headline
    named = [one for one in found.sentences if "of the missing changes are in embed_tokens" in one]
    assert len(named) == 1
    assert named[0].endswith("words that the training never met leave their rows as they were.")
    even = section(dataclasses.replace(result, tensors=tensors, z=-2.3))
    assert "uneven" not in even.headline
    assert not any("missing changes" in one for one in even.sentences)


def test_ranks_of_sketches_are_apart_and_have_their_null(result: UpdatesResult) -> None:
    first, *rest = result.tensors
    drawn = Rank(256, 256, 200.0, 60.0, "sketch")
    mixed = dataclasses.replace(result, tensors=(dataclasses.replace(first, rank=drawn), *rest))
    by_name = {one.name: one for one in section(mixed).measures}
    whole = [one.rank for one in rest if one.rank is not None]
    assert by_name["stable rank"].value == pytest.approx(
        sum(one.stable or 0.0 for one in whole) / len(whole)
    )
    assert (by_name["stable rank of a sketch"].value, by_name["stable rank of a sketch"].null) == (
        60,
        64,
    )
    assert by_name["effective rank of a sketch / its size"].value == 200 / 256
    assert by_name["rank of a sketch / its size"].null == "of independent noise: full"
    narrow = dataclasses.replace(first, rank=dataclasses.replace(drawn, full=40))
    odd = section(dataclasses.replace(result, tensors=(narrow, *rest)))
    assert {one.name: one.null for one in odd.measures}["stable rank of a sketch"] is None


def test_weights_of_zero_have_no_place_on_a_logarithmic_axis(result: UpdatesResult) -> None:
    for sizes in ((0.0, 0.0, 0.0), (0.0, 0.0, 0.1)):
        points = tuple((size, 1.0, 1.0) for size in sizes)
        drawn = section(dataclasses.replace(result, by_size=points)).charts
        assert [one.title for one in drawn] == ["Density by kind of matrix"]


def test_the_null_of_a_kind_is_weighed_by_its_tensors(result: UpdatesResult) -> None:
    tensors = tuple(
        dataclasses.replace(one, kind="a", n=n, null_density=null)
        for one, n, null in zip(result.tensors, (100, 300), (0.1, 0.5), strict=False)
    )
    table = section(dataclasses.replace(result, tensors=tensors)).tables[0]
    assert dict(zip(table.header, table.rows[0], strict=True))["null"] == pytest.approx(0.4)


def test_runs_with_more_in_common_and_runs_without_changes(result: UpdatesResult) -> None:
    assert result.overlap is not None

    def said_of(z: float, shared: float | None, shared_z: float | None) -> str:
        assert result.overlap is not None
        found = dataclasses.replace(result.overlap, z=z, shared=shared, shared_z=shared_z)
        return " ".join(_sentences(dataclasses.replace(result, overlap=found)))

    assert "more in common than sizes, rows and columns" in said_of(9.0, 0.3, 30.0)
    assert (
        "still correlate by 0.30 (z = 30.0; independent runs: 0, false-alarm level 1%)"
        in said_of(9.0, 0.3, 30.0)
    )
    # Rows and columns that move more explain it: no finding, however large z by size is.
    for left, z in ((0.3, 2.3), (0.019, 90.0), (-0.001, -0.1)):
        said = said_of(9.0, left, z)
        assert "Independent runs show that too, so it is no finding" in said
        assert "-0.00" not in said
        assert "That is what two independent runs share" in said_of(0.1, left, z)
    assert "Whether the runs share more was not tested" in said_of(9.0, None, None)
    none = dataclasses.replace(result.overlap, one_sided=None, matched=None, z=None)
    said = _sentences(dataclasses.replace(result, overlap=none))
    assert any("undefined: one of them changed nothing" in one for one in said)
