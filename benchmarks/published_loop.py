"""The published algorithm of the tabular experiment as a plain torch loop.

Written from the settings of experiment 1 of arXiv:2508.11800 in the usual style: a `Categorical` over
the logits of every question, G samples of each, log-probabilities of all of them, autograd, AdamW.
`gather=True` is the second peer: log-probabilities of the C x K table, looked up for the samples.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import torch

from levelhead.lab.world import World

EPS = 1e-5
VALUE_LR = 1e-5


@dataclasses.dataclass(frozen=True)
class Result:
    """A policy (C, K) and the CPU seconds of every rollout with its updates."""

    policy: np.ndarray
    seconds: np.ndarray


def train(
    world: World,
    estimator: str,
    *,
    n_rollouts: int,
    updates_per_rollout: int,
    group_size: int,
    lr: float,
    seed: int,
    gather: bool = False,
) -> Result:
    """Train one policy."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    category = torch.from_numpy(world.category)
    outcome = torch.from_numpy(world.outcome)
    values = torch.from_numpy(world.values).float()
    logits = torch.zeros(world.n_categories, world.n_tokens, requires_grad=True)
    value = torch.zeros(world.n_categories, requires_grad=True)
    optimizer = torch.optim.AdamW([logits], lr=lr)
    value_optimizer = torch.optim.AdamW([value], lr=VALUE_LR)
    seconds = []
    for _ in range(n_rollouts):
        start = time.process_time()
        with torch.no_grad():
            policy = torch.distributions.Categorical(logits=logits[category])
            tokens = policy.sample((group_size,))
            old = _log_prob(logits, category, tokens, gather)
            stated = values[tokens]
            rewards = torch.where(outcome == 1, stated.log(), (1.0 - stated).log())
            advantages = _advantages(estimator, rewards, value[category])
        if estimator == "ppo":
            value_loss = ((value[category] - rewards) ** 2).mean()
            value_optimizer.zero_grad()
            value_loss.backward()
            value_optimizer.step()
        for _ in range(updates_per_rollout):
            ratio = (_log_prob(logits, category, tokens, gather) - old).exp()
            loss = -(ratio * advantages).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.process_time() - start)
    with torch.no_grad():
        return Result(logits.softmax(dim=-1).double().numpy(), np.array(seconds))


def _log_prob(
    logits: torch.Tensor, category: torch.Tensor, tokens: torch.Tensor, gather: bool
) -> torch.Tensor:
    if gather:
        return logits.log_softmax(dim=-1)[category, tokens]
    return torch.distributions.Categorical(logits=logits[category]).log_prob(tokens)


def _advantages(estimator: str, rewards: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    if estimator == "ppo":
        return rewards - value
    centered = rewards - rewards.mean(dim=0)
    if estimator == "grpo":
        return centered / (rewards.std(dim=0) + EPS)
    if estimator == "grpo_no_std":
        return centered
    if estimator == "rloo":
        return centered * (rewards.shape[0] / (rewards.shape[0] - 1))
    raise ValueError(f"estimator: expected ppo, grpo, grpo_no_std or rloo, got {estimator!r}")
