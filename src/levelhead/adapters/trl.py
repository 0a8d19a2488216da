"""TRL: the advantages and losses of its GRPO and RLOO trainers, computed by the trainers' own lines.

TRL computes advantages in the middle of `_generate_and_score_completions` and offers no function for
them. Here an object of a subclass of the trainer is made without its `__init__`, hence without a
model, a tokenizer or a data set. Generation, scoring and the forward pass are replaced; everything
from the rewards to the advantages, and from token log-probabilities to the loss, is TRL's code. What
this relies on is internal to TRL, so each subject is tried when it is listed, and one that no longer
works says so instead of giving a number.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import importlib.metadata
import types
from collections.abc import Callable
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
from levelhead.errors import InvalidInputError

__all__ = ["aggregations", "estimators"]

_BATCH_NOTE = "one reward function of weight 1, no KL penalty, one process"
_SCALE = "(reward - group mean) / "

SUBJECTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "group": ("GRPO", {"scale_rewards": "group"}, f"TRL's default: {_SCALE}(group std + 1e-4)"),
    "batch": ("GRPO", {"scale_rewards": "batch"}, f"{_SCALE}(batch std + 1e-4)"),
    "none": ("GRPO", {"scale_rewards": "none"}, "reward - group mean"),
    "normalize_then_sum": (
        "GRPO",
        {"multi_objective_aggregation": "normalize_then_sum"},
        "divides by the group std of each reward and then by the batch std, whatever "
        "`scale_rewards` says; here with one reward",
    ),
    "rloo": ("RLOO", {"normalize_advantages": False}, "reward - mean of the others in the group"),
    "rloo(normalized)": (
        "RLOO",
        {"normalize_advantages": True},
        "normalize_advantages: the leave-one-out advantages are whitened over the batch",
    ),
}
"""Subject -> trainer, settings, what is documented about it."""

LOSSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "grpo": ("GRPO", {}, ""),
    "bnpo": ("GRPO", {}, ""),
    "dr_grpo": ("GRPO", {}, "divides by max_completion_length, here max_length"),
    "dapo": ("GRPO", {}, "TRL's default; the tokens of the generation batch are the lengths' sum"),
    "luspo": ("GRPO", {"importance_sampling_level": "sequence"}, "with ratios per sequence"),
    "cispo": (
        "GRPO",
        {"epsilon_high": 5.0},
        "with epsilon_high=5; its default caps all ratios at 0.2 and so scales the loss by 0.2",
    ),
    "sapo": ("GRPO", {}, "away from ratio 1 the factor depends on the ratio and the advantage"),
    "vespo": ("GRPO", {}, "away from ratio 1 the factor depends on the ratio and the advantage"),
    "rloo": ("RLOO", {}, "the loss of TRL's RLOO trainer: one ratio per sequence"),
}
"""Loss type -> trainer, settings beside `loss_type`, note."""


class _Rollout:
    """What replaces generation and the forward pass in one harness, and holds what goes through it."""

    def __init__(self, torch: Any, trainer: str) -> None:
        self.rewards: Any = None
        self.logprobs: Any = torch.zeros(1, 1)
        self._extra = (None, [""], None, {}, None, None) if trainer == "GRPO" else ([""],)

    def generate(self, harness: Any, prompts: list[str]) -> tuple[Any, ...]:
        # One completion stands for all: the lines behind read their number off the rewards, and
        # padding thousands of completions would take most of the time.
        return [[0]], [[0]], *self._extra

    def score(self, harness: Any, *batch: Any) -> Any:
        return self.rewards

    def forward(self, harness: Any, *inputs: Any, **options: Any) -> tuple[Any, Any, None]:
        return self.logprobs, self.logprobs.detach(), None


def _harness(trainer: str, settings: dict[str, Any]) -> tuple[Any, _Rollout]:
    """A trainer without model and data, with TRL's default configuration and these settings in it."""
    trl = optional_import("trl", "TRL's trainers", "trl")
    torch = optional_import("torch", "TRL's trainers", "trl")
    real, rollout = getattr(trl, f"{trainer}Trainer"), _Rollout(torch, trainer)
    replaced = {
        "_generate": lambda self, *a: rollout.generate(self, *a),
        "_calculate_rewards": lambda self, *a: rollout.score(self, *a),
        "_get_per_token_logps_and_entropies": lambda self, *a, **k: rollout.forward(self, *a, **k),
    }
    for name in replaced:
        if not callable(getattr(real, name, None)):
            raise InvalidInputError(f"{real.__name__}: expected a method {name}, got none")
    harness = object.__new__(type(real.__name__, (real,), replaced))
    options = _defaults(getattr(trl, f"{trainer}Config")) | {
        "steps_per_generation": 1,
        "gradient_accumulation_steps": 1,
        "beta": 0.0,
        **settings,
    }
    high = options["epsilon_high"]
    own = {name: value for name, value in options.items() if not hasattr(real, name)}
    own |= {
        "args": types.SimpleNamespace(**options),
        "epsilon_low": options["epsilon"],
        "epsilon_high": options["epsilon"] if high is None else high,
        "accelerator": _one_process(torch.device("cpu")),
        "model": _training_model(torch),
        "reward_funcs": [None],
        "reward_func_names": ["reward"],
        "reward_weights": torch.ones(1),
        "current_gradient_accumulation_steps": 1,
        "_tokenizer": types.SimpleNamespace(pad_token_id=0),
        "_metrics": collections.defaultdict(lambda: collections.defaultdict(_last)),
        "_logs": _logs(),
        "_pending_extra_logs": {},
        "_pending_metrics": {},
        "_entropy_bonus_enabled": False,
        "aux_loss_enabled": False,
        **dict.fromkeys(("environment_factories", "environments", "tools", "pad_to_multiple_of")),
    }
    vars(harness).update(own)
    return harness, rollout


def _defaults(config: type) -> dict[str, Any]:
    """The default of every field of a configuration, without making one: that would look for devices."""
    return {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(config)
    }


def _training_model(torch: Any) -> Any:
    model = torch.nn.Module()
    model.is_gradient_checkpointing = False
    return model


def _one_process(device: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        device=device,
        process_index=0,
        num_processes=1,
        sync_gradients=True,
        gather=lambda tensor: tensor,
        reduce=lambda tensor, reduction: tensor,
    )


def _last() -> collections.deque[Any]:
    return collections.deque(maxlen=1)


def _logs() -> dict[str, Any]:
    """The trainer's log of samples, which keeps the last one only instead of all of a probe's."""
    logs: dict[str, Any] = {name: _last() for name in ("prompt", "completion", "advantages")}
    return logs | {name: collections.defaultdict(_last) for name in ("rewards", "extra")}


def estimators() -> list[PeerEstimator]:
    """TRL's advantages: GRPO's by `scale_rewards`, two-stage normalization, and RLOO's.

    Rewards go in as float32, as in training. TRL knows only groups of one size: smaller ones are
    filled with unscorable samples (NaN), which TRL leaves out of every statistic and gives 0. A NaN
    in `rewards` is such a sample. Samples may come in any order.

    Returns:
        One subject for each entry of `SUBJECTS`. One whose harness fails, or whose advantages do not
        follow the rewards, has no call and says why.

    Raises:
        MissingDependencyError: TRL is not installed.
    """
    optional_import("trl", "TRL's trainers", "trl")
    version = importlib.metadata.version("trl")
    found: list[PeerEstimator] = []
    for name, (trainer, settings, note) in SUBJECTS.items():
        call: AdvantageFunction | None = None
        with Attempt() as attempt:
            call = _advantages(trainer, settings)
            attempt.reason = trial(call, follows_rewards=True)
        reason = attempt.reason and f"the harness of TRL's {trainer} trainer {attempt.reason}"
        subject = f"trl:{name}"
        call = None if reason else call
        found.append(
            PeerEstimator(subject, version, INSTALLED, call, reason, f"{note}; {_BATCH_NOTE}")
        )
    return found


def _advantages(trainer: str, settings: dict[str, Any]) -> AdvantageFunction:
    torch = optional_import("torch", "TRL's trainers", "trl")
    harness, rollout = _harness(trainer, settings)

    def call(rewards: FloatArray, groups: IntArray) -> FloatArray:
        r = vector("rewards", rewards)
        labels = codes("groups", groups, r.size)
        if r.size == 0:
            return np.empty(0)
        sizes = np.bincount(labels)
        order = np.argsort(labels, kind="stable")
        width = int(sizes.max())
        rank = np.arange(r.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = labels[order] * width + rank  # of each sample in a table of one row per group
        table = np.full(sizes.size * width, np.nan, dtype=np.float32)
        table[place] = r[order]
        rollout.rewards = torch.from_numpy(table).unsqueeze(1)
        harness.num_generations = width
        batch = harness._generate_and_score_completions([{"prompt": ""}] * table.size)
        out = np.empty(r.size)
        out[order] = batch["advantages"].double().numpy()[place]
        return out

    return call


def aggregations(*, max_length: int = 1024) -> list[PeerAggregation]:
    """TRL's loss types, by differentiating the loss that the trainer's own `_compute_loss` returns.

    w_i = -d loss / d logprob[i, t] / A_i where the policy is the one that sampled (ratio 1): there the
    gradient of every loss type is linear in the advantages, and equal for all tokens t of sequence i.

    Args:
        max_length: TRL's `max_completion_length` in tokens, >= 1.

    Returns:
        One entry per loss type of `LOSSES`; one that the installed version does not know, or whose
        harness fails, has no weights and says why. The `weights` take lengths in 1..max_length and
        raise InvalidInputError for others.

    Raises:
        MissingDependencyError: TRL is not installed.
    """
    optional_import("trl", "TRL's trainers", "trl")
    version = importlib.metadata.version("trl")
    found: list[PeerAggregation] = []
    for name, (trainer, settings, note) in LOSSES.items():
        options = settings | {"max_completion_length": max_length}
        if trainer == "GRPO":
            options["loss_type"] = name
        make = functools.partial(_weights, trainer, options)
        found.append(aggregation(f"trl:{name}", version, make, note))
    return found


def _weights(trainer: str, settings: dict[str, Any]) -> Callable[[IntArray], FloatArray]:
    torch = optional_import("torch", "TRL's trainers", "trl")
    harness, rollout = _harness(trainer, settings)

    def weights(lengths: IntArray) -> FloatArray:
        count = torch.from_numpy(whole_lengths(lengths, settings["max_completion_length"]))
        mask = (torch.arange(int(count.max())) < count.unsqueeze(1)).long()
        ids = torch.zeros_like(mask)
        rollout.logprobs = torch.zeros(mask.shape, dtype=torch.float64, requires_grad=True)
        batch = {
            "prompt_ids": ids[:, :1],
            "prompt_mask": mask[:, :1],
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": torch.ones(mask.shape[0], dtype=torch.float64),
            "num_items_in_batch": mask.sum(),
            "old_logps": torch.zeros(mask.shape[0], dtype=torch.float64),
        }
        loss = harness._compute_loss(harness.model, batch)
        return -torch.autograd.grad(loss, rollout.logprobs)[0][:, 0].numpy()

    return weights
