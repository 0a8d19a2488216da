"""The words, numbers and pictures of a comparison of weights."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose._updates_section import section
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


def test_runs_with_more_in_common_and_runs_without_changes(result: UpdatesResult) -> None:
    assert result.overlap is not None
    more = dataclasses.replace(result, overlap=dataclasses.replace(result.overlap, z=9.0))
    assert "more in common than the sizes of the weights" in " ".join(section(more).sentences)
    none = dataclasses.replace(result.overlap, one_sided=None, matched=None, z=None)
    said = section(dataclasses.replace(result, overlap=none)).sentences
    assert any("undefined: one of them changed nothing" in one for one in said)
