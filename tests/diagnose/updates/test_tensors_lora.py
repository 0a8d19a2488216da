"""What an adapter adds, beside PEFT's own merge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

from levelhead.diagnose.updates._tensors import open_checkpoint
from levelhead.diagnose.updates._tensors_lora import LowRank, is_adapter
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)


class Net(torch.nn.Module):
    """Two linear layers and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(11, 6)
        self.up = torch.nn.Linear(6, 20, bias=False)
        self.down = torch.nn.Linear(20, 6, bias=False)
        self.head = torch.nn.Linear(6, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.down(self.up(self.table(x))))


@pytest.mark.parametrize("stabilized", [False, True])
def test_updates_are_pefts(tmp_path: Path, stabilized: bool) -> None:
    torch.manual_seed(0)
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    config = LoraConfig(
        r=3, lora_alpha=7, target_modules=["up", "down", "table"], use_rslora=stabilized,
        rank_pattern={"down": 2}, alpha_pattern={"down": 5}, modules_to_save=["head"],
    )  # fmt: skip
    model = get_peft_model(net, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path)
    assert is_adapter(tmp_path)
    found = open_checkpoint(tmp_path, "TUNED")
    after = model.merge_and_unload().state_dict()
    assert found.updates is not None
    assert set(found.updates) == {"up.weight", "down.weight", "table.weight"}
    assert set(found.tensors) == {"head.weight"}
    for name, update in found.updates.items():
        want = (after[name] - before[name]).numpy()
        assert update.shape == want.shape
        np.testing.assert_allclose(update.rows(0, want.shape[0]), want, atol=1e-5)
        np.testing.assert_allclose(update.rows(2, 5), want[2:5], atol=1e-5)
        values = update.singular_values()
        np.testing.assert_allclose(
            values, np.linalg.svd(want, compute_uv=False)[: values.size], rtol=1e-4, atol=1e-5
        )


def test_weights_stored_the_other_way_round() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 2), np.float32)
    assert LowRank(a, b, 0.5, transposed=True).shape == (3, 4)
    np.testing.assert_array_equal(
        LowRank(a, b, 0.5, transposed=True).rows(1, 3), (0.5 * b @ a).T[1:3]
    )


def _adapter(folder: Path, config: Any, tensors: dict[str, torch.Tensor]) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "adapter_config.json").write_text(text)
    save_file({k: v.clone() for k, v in tensors.items()}, folder / "adapter_model.safetensors")


A, B = torch.ones(2, 6), torch.ones(5, 2)
UP = "base_model.model.up."


@pytest.mark.parametrize(
    ("config", "tensors", "words"),
    [
        ("no", {UP + "lora_A.weight": A}, "expected the JSON settings of an adapter"),
        ([], {UP + "lora_A.weight": A}, "expected a plain LoRA adapter .*got None"),
        ({"peft_type": "IA3"}, {"x": A}, "expected a plain LoRA adapter .*got 'IA3'"),
        ({"use_dora": True}, {"x": A}, "got use_dora; merge the adapter"),
        ({}, {UP + "lora_A.weight": A}, "lora_A and lora_B of 'up', got only lora_A"),
        ({}, {UP + "lora_A.weight": A, UP + "lora_B.weight": A}, "r, in.*got"),
        ({}, {UP + "lora_magnitude_vector": A}, "got the tensor .*lora_magnitude_vector"),
        (
            {"lora_alpha": "x"},
            {UP + "lora_A.weight": A, UP + "lora_B.weight": B},
            "lora_alpha: expected a number, got 'x'",
        ),
        (
            {"lora_alpha": 10**400},
            {UP + "lora_A.weight": A, UP + "lora_B.weight": B},
            "lora_alpha: expected a number, got 1000",
        ),
        (
            {"alpha_pattern": ["up"]},
            {UP + "lora_A.weight": A, UP + "lora_B.weight": B},
            r"alpha_pattern: expected an object from patterns to numbers, got \['up'\]",
        ),
        (
            {"alpha_pattern": {"(": 3}},
            {UP + "lora_A.weight": A, UP + "lora_B.weight": B},
            "alpha_pattern: expected an object",
        ),
        (
            {},
            {UP + "lora_A.weight": A * torch.nan, UP + "lora_B.weight": B},
            "expected finite numbers in lora_A and lora_B of 'up', got NaN",
        ),
        (
            {},
            {UP + "lora_A.weight": A[:0], UP + "lora_B.weight": B[:, :0]},
            "of 'up', got a rank of 0",
        ),
        ("[" * 200_000, {UP + "lora_A.weight": A}, "expected the JSON settings of an adapter"),
        ({}, {UP + "lora_A.weight": A.int(), UP + "lora_B.weight": B}, "save the adapter unquant"),
    ],
)
def test_adapters_that_are_none(
    tmp_path: Path, config: Any, tensors: dict[str, torch.Tensor], words: str
) -> None:
    _adapter(tmp_path, config, tensors)
    with pytest.raises(InvalidInputError, match=words):
        open_checkpoint(tmp_path, "TUNED")
