"""What the parts of a run do by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from levelhead.train.build import Run, build
from levelhead.train.config import load

SMALL = ("task.kind=oracle", "task.train=4", "task.evaluation=0", "model.device=cpu")


def built(tiny_model: Path, *overrides: str) -> Run:
    rollout = ("rollout.prompts=1", "rollout.group_size=2", "rollout.max_new_tokens=4")
    return build(load(None, [*SMALL, *rollout, f"model.path={tiny_model}", *overrides]))


@pytest.mark.parametrize(
    ("dtype", "found"), [("mixed", torch.bfloat16), ("float32", torch.float32)]
)
def test_mixed_arithmetic(dtype: str, found: torch.dtype, tiny_model: Path) -> None:
    run = built(tiny_model, f"model.dtype={dtype}")
    weight = run.loaded.model.lm_head.weight
    with run.parts.arithmetic():
        assert (weight @ weight[0]).dtype == found
    assert weight.dtype == torch.float32


def test_values_of_a_separate_critic(tiny_model: Path) -> None:
    overrides = ("algorithm.estimator=gae", "algorithm.critic={kind: separate}")
    run = built(tiny_model, *overrides)
    experience = run.trainer.collect(0)
    packed, _ = run.trainer.rows.pack(experience, np.arange(1))
    critic = run.parts.critic
    assert critic is not None
    torch.nn.init.constant_(critic.get_parameter("value_head.bias"), 0.25)
    heights: list[int] = []
    head = critic.get_submodule("model.lm_head")
    head.register_forward_hook(lambda module, inputs, out: heights.append(len(out)))
    values = run.parts.separate_values(packed)
    assert heights == []  # a critic predicts no tokens
    torch.testing.assert_close(values, 0.25 * packed.mask.float())
    values.sum().backward()
    assert all(p.grad is None for p in run.parts.policy.parameters())
    with pytest.raises(TypeError, match="there is no separate critic"):
        built(tiny_model).parts.separate_values(packed)
