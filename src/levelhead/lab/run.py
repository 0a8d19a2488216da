"""The settings of one training run."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, Literal

import numpy as np

from levelhead.advantages import TABLE, EmaStd
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.rewards import TABLE as REWARDS

__all__ = ["ESTIMATORS", "Run"]

ESTIMATORS: tuple[str, ...] = (*TABLE, "ppo", "rb_exact")
"""What a run can be trained with: the table of advantages, PPO with a value model, the exact gradient."""

OPTIONS = ("eps", "ddof", "tau", "decay")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run and everything that its result depends on besides the world.

    Attributes:
        estimator: one of `ESTIMATORS`.
        seed: of the run's own generator.
        group_size: samples per question, G.
        updates_per_rollout: 1 is on-policy; more reuse the samples of a rollout.
        clip: eps of the clipped ratio, or None for no clip. It acts from the second update of a
            rollout on.
        reward: name of a proper rule: `log`, `brier` or `spherical`.
        n_updates: in all.
        lr: of AdamW on the logits.
        weight_decay: of AdamW, on the logits and the value model.
        value_lr: of AdamW on the value model (`ppo`).
        schedule: `constant`, or `linear` decay of `lr` to 0.
        eps: option of the estimator; None is its default. Likewise the others.
        ddof: option of the estimator.
        tau: option of the estimator.
        decay: option of `ema_std`.
        scale_of: whose running scale `ema_std` keeps: each `question`'s, or each `category`'s.

    Raises:
        InvalidInputError: an unknown name, a number outside its range, or an option that the
            estimator does not have.

    Reference: the defaults are the settings of experiment 1 of arXiv:2508.11800, whose GRPO has
        eps = 1e-5.

    Example:
        >>> Run("grpo", seed=0, eps=1e-5).n_updates
        50000
    """

    estimator: str
    seed: int
    group_size: int = 10
    updates_per_rollout: int = 1
    clip: float | None = None
    reward: str = "log"
    n_updates: int = 50_000
    lr: float = 3e-3
    weight_decay: float = 0.01
    value_lr: float = 1e-5
    schedule: Literal["constant", "linear"] = "constant"
    eps: float | None = None
    ddof: int | None = None
    tau: float | None = None
    decay: float | None = None
    scale_of: Literal["question", "category"] = "question"

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise unknown_name("estimator", self.estimator, ESTIMATORS)
        if self.reward not in REWARDS:
            raise unknown_name("reward", self.reward, REWARDS)
        if self.seed < 0:
            raise InvalidInputError(f"seed: expected an integer >= 0, got {self.seed}")
        for name in ("group_size", "updates_per_rollout", "n_updates"):
            number = getattr(self, name)
            if int(number) != number or number < 1:
                raise InvalidInputError(f"{name}: expected an integer >= 1, got {number}")
        if self.schedule not in ("constant", "linear"):
            raise unknown_name("schedule", self.schedule, ("constant", "linear"))
        if self.scale_of not in ("question", "category"):
            raise unknown_name("scale_of", self.scale_of, ("question", "category"))
        for name in ("lr", "weight_decay", "value_lr"):
            number = getattr(self, name)
            if not (np.isfinite(number) and number >= 0.0):
                raise InvalidInputError(f"{name}: expected a finite number >= 0, got {number}")
        self._check_group()
        self._check_clip()
        self._check_options()

    def _check_group(self) -> None:
        alone = self.estimator in ("ppo", "rb_exact") or TABLE[self.estimator].scope == "sample"
        if self.group_size == 1 and not alone and self.estimator != "reinforce_pp":
            raise InvalidInputError(
                f"group_size: expected at least 2, since {self.estimator} compares the samples of "
                "a group, got 1"
            )

    def _check_clip(self) -> None:
        if self.clip is None:
            return
        if not 0.0 < self.clip < 1.0:
            raise InvalidInputError(f"clip: expected a number in (0, 1) or None, got {self.clip}")
        if self.estimator == "rb_exact":
            raise InvalidInputError("clip: expected None, since rb_exact draws no samples to clip")

    def _check_options(self) -> None:
        known = _options_of(self.estimator)
        for name in OPTIONS:
            number = getattr(self, name)
            if number is None:
                continue
            if name not in known:
                has = ", ".join(known) or "none"
                raise InvalidInputError(
                    f"{name}: expected an option of {self.estimator}, which has {has}"
                )
            good = {
                "eps": number >= 0.0,
                "ddof": number in (0, 1),
                "tau": number > 0.0,
                "decay": 0.0 <= number < 1.0,
            }[name]
            if not good:
                ranges = {"eps": ">= 0", "ddof": "0 or 1", "tau": "> 0", "decay": "in [0, 1)"}
                raise InvalidInputError(f"{name}: expected a number {ranges[name]}, got {number}")

    @property
    def options(self) -> dict[str, Any]:
        """The estimator's options that are set."""
        return {n: getattr(self, n) for n in OPTIONS if getattr(self, n) is not None}


def _options_of(estimator: str) -> tuple[str, ...]:
    if estimator in ("ppo", "rb_exact"):
        return ()
    function = EmaStd.__init__ if estimator == "ema_std" else TABLE[estimator].function
    return tuple(n for n in OPTIONS if n in inspect.signature(function).parameters)
