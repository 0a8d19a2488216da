"""Matching the tensors of two models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates._bits import decode
from levelhead.diagnose.updates._tensors import Files, open_checkpoint
from levelhead.diagnose.updates._tensors_pairs import Pairs, in_one_format, pair_tensors
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)
Q, EMBED, HEAD = (
    "model.layers.3.self_attn.q_proj.weight",
    "model.embed_tokens.weight",
    "lm_head.weight",
)


def pairs(folder: Path, base: dict[str, torch.Tensor], tuned: dict[str, torch.Tensor]) -> Pairs:
    """Save both and match them."""
    for name, tensors in (("base", base), ("tuned", tuned)):
        save_file({k: v.contiguous().clone() for k, v in tensors.items()},
                  folder / f"{name}.safetensors")  # fmt: skip
    with Files() as files:
        return pair_tensors(
            *(open_checkpoint(folder / f"{one}.safetensors", one) for one in ("base", "tuned")),
            files,
        )


def x(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_layer_kind_and_matrix_by_name(tmp_path: Path) -> None:
    base = {
        Q: x(4, 4), "model.layers.3.input_layernorm.weight": x(4), "model.norm.weight": x(4),
        "transformer.h.12.attn.c_attn.bias": x(8), "transformer.ln_f.weight": x(4, 4), EMBED: x(9, 4),
    }  # fmt: skip
    found = pairs(tmp_path, base, base).pairs
    said = {name: (one.layer, one.kind, one.is_matrix) for name, one in found.items()}
    assert said == {
        Q: (3, "q_proj", True),
        "model.layers.3.input_layernorm.weight": (3, "input_layernorm", False),
        "model.norm.weight": (None, "norm", False),
        "transformer.h.12.attn.c_attn.bias": (12, "c_attn.bias", False),
        "transformer.ln_f.weight": (None, "ln_f", False),
        EMBED: (None, "embed_tokens", True),
    }


@pytest.mark.parametrize(
    ("one", "two", "coarser"),
    [
        (torch.float32, torch.bfloat16, "bfloat16"),
        (torch.float16, torch.bfloat16, "bfloat16"),
        (torch.float16, torch.float32, "float16"),
        (torch.float64, torch.float32, "float32"),
    ],
)
def test_both_are_cast_to_the_coarser(
    tmp_path: Path, one: torch.dtype, two: torch.dtype, coarser: str
) -> None:
    a, b = x(3, 5).to(one), x(3, 5, seed=1).to(two)
    found = pairs(tmp_path, {Q: a}, {Q: b})
    pair = found.pairs[Q]
    assert pair.form.name == coarser
    assert "both were rounded to " + coarser in found.notes[0]
    with Files() as files:
        old, new = (decode(bits, pair.form) for bits in pair.bits(files, 5, 15))
    kind = getattr(torch, coarser)
    np.testing.assert_array_equal(old, a.to(kind).double().numpy().reshape(-1)[5:])
    np.testing.assert_array_equal(new, b.to(kind).double().numpy().reshape(-1)[5:])


def test_tied_weights_count_once(tmp_path: Path) -> None:
    table, new = x(9, 4), x(9, 4, seed=1)
    both = pairs(tmp_path, {EMBED: table, HEAD: table}, {EMBED: new, HEAD: new})
    assert set(both.pairs) == {EMBED}
    assert both.notes == (f"{HEAD} is tied to {EMBED} and counted once",)
    extra = pairs(tmp_path, {EMBED: table}, {EMBED: new, HEAD: new})
    assert set(extra.pairs) == {EMBED}
    untied = pairs(tmp_path, {EMBED: table, HEAD: table}, {EMBED: new, HEAD: table})
    assert set(untied.pairs) == {EMBED, HEAD}


def test_a_head_of_its_own_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'lm_head.weight', which BASE does not have"):
        pairs(tmp_path, {EMBED: x(9, 4)}, {EMBED: x(9, 4), HEAD: x(9, 4, seed=2)})


def test_two_runs_are_compared_in_the_coarsest_format_of_three(tmp_path: Path) -> None:
    base = {Q: x(4, 4), EMBED: x(9, 4), "b": x(3)}
    first = pairs(tmp_path, base, {**base, Q: x(4, 4, seed=1)})
    second = pairs(tmp_path, base, {Q: x(4, 4, seed=2).bfloat16(), EMBED: x(12, 4), "b": x(3)})
    one, two = in_one_format(first, second)
    assert (one.pairs[Q].form.name, two.pairs[Q].form.name) == ("bfloat16", "bfloat16")
    assert (one.pairs["b"].form.name, two.pairs["b"].form.name) == ("float32", "float32")
    assert one.pairs[EMBED] == first.pairs[EMBED]
    assert two.notes[-2].startswith("1 tensors of the two runs are stored in different formats")
    assert two.notes[-1] == (
        f"1 tensors are not part of the overlap, such as {EMBED}: resized from 9 to 12 rows"
    )
    same = in_one_format(first, first)
    assert same == (first, first)


def test_resized_embeddings_and_whole_numbers_are_left_out(tmp_path: Path) -> None:
    found = pairs(
        tmp_path,
        {Q: x(4, 4), EMBED: x(9, 4), "ids": torch.arange(3)},
        {Q: x(4, 4), EMBED: x(12, 4), "ids": torch.arange(3)},
    )
    assert set(found.pairs) == {Q}
    assert found.excluded[EMBED] == "resized from 9 to 12 rows"
    assert "I64 is not a floating-point format" in found.excluded["ids"]


@pytest.mark.parametrize(
    ("base", "tuned", "words"),
    [
        (
            {Q: x(4, 4), "b": x(2)},
            {Q: x(4, 4)},
            "TUNED: expected the tensors of BASE .*none for 'b'",
        ),
        (
            {"model.up.weight": x(4, 4)},
            {"language.up.weight": x(4, 4)},
            "'model.up.weight' may be 'language.up.weight'",
        ),
        ({f"t{i}": x(2) for i in range(9)}, {"t0": x(2)}, "'t1', 't2', 't3' and 5 more"),
        ({Q: x(4, 4)}, {Q: x(4, 5)}, r"of shape \(4, 4\) as in BASE, got \(4, 5\)"),
        ({"ids": torch.arange(3)}, {"ids": torch.arange(3)}, "expected floating-point tensors"),
    ],
)
def test_models_that_do_not_match(
    tmp_path: Path, base: dict[str, torch.Tensor], tuned: dict[str, torch.Tensor], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        pairs(tmp_path, base, tuned)


def test_adapters_find_their_weights_or_say_so(tmp_path: Path) -> None:
    parts = {"base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight": x(2, 4),
             "base_model.model.model.layers.3.self_attn.q_proj.lora_B.weight": x(4, 2)}  # fmt: skip
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(parts, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4, "r": 2}))
    adapter = open_checkpoint(folder, "TUNED")

    def against(tensors: dict[str, torch.Tensor]) -> Pairs:
        save_file(tensors, tmp_path / "base.safetensors")
        with Files() as files:
            return pair_tensors(
                open_checkpoint(tmp_path / "base.safetensors", "BASE"), adapter, files
            )

    found = against({Q: x(4, 4).bfloat16(), EMBED: x(9, 4).bfloat16()})
    assert found.pairs[Q].update is not None
    assert found.pairs[EMBED].tuned is None
    assert found.pairs[EMBED].update is None
    a, b = parts.values()
    want = x(4, 4).bfloat16().float() + 2 * b @ a
    with Files() as files:
        new = found.pairs[Q].bits(files, 4, 12)[1]
    got = decode(new, found.pairs[Q].form).reshape(2, 4)
    np.testing.assert_allclose(got, want.bfloat16().float().numpy()[1:3], rtol=0.01)
    # A model saved without its head's class has shorter names.
    short = against({Q.removeprefix("model."): x(4, 4)})
    assert next(iter(short.pairs.values())).update is not None
    with pytest.raises(
        InvalidInputError, match="TUNED: expected an adapter of BASE, got updates of"
    ):
        against({EMBED: x(9, 4)})
    longer = against({"language." + Q: x(4, 4)})
    assert longer.pairs["language." + Q].update is not None
    with pytest.raises(InvalidInputError, match="got updates of"):  # which of the two is not said
        against({"language." + Q: x(4, 4), "vision." + Q: x(4, 4)})
    with pytest.raises(InvalidInputError, match="the adapter belongs to another model"):
        against({Q: x(4, 5)})
    with Files() as files, pytest.raises(InvalidInputError, match="got an adapter in"):
        pair_tensors(adapter, adapter, files)
