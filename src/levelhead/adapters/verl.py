"""verl: every advantage estimator in its registry and every mode of its loss, in its installed code.

An estimator of verl gets token-level rewards, a mask, group labels and a configuration, and some get
more. `drive` passes what verl's trainer passes, for responses of one token, in the trainer's types:
rewards in float32, so that rounding and the constants that guard divisions act as they do in training.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from levelhead._arrays import FloatArray, IntArray, codes, vector
from levelhead._optional import optional_import
from levelhead.adapters._base import (
    INSTALLED,
    AdvantageFunction,
    Attempt,
    PeerAggregation,
    PeerEstimator,
    aggregation,
    trial,
    whole_lengths,
)
from levelhead.errors import unknown_name

__all__ = ["aggregations", "drive", "estimators"]

_STD_FLAG = "norm_adv_by_std_in_grpo"

_TOKENS = 99
_OPTIMAL_BASELINE = {"old_log_probs": -math.log(_TOKENS), "sum_pi_squared": 1.0 / _TOKENS}

ASSUMED: dict[str, dict[str, float]] = {
    "gae": {"values": 0.0},
    "remax": {"reward_baselines": 0.0},
    "optimal_token_baseline": _OPTIMAL_BASELINE,
    "tir_optimal_token_baseline": _OPTIMAL_BASELINE,
}
"""What an estimator gets beside rewards and groups: per sample, the same number everywhere."""

_PER_SEQUENCE = ("reward_baselines",)
"""Inputs of shape (N,); the others are per token, (N, 1)."""

_OPTIMAL_NOTE = (
    "weighs the rewards in its baseline by token probabilities, which rewards and groups do not "
    f"have: driven with a uniform policy over {_TOKENS} tokens, where its baseline is the group mean"
)
_RAW = "a group of one keeps its raw reward"
NOTES: dict[str, str] = {
    "gae": "gamma = lambda = 1 and a critic that says 0 everywhere (any constant is the same, "
    "because verl whitens over the batch); a critic that knows the prompt lowers the variance",
    "gdpo": "with one reward: GRPO's advantages, which verl whitens over the batch; "
    f"{_RAW} until then",
    "gpg": f"multiplies by batch size / number of nonzero rewards; {_RAW}",
    "grpo": _RAW,
    "grpo_vectorized": _RAW,
    "grpo_passk": "a group of one is an error; of equal best rewards one sample is chosen",
    "opo": f"its baseline weighs rewards by response length; driven with equal lengths; {_RAW}",
    "optimal_token_baseline": _OPTIMAL_NOTE,
    "reinforce_plus_plus": "gamma = 1; no baseline per prompt; verl whitens over the batch",
    "reinforce_plus_plus_baseline": f"verl whitens over the batch; {_RAW} until then",
    "rloo": _RAW,
    "remax": "its baseline is the reward of the greedy response, which rewards and groups do not "
    "have: driven with 0; no baseline that ignores the own sample changes the expected gradient",
    "tir_optimal_token_baseline": _OPTIMAL_NOTE,
}
_FLAG_IGNORED = (
    f"{_STD_FLAG}=False changes nothing: verl's trainer passes it in the configuration, which this "
    "function does not read"
)

MODES = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-sum-norm",
    "seq-mean-token-mean",
)
"""The modes that verl's actor configuration allows."""

MODE_NOTES: dict[str, str] = {
    "token-mean": "verl's default; one micro-batch, so the tokens of the batch are the lengths' sum",
    "seq-mean-token-sum-norm": "divides by the width of the response tensor, here max_length",
}

Column = Callable[[FloatArray, IntArray], FloatArray]


def drive(
    name: str, *, norm_by_std: bool = True, inputs: Mapping[str, Column] | None = None
) -> AdvantageFunction:
    """One estimator of verl's registry as a function of rewards and groups.

    advantages = f(token_level_rewards (N, 1), response_mask = 1, index = groups, config, ...)[0][:, 0]

    Args:
        name: name in verl's registry, e.g. `grpo`; one that a plug-in registered counts.
        norm_by_std: verl's `algorithm.norm_adv_by_std_in_grpo`, passed on the way that verl's
            trainer passes it, which some estimators ignore.
        inputs: what the estimator gets beside rewards and groups, by the name of its parameter,
            e.g. `{"values": critic}`: functions (rewards (N,), groups (N,)) -> (N,) numbers. None
            takes the numbers in `ASSUMED`.

    Returns:
        (rewards (N,), groups (N,)) -> (N,) float64; it keeps no state and writes to no input.

    Raises:
        MissingDependencyError: verl is not installed.
        InvalidInputError: verl has no estimator of this name.

    Edge cases: rewards are rounded to float32, as in training. NaN is not a missing reward for verl
        and spoils what it touches. What their function raises comes through unchanged.
    Reference: verl, `verl.trainer.ppo.core_algos` and `compute_advantage` of its trainer.
    """
    core = optional_import("verl.trainer.ppo.core_algos", "verl's estimators", "verl")
    registry: dict[str, Any] = core.ADV_ESTIMATOR_REGISTRY
    if name not in registry:
        raise unknown_name("verl estimator", name, registry)
    torch = optional_import("torch", "verl's estimators", "verl")
    settings = optional_import("verl.trainer.config", "verl's estimators", "verl")
    function = registry[name]
    config = settings.AlgoConfig(
        adv_estimator=name,
        norm_adv_by_std_in_grpo=norm_by_std,
        gdpo_reward_keys=["reward"] if name == "gdpo" else None,
    )
    columns = dict(inputs or {})
    for key, number in ASSUMED.get(name, {}).items():
        columns.setdefault(key, _constant(number))

    def call(rewards: FloatArray, groups: IntArray) -> FloatArray:
        r = vector("rewards", rewards)
        labels = codes("groups", groups, r.size)
        if r.size == 0:
            return np.empty(0)

        def tensor(column: FloatArray, key: str = "") -> Any:
            one = torch.from_numpy(np.array(column, dtype=np.float32))
            return one if key in _PER_SEQUENCE else one.unsqueeze(1)

        mask = torch.ones((r.size, 1), dtype=torch.int64)
        given: dict[str, Any] = {"token_level_rewards": tensor(r), "response_mask": mask}
        for key, column in columns.items():
            given[key] = tensor(column(r, groups), key)
        if name == "gae":
            given |= {"gamma": config.gamma, "lam": config.lam}
        else:
            given["index"] = labels.astype(object)  # verl's are objects too: texts
            given |= {_STD_FLAG: norm_by_std} if name == "grpo" else {"config": config}
        if name == "gdpo":
            given["non_tensor_batch"] = {"reward": r}
            given["batch"] = {
                "prompts": torch.zeros((r.size, 1), dtype=torch.int64),
                "attention_mask": torch.ones((r.size, 2), dtype=torch.int64),
            }
        advantages = function(**given)[0]
        return advantages.detach().double().reshape(r.size).numpy()

    return call


def _constant(number: float) -> Column:
    return lambda rewards, groups: np.full(rewards.size, number)


def estimators() -> list[PeerEstimator]:
    """Every estimator that verl has registered, the ones of plug-ins and users included.

    Where a function can leave the standard deviation out, a second subject, `verl:grpo(no std)`, is
    verl with `algorithm.norm_adv_by_std_in_grpo=False`.

    Returns:
        One subject each, in the order of the registry. A function that raises on ordinary rewards,
        or returns something else than one finite number per sample, has no call and says why.

    Raises:
        MissingDependencyError: verl is not installed.
    """
    core = optional_import("verl.trainer.ppo.core_algos", "verl's estimators", "verl")
    found: list[PeerEstimator] = []
    for name, function in list(core.ADV_ESTIMATOR_REGISTRY.items()):
        own = function.__module__ == core.__name__
        note = NOTES.get(name, "") if own else f"registered by {function.__module__}"
        plain = _subject(f"verl:{name}", drive(name), note)
        found.append(plain)
        if plain.call is not None and _has_switch(function):
            found.append(_without_std(name, plain.call, note))
    return found


def _subject(name: str, call: AdvantageFunction, note: str) -> PeerEstimator:
    reason = trial(call)
    version = importlib.metadata.version("verl")
    return PeerEstimator(name, version, INSTALLED, None if reason else call, reason, note)


def _has_switch(function: Callable[..., Any]) -> bool:
    with Attempt():  # a compiled function may have no signature
        return _STD_FLAG in inspect.signature(function).parameters
    return False


def _without_std(name: str, with_std: AdvantageFunction, note: str) -> PeerEstimator:
    call = drive(name, norm_by_std=False)
    rewards, groups = np.array([4.0, 1.0, 0.0, 7.0]), np.array([0, 0, 1, 1])
    with Attempt():
        if np.array_equal(call(rewards, groups), with_std(rewards, groups)):
            note = f"{_FLAG_IGNORED}{f'; {note}' if note else ''}"
    return _subject(f"verl:{name}(no std)", call, note)


def aggregations(*, max_length: int = 1024) -> list[PeerAggregation]:
    """The modes of verl's `actor.loss_agg_mode`, by differentiating the installed `agg_loss`.

    w_i = d agg_loss(L, mask) / d L[i, t], equal for all tokens t of sequence i: the loss is linear in L.

    Args:
        max_length: width of the response tensor in tokens, verl's maximum response length, >= 1.

    Returns:
        One entry per mode; one that the installed version refuses has no weights and says why. The
        `weights` take lengths in 1..max_length and raise InvalidInputError for others.

    Raises:
        MissingDependencyError: verl is not installed.
    """
    core = optional_import("verl.trainer.ppo.core_algos", "verl's loss", "verl")
    version = importlib.metadata.version("verl")
    return [
        aggregation(
            f"verl:{mode}",
            version,
            functools.partial(_weights, core.agg_loss, mode, max_length),
            MODE_NOTES.get(mode, ""),
        )
        for mode in MODES
    ]


def _weights(
    agg_loss: Callable[..., Any], mode: str, max_length: int
) -> Callable[[IntArray], FloatArray]:
    torch = optional_import("torch", "verl's loss", "verl")

    def weights(lengths: IntArray) -> FloatArray:
        count = torch.from_numpy(whole_lengths(lengths, max_length))
        mask = (torch.arange(max_length) < count.unsqueeze(1)).long()
        losses = torch.zeros(mask.shape, dtype=torch.float64, requires_grad=True)
        loss = agg_loss(loss_mat=losses, loss_mask=mask, loss_agg_mode=mode)
        return torch.autograd.grad(loss, losses)[0][:, 0].numpy()

    return weights
