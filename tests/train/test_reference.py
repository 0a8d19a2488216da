"""The model that a penalty measures the distance from stays what the policy was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from levelhead.errors import ConfigError
from levelhead.train.build import Run, build
from levelhead.train.config import load
from levelhead.train.reference import Reference
from levelhead.train.run import train

SMALL = (
    "task.kind=oracle",
    "task.train=8",
    "task.evaluation=4",
    "model.device=cpu",
    "rollout.prompts=2",
    "rollout.group_size=2",
    "rollout.max_new_tokens=6",
    "steps=2",
    "guard.action=off",
    "optimizer.lr=0.01",
)
LORA = ("model.lora={rank: 2, dropout: 0.5}",)


def built(tiny_model: Path, *overrides: str) -> Run:
    torch.set_num_threads(1)
    return build(load(None, [*SMALL, f"model.path={tiny_model}", *overrides]))


def shaken(run: Run) -> None:
    with torch.no_grad():
        for parameter in run.parts.policy.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [("initial", ()), ("initial", LORA), ("adapter_off", LORA)],
)
def test_it_stays_what_the_policy_was(
    kind: Any, overrides: tuple[str, ...], tiny_model: Path
) -> None:
    kl = f"algorithm.kl={{coef: 0.1, reference: {kind}}}"
    run = built(tiny_model, kl, *overrides)
    reference = run.parts.reference
    assert reference is not None
    experience = run.trainer.collect(0)
    packed, _ = run.trainer.rows.pack(experience, np.arange(2))
    with torch.no_grad():
        run.loaded.model.eval()
        before = run.parts.policy(packed, temperature=0.5).logprobs
    shaken(run)
    modes = [module.training for module in run.parts.policy.modules()]
    found = reference.logprobs(packed, temperature=0.5)
    torch.testing.assert_close(found, before, atol=1e-6, rtol=0)
    assert not found.requires_grad
    assert [module.training for module in run.parts.policy.modules()] == modes
    with torch.no_grad():
        after = run.parts.policy(packed, temperature=0.5).logprobs
    assert (after - before).abs().max() > 1e-3


def test_a_copy_has_no_value_head_and_is_not_trained(tiny_model: Path) -> None:
    overrides = (
        "algorithm.estimator=gae",
        "algorithm.critic={kind: head}",
        "algorithm.kl.coef=0.1",
    )
    run = built(tiny_model, *overrides)
    reference: Any = run.parts.reference
    assert not any(p.requires_grad for p in reference._copy.parameters())
    assert reference._copy.value_head is None
    assert run.parts.policy.value_head is not None


def test_a_resumed_run_measures_from_the_beginning(tiny_model: Path, tmp_path: Path) -> None:
    """Not from where it was resumed."""
    torch.set_num_threads(1)
    overrides = [*SMALL, f"model.path={tiny_model}", "algorithm.kl.coef=0.1"]
    seen: list[torch.Tensor] = []

    class Looking(Reference):
        def logprobs(self, packed: Any, *, temperature: float) -> torch.Tensor:
            copied: Any = self._copy
            seen.append(copied.model.lm_head.weight.detach().clone())
            return super().logprobs(packed, temperature=temperature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("levelhead.train.build.Reference", Looking)
        train(load(None, [*overrides, "steps=1"]), tmp_path / "run")
        train(load(None, overrides), tmp_path / "run", resume=True)
    first, last = seen[0], seen[-1]
    assert len(seen) == 2
    assert torch.equal(first, last)


def test_adapters_that_are_not_there(tiny_model: Path) -> None:
    policy = built(tiny_model).parts.policy
    with pytest.raises(
        ConfigError, match="expected initial for a model without adapters, got adapter"
    ):
        Reference(policy, "adapter_off")
