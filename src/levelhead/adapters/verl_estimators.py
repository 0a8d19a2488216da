"""Our advantage estimators in verl's form, to be named in `algorithm.adv_estimator`.

verl calls an estimator with token-level rewards, a mask, the prompt of each row and the section
`algorithm` of its configuration, and with nothing else: no values of a critic (`gae` stays verl's),
no name of a prompt that lasts longer than a step (so that `ema_std`, which remembers prompts, has no
counterpart).

What differs from verl's estimators of the same formula:

* a group of one, and a group in which one reward counts, gets 0; verl's `grpo`, `rloo` and others
  give it the raw reward;
* a reward that is NaN could not be scored: it is in no statistic and gets 0; in verl it makes its
  whole group NaN;
* a group that is constant up to a float32's rounding gets 0 where a deviation divides; in verl the
  rounding is divided by about 1e-6;
* everything is computed in float64 and returned in the type of the rewards;
* `eps`, `ddof` and `tau` are options: `+algorithm.levelhead.eps=1e-4`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from levelhead import advantages
from levelhead._arrays import BoolArray, FloatArray, IntArray, codes
from levelhead._optional import optional_import
from levelhead.errors import ConfigError, InvalidInputError, unknown_name

__all__ = ["PREFIX", "SECTION", "SEGMENTS", "VerlEstimator", "estimators", "register"]

PREFIX = "levelhead_"
"""What the names in verl's registry begin with: `levelhead_rloo`."""

SECTION = "levelhead"
"""The key below `algorithm` that holds options: those of the estimator, and `segments`."""

SEGMENTS = ("whole", "turns")
"""What is rewarded: the whole response, or each run of tokens that the policy wrote."""


class VerlEstimator:
    """One of our estimators, called as verl calls its own.

    whole: A[i, t] = mask[i, t] f(R, index)_i,  R_i = sum_t rewards[i, t]
    turns: the k-th run of ones in a row's mask is a sample of the group (index_i, k), its reward what
        lies on the run and on the tokens up to the next one

    Args:
        name: a name in `levelhead.advantages.TABLE` without a memory.

    Attributes:
        name: that name.

    Raises:
        InvalidInputError: there is no such estimator, or it remembers earlier steps.

    Edge cases: a row without a token of its own counts with its reward in the statistics of its group,
        as in verl, and has no advantage to get. Without `index` every row is a group of its own.
    """

    def __init__(self, name: str) -> None:
        if name not in _usable():
            raise unknown_name("estimator for verl", name, _usable())
        self.name = name
        self.__name__ = f"{PREFIX}{name}"  # verl's functions have one, and messages show it

    def __eq__(self, other: object) -> bool:
        # verl refuses to register a name twice, unless it is the same function.
        return isinstance(other, VerlEstimator) and other.name == self.name

    def __hash__(self) -> int:
        return hash((VerlEstimator, self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __call__(
        self, token_level_rewards: Any, response_mask: Any, index: Any = None, config: Any = None
    ) -> tuple[Any, Any]:
        """Advantages and returns of a batch.

        Args:
            token_level_rewards: (N, T) float tensor; NaN where a response could not be scored.
            response_mask: (N, T) tensor, 1 where the policy wrote the token.
            index: (N,) the prompt of each row, any labels; verl passes its `uid`.
            config: verl's section `algorithm`, of which `levelhead` is read, or None.

        Returns:
            (advantages, returns), (N, T) each in the type and on the device of the rewards, 0 where
            the mask is 0; a return is the reward of the token's response or segment, 0 where it could
            not be scored.

        Raises:
            InvalidInputError: shapes that differ, or an infinite reward.
            ConfigError: an option that the estimator does not have, or a value outside its range.
        """
        options, segments = _options(self.name, config)
        rewards = token_level_rewards.detach().cpu().double().numpy()
        mask = response_mask.detach().cpu().double().numpy() != 0.0
        if rewards.ndim != 2 or mask.shape != rewards.shape:
            raise InvalidInputError(
                f"response_mask: expected shape (N, T) as token_level_rewards have, got {mask.shape} "
                f"and {rewards.shape}"
            )
        size = rewards.shape[0]
        groups = np.arange(size) if index is None else codes("index", np.asarray(index), size)
        runs = _runs(mask) if segments == "turns" else np.zeros(mask.shape, dtype=np.int64)
        advantage, reward = _per_token(self._function(options), rewards, groups, runs)
        as_given = token_level_rewards.new_tensor
        reward = np.nan_to_num(reward)
        return as_given(np.where(mask, advantage, 0.0)), as_given(np.where(mask, reward, 0.0))

    def _function(self, options: Mapping[str, Any]) -> advantages.AdvantageFunction:
        function = advantages.TABLE[self.name].function
        key = f"algorithm.{SECTION}"

        def call(rewards: FloatArray, groups: IntArray) -> FloatArray:
            try:
                return function(rewards, groups, **options)
            except TypeError as error:
                given = ", ".join(options) or "none"
                raise ConfigError(
                    f"{key}: expected options of {PREFIX}{self.name}, got {given}: {error}"
                ) from error

        return call


def estimators() -> dict[str, VerlEstimator]:
    """Every estimator of ours that can be one of verl's, by its name there.

    Returns:
        `levelhead_{name}` -> the estimator, in the order of `levelhead.advantages.TABLE`.

    Example:
        >>> list(estimators())[:3]
        ['levelhead_reinforce', 'levelhead_rloo', 'levelhead_grpo_no_std']
    """
    return {f"{PREFIX}{name}": VerlEstimator(name) for name in _usable()}


def register() -> tuple[str, ...]:
    """Put every estimator into verl's registry.

    Returns:
        Their names there.

    Raises:
        MissingDependencyError: verl is not installed.

    Edge cases: a second call changes nothing. A name that somebody else has taken is verl's
        ValueError, unchanged.
    """
    core = optional_import("verl.trainer.ppo.core_algos", "estimators for verl", "verl")
    found = estimators()
    for name, estimator in found.items():
        core.register_adv_est(name)(estimator)
    return tuple(found)


def _usable() -> list[str]:
    return [row.name for row in advantages.TABLE.values() if row.new is None]


def _options(name: str, config: Any) -> tuple[dict[str, Any], str]:
    """The estimator's options, and what is rewarded."""
    given = None if config is None else config.get(SECTION, None)
    if given is None:
        return {}, SEGMENTS[0]
    key = f"algorithm.{SECTION}"
    if not callable(getattr(given, "items", None)):
        raise ConfigError(f"{key}: expected options such as {{eps: 1e-4}}, got {given!r}")
    options = {str(option): value for option, value in given.items()}
    segments = options.pop("segments", SEGMENTS[0])
    if segments not in SEGMENTS:
        raise ConfigError(str(unknown_name(f"{key}.segments", str(segments), SEGMENTS)))
    return options, segments


def _runs(mask: BoolArray) -> IntArray:
    """(N, T) the number of the run of ones that a token is in or follows, from 0."""
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    return np.maximum(np.cumsum(starts, axis=1) - 1, 0)


def _per_token(
    function: Callable[[FloatArray, IntArray], FloatArray],
    rewards: FloatArray,
    groups: IntArray,
    runs: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """(N, T) each: the advantage and the reward of the segment that a token belongs to."""
    if rewards.size == 0:
        return rewards, rewards
    n_runs = int(runs.max()) + 1
    segment = np.arange(rewards.shape[0])[:, None] * n_runs + runs
    # Segments that a row does not have are no samples.
    present, place = np.unique(segment, return_inverse=True)
    place = place.reshape(segment.shape)
    sums: FloatArray = np.bincount(place.ravel(), rewards.ravel(), present.size).astype(np.float64)
    label = groups[present // n_runs] * n_runs + present % n_runs
    return function(sums, label)[place], sums[place]
