"""The words, numbers and pictures of a comparison of weights."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates import UpdatesResult, diagnose_updates
from levelhead.diagnose.updates._rank import Rank
from levelhead.diagnose.updates._section import (
    TONES,
    _headline,
    _names,
    _next_steps,
    _sentences,
    _warnings,
    section,
)

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
    assert "changed from base.safetensors to one.safetensors; a dense step" in said
    assert "that one.safetensors changed were changed by two.safetensors too" in said
    assert [one.split(": ")[0] for one in found.notes[:3]] == ["BASE", "TUNED", "OTHER"]
    assert found.notes[0] == f"BASE: {result.base}"
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
    said = _warnings(odd)
    assert said[0] == "interrupted: 1 of 5 tensors were compared"
    assert said[1].startswith("7 weights are NaN or infinite and left out, in 1 tensor")
    assert said[2].endswith("such as lm_head.weight: resized from 9 to 12 rows")


@pytest.mark.parametrize(
    ("verdict", "words", "tone", "step"),
    [
        ("SPARSE BEYOND ROUNDING", "rounding does not explain why so few", "bad", "in the recipe"),
        ("AS ROUNDING PRODUCES", "would change 12% after rounding", "good", "own float32 weights"),
        ("DENSE", "one.safetensors: the update is dense", "good", ""),
        ("UNDECIDED", "too few weights are small enough", "open", "Compare a later checkpoint"),
        ("UNCHANGED", "None of 19,260 weights changed from base.safetensors", "open", "is no copy"),
    ],
)
def test_headlines(result: UpdatesResult, verdict: str, words: str, tone: str, step: str) -> None:
    found = dataclasses.replace(result, verdict=verdict)
    assert words in _headline(found)
    assert TONES.get(verdict, "open") == tone
    steps = _next_steps(found)
    assert step in steps[0] if step else not steps
    assert not any("--other" in one for one in steps)
    if verdict == "SPARSE BEYOND ROUNDING":
        assert "--other TUNED2" in _next_steps(dataclasses.replace(found, other=None))[1]


def test_what_is_called_a_difference_is_seen_as_one(result: UpdatesResult) -> None:
    odd = dataclasses.replace(
        result, densities=(0.2083,), moved_density=0.2084, null_density=0.2141
    )
    uneven = _headline(dataclasses.replace(odd, z=-9.0))
    assert uneven.startswith("20.8% of the weights changed from base")
    assert "a dense step of even size would change more (21.4%)" in uneven
    assert "21% after rounding" in _headline(dataclasses.replace(odd, z=0.0))
    frozen = dataclasses.replace(odd, densities=(0.1,), verdict="SPARSE BEYOND ROUNDING")
    assert "10.0% of the weights changed" in _headline(frozen)
    assert ", 20.8% in the tensors that changed at all, and rounding does" in _headline(frozen)


def test_an_adapter_is_told_by_its_rank(result: UpdatesResult) -> None:
    first, *rest = result.tensors
    one = dataclasses.replace(first, rank=Rank(8, 60, 7.5, 5.0, "adapter"))
    rest = [dataclasses.replace(other, rank=None) for other in rest]
    found = dataclasses.replace(
        result, tensors=(one, *rest), verdict="DENSE", densities=(0.31,), moved_density=0.93
    )
    assert _headline(found) == (
        "one.safetensors is an adapter of rank 8 in 1 of 5 tensors. With it 31% of the weights of "
        "base.safetensors changed, 93% in the tensors that changed at all: there the update is dense, "
        "with nothing to explain."
    )
    assert any("rank is a setting, not a finding" in said for said in _sentences(found))
    none = dataclasses.replace(found, verdict="UNCHANGED", moved_density=None)
    assert "With it none of 19,260 weights of base.safetensors changed, as" in _headline(none)
    assert _next_steps(none) == [
        "Keep the adapter apart from the model, or merge it in float32: rounding loses it."
    ]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("models/base", "out/tuned", None), ("base", "tuned")),
        (("b/model.safetensors", "l/adapter_model.safetensors", "c"), ("b", "l", "c")),
        (("base", "a/checkpoint-9", "b/checkpoint-9"), ("base", "a/checkpoint-9", "b/checkpoint-9")),
        (("base", "base", None), ("BASE", "TUNED")),
        ((".", "tuned", None), ("BASE", "TUNED")),
        (("/h/models--Qwen--Q2/snapshots/9f", "/h/models--me--Q/snapshots/ab", None),
         ("Qwen/Q2", "me/Q")),
    ],
)  # fmt: skip
def test_models_are_called_by_what_tells_their_paths_apart(
    result: UpdatesResult, paths: tuple[str, str, str | None], names: tuple[str, ...]
) -> None:
    base, tuned, other = paths
    assert _names(dataclasses.replace(result, base=base, tuned=tuned, other=other)) == names


def test_a_step_of_uneven_size_and_where_its_changes_are_missing(result: UpdatesResult) -> None:
    tensors = tuple(
        dataclasses.replace(one, kind="embed_tokens", changed=0)
        if one.name.startswith("model.layers.0")
        else one
        for one in result.tensors
    )
    found = dataclasses.replace(result, tensors=tensors, z=-9.0)
    assert "as they do after a dense step of uneven size" in _headline(found)
    named = [
        one for one in _sentences(found) if "of the missing changes are in embed_tokens" in one
    ]
    assert len(named) == 1
    assert named[0].endswith("words that the training never met leave their rows as they were.")
    even = dataclasses.replace(result, tensors=tensors, z=-2.3)
    assert "uneven" not in _headline(even)
    assert not any("missing changes" in one for one in _sentences(even))


def test_runs_with_more_in_common_and_runs_without_changes(result: UpdatesResult) -> None:
    assert result.overlap is not None

    def said_of(z: float, shared: float | None, shared_z: float | None) -> str:
        assert result.overlap is not None
        found = dataclasses.replace(result.overlap, z=z, shared=shared, shared_z=shared_z)
        return " ".join(_sentences(dataclasses.replace(result, overlap=found)))

    assert "more in common than sizes, rows and columns" in said_of(9.0, 0.3, 30.0)
    alike = dataclasses.replace(result.overlap, shared=0.3, shared_z=30.0)
    assert (
        "on other samples as --other" in _next_steps(dataclasses.replace(result, overlap=alike))[-1]
    )
    assert not any("other samples" in one for one in _next_steps(result))
    assert (
        "still correlate by 0.30 (z = 30.0; independent runs: 0, false-alarm level 1%)"
        in said_of(9.0, 0.3, 30.0)
    )
    # Rows and columns that move more explain it: no finding, however large z by size is.
    for left, z in ((0.3, 2.3), (0.019, 90.0), (-0.001, -0.1)):
        said = said_of(9.0, left, z)
        assert "Independent runs show that too, so it is no finding" in said
        assert f"(correlation {abs(left):.2f}, z" in said  # 0.00 and not >−0.01
        assert "That is what two independent runs share" in said_of(0.1, left, z)
    assert "Whether the runs share more was not tested" in said_of(9.0, None, None)
    none = dataclasses.replace(result.overlap, one_sided=None, matched=None, z=None)
    said = _sentences(dataclasses.replace(result, overlap=none))
    assert any("undefined: one of them changed nothing" in one for one in said)
