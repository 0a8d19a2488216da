"""TRL's GRPOTrainer with any advantage estimator of levelhead's, or one of your own.

    from levelhead.adapters.trl_trainer import CalibratedGRPOTrainer

    trainer = CalibratedGRPOTrainer(..., advantage="rloo")

Everything else is TRL's. It has no hook for advantages, so two of its internal methods are overridden:
one to see the rewards, one to put other advantages in place of TRL's. What that relies on is checked
when a trainer is made and at every step. This file can be imported without TRL.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from levelhead import advantages as estimators
from levelhead._arrays import FloatArray, IntArray
from levelhead._optional import optional_import
from levelhead._registry import load_callable
from levelhead._text import plural
from levelhead.adapters._late_base import on_top_of
from levelhead.adapters._trl_contract import check_methods, check_numbers, moved
from levelhead.advantages import AdvantageFunction
from levelhead.errors import ConfigError, InvalidInputError, unknown_name
from levelhead.train._blame import Blamed
from levelhead.train._estimator_checks import check_options, checked_advantages

__all__ = ["CalibratedGRPOTrainer", "Segments", "tag_segments"]

FEATURE = "the trainer for TRL"

Segments = Callable[[Sequence[int]], Sequence[int]]
"""Token ids (T,) of a completion -> (T,) which segment each belongs to, from 0."""

SUM = "sum_then_normalize"


class CalibratedGRPOTrainer:
    """TRL's `GRPOTrainer` whose advantages come from an estimator of levelhead's.

    A_i = estimator(r, groups)_i,  r_i = sum_f w_f r_if over the reward functions that score sample i

    An instance is a `trl.GRPOTrainer` too. The estimator sees the rewards of all processes at once, in
    groups of `num_generations`; TRL's `scale_rewards` has no effect. Evaluation keeps TRL's advantages.

    With `segments`, tokens of one completion may have different advantages: those of segment s get
    estimator(r^s, groups) with r^s_i = sum_f W_sf r_if, such as a confidence that is not blamed for a
    wrong answer. The loss then gets advantages (B, T). Functions with W_sf = 0 have no say in whether
    a sample is scored in segment s.

    Args:
        args: as of `trl.GRPOTrainer`.
        advantage: a name in `levelhead.advantages.TABLE`, `module:function`, `file.py:function`, or a
            function (rewards (N,), groups (N,)) -> advantages (N,). Rewards are NaN where every reward
            function returned None; what is returned for those counts as 0.
        advantage_options: options of a named estimator, such as `{"eps": 1e-4}`.
        segments: which segment each token of a completion is in (`tag_segments`); None: one for all.
        segment_weights: (S, F) finite weights W of the F reward functions in the S segments; they take
            the place of TRL's `reward_weights`. With `segments` only.
        kwargs: as of `trl.GRPOTrainer`.

    Raises:
        MissingDependencyError: TRL is not installed.
        InvalidInputError: an unknown estimator, or options that it does not take.
        ConfigError: TRL's internals have moved; the setting `multi_objective_aggregation` is not
            `sum_then_normalize`; while training, an estimator or `segments` raises or returns something
            of another shape, or advantages that are not finite.

    Edge cases: an estimator with a memory (`ema_std`) knows a prompt by its text, and starts anew where
        a run is resumed. Whether outcomes are shared by a group or each sample has its own is a matter
        of the rewards; every estimator takes both.
    Properties: the same advantages with one process or several; they stay with their sequences through
        TRL's shuffling, `steps_per_generation` and `num_iterations`.
    Reference: which estimators keep predictions honest: arXiv:2508.11800, `levelhead probe`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> CalibratedGRPOTrainer:
        """An instance of this class and of TRL's, which is not looked for before."""
        trl = optional_import("trl", FEATURE, "trl")
        return object.__new__(on_top_of(trl.GRPOTrainer, cls))

    def __init__(
        self,
        *args: Any,
        advantage: str | AdvantageFunction = "rloo",
        advantage_options: Mapping[str, Any] | None = None,
        segments: Segments | None = None,
        segment_weights: ArrayLike | None = None,
        **kwargs: Any,
    ) -> None:
        trl = optional_import("trl", FEATURE, "trl")
        check_methods(trl.GRPOTrainer)
        self._estimate = _Estimate(advantage, advantage_options or {})
        self._segments = segments
        self._seen: _Seen | None = None
        parent = cast(Any, super())
        parent.__init__(*args, **kwargs)
        trainer = cast(Any, self)
        how = trainer.args.multi_objective_aggregation
        if how != SUM:
            raise ConfigError(
                f"multi_objective_aggregation: expected {SUM!r} with an estimator of levelhead's, which "
                f"sees the weighted sum of the rewards, got {how!r}; leave it out"
            )
        self._weights = _segment_weights(segments, segment_weights, len(trainer.reward_funcs))

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        """TRL's rewards of all processes (N, F), which are kept."""
        parent = cast(Any, super())
        rewards = parent._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seen = _Seen(rewards.detach(), prompts, completion_ids_list)
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's batch with other advantages in it."""
        trainer, self._seen = cast(Any, self), None
        out: dict[str, Any] = cast(Any, super())._generate_and_score_completions(inputs)
        seen, self._seen = self._seen, None
        if not trainer.model.training:
            return out
        if seen is None or "advantages" not in out:
            raise moved("GRPOTrainer makes a batch without _calculate_rewards or advantages")
        every = seen.rewards.cpu().double().numpy()  # (N, F)
        groups = np.arange(len(every), dtype=np.int64) // trainer.num_generations
        theirs = out["advantages"]
        first = trainer.accelerator.process_index * len(theirs)
        weights = trainer.reward_weights.cpu().double().numpy()
        check_numbers(_summed(every, weights), groups, theirs.cpu().double().numpy(), first)
        if self._estimate.by_prompt:
            groups = self._prompt_ids(seen.prompts)
        if self._weights is None:
            sums = [_summed(every, weights)]
        else:
            sums = [_summed(_counted(every, row), row) for row in self._weights]
        ours = np.stack([self._estimate(one, groups) for one in sums])  # (S, N)
        torch = optional_import("torch", FEATURE, "trl")
        mine = torch.as_tensor(ours[:, first : first + len(theirs)])
        if self._segments is None:
            made = mine[0]
        else:
            made = mine.T.gather(1, self._segment_index(seen.tokens, out["completion_ids"], torch))
            made = made * out["completion_mask"].to(made.device)
        out["advantages"] = made.to(theirs.dtype).to(theirs.device)
        self._log_advantages(ours.mean(axis=0))
        return out

    def _prompt_ids(self, prompts: Sequence[Any]) -> IntArray:
        """A number for each prompt of all processes that is the same at every visit."""
        torch = optional_import("torch", FEATURE, "trl")
        trainer = cast(Any, self)
        texts = [json.dumps(prompt, sort_keys=True, default=str) for prompt in prompts]
        digests = [hashlib.sha256(text.encode(errors="replace")).digest() for text in texts]
        ids = [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]
        local = torch.tensor(ids, dtype=torch.int64, device=trainer.accelerator.device)
        return trainer.accelerator.gather(local).cpu().numpy()

    def _segment_index(self, tokens: Sequence[Sequence[int]], padded: Any, torch: Any) -> Any:
        """(B, T) the segment of each token; 0 in the padding."""
        index = torch.zeros(padded.shape, dtype=torch.int64)
        count = 0 if self._weights is None else len(self._weights)
        for i, ids in enumerate(tokens):
            found = _segments_of(cast(Segments, self._segments), ids, count)
            index[i, : found.size] = torch.from_numpy(found)
        return index

    def _log_advantages(self, advantages: FloatArray) -> None:
        """TRL's table of completions shall show what is trained on."""
        logged = cast(Any, self)._logs["advantages"]
        for _ in range(min(len(logged), advantages.size)):
            logged.pop()
        logged.extend(advantages.tolist())


def tag_segments(
    tokenizer: Any, *, opening: str = "<confidence>", closing: str = "</confidence>"
) -> Segments:
    """Segment 1 is what stands between the last pair of tags, with the tags; segment 0 is the rest.

    Args:
        tokenizer: the trainer's, with `decode`.
        opening: the tag before.
        closing: the tag after; where it is missing, segment 1 goes on to the end.

    Returns:
        A function for `CalibratedGRPOTrainer(segments=...)`. A token that holds a part of the segment
        belongs to it.

    Edge cases: without the opening tag everything is segment 0.
    """

    @functools.lru_cache(maxsize=65_536)
    def piece(token: int) -> str:
        return str(tokenizer.decode([token]))

    def segments(ids: Sequence[int]) -> list[int]:
        pieces = [piece(int(token)) for token in ids]
        ends = np.cumsum([len(one) for one in pieces])
        text = "".join(pieces)
        start = text.rfind(opening)
        if start < 0:
            return [0] * len(pieces)
        found = text.find(closing, start + len(opening))
        stop = len(text) if found < 0 else found + len(closing)
        return [
            int(end > start and end - len(one) < stop)
            for one, end in zip(pieces, ends.tolist(), strict=True)
        ]

    return segments


class _Seen:
    """What one batch was rewarded with."""

    def __init__(self, rewards: Any, prompts: Sequence[Any], tokens: Sequence[Any]) -> None:
        self.rewards, self.prompts, self.tokens = rewards, prompts, tokens


class _Estimate:
    """An estimator by name or as a function, with a check of what it returns."""

    def __init__(self, advantage: str | AdvantageFunction, options: Mapping[str, Any]) -> None:
        self.by_prompt = isinstance(advantage, estimators.EmaStd)
        self._own = True
        if not isinstance(advantage, str):
            if not callable(advantage):
                raise InvalidInputError(
                    f"advantage: expected a name or a function, got {type(advantage).__name__}"
                )
            self.name = str(getattr(advantage, "__name__", type(advantage).__name__))
            self._function: AdvantageFunction = advantage
        elif ":" in advantage:
            self.name, self._function = advantage, load_callable(advantage)
        elif advantage in estimators.TABLE:
            self._own, self.name = False, advantage
            row = estimators.TABLE[advantage]
            self.by_prompt = row.scope == "history"
            check_options("advantage_options", advantage, options)
            function = estimators.EmaStd if self.by_prompt else row.function
            made = function(**options) if self.by_prompt else functools.partial(function, **options)
            self._function = cast(AdvantageFunction, made)
            if not self.by_prompt:
                self._function(np.array([1.0, 0.0]), np.array([0, 0]))  # a wrong value is told now
            return
        else:
            raise unknown_name("advantage", advantage, estimators.TABLE)
        if options:
            raise InvalidInputError(
                f"advantage_options: expected none with the function {self.name}, got "
                f"{', '.join(options)}; use functools.partial"
            )

    def __call__(self, rewards: FloatArray, groups: IntArray) -> FloatArray:
        """(N,) finite advantages, 0 where the reward is NaN."""
        if not self._own:
            return self._function(rewards, groups)
        return checked_advantages(
            self._function, rewards, groups, argument="advantage", name=self.name
        )


def _summed(rewards: FloatArray, weights: FloatArray) -> FloatArray:
    """(N,) weighted sums over the reward functions that score a sample; NaN where none does."""
    known = ~np.isnan(rewards)
    sums = np.where(known, rewards, 0.0) @ weights
    return np.where(known.any(axis=1), sums, np.nan)


def _counted(rewards: FloatArray, weights: FloatArray) -> FloatArray:
    """(N, F) without the reward functions that have no weight; all of them where none has any.

    A function that does not count for a segment cannot say that a sample is scored there.
    """
    return np.where(weights != 0.0, rewards, np.nan) if weights.any() else rewards


def _segment_weights(
    segments: Segments | None, weights: ArrayLike | None, n_functions: int
) -> FloatArray | None:
    if segments is None and weights is None:
        return None
    if segments is None or weights is None:
        given, missing = ("segments", "segment_weights")[:: 1 if weights is None else -1]
        raise InvalidInputError(
            f"{missing}: expected beside {given}, got None; segments say which tokens belong "
            "together, the weights which reward functions count for them"
        )
    table = np.asarray(weights, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != n_functions or not len(table):
        raise InvalidInputError(
            f"segment_weights: expected shape (S, {n_functions}), a row for each segment and a column "
            f"for each reward function, got {table.shape}"
        )
    if not np.isfinite(table).all():
        raise InvalidInputError("segment_weights: expected finite numbers, got NaN or infinity")
    return table


def _segments_of(segments: Segments, ids: Sequence[int], count: int) -> IntArray:
    """(T,) the segments of one completion, checked."""
    given, advice = plural(len(ids), "token"), "return one segment for each token"
    with Blamed("segments", given=given, advice=advice):
        found = np.asarray(segments(ids))
    if found.shape != (len(ids),) or (found.size and found.dtype.kind not in "iub"):
        raise ConfigError(
            f"segments: expected {given.replace('token', 'whole number')}, one for each token, got "
            f"{found.dtype} of shape {found.shape}"
        )
    if found.size and not (found.min() >= 0 and found.max() < count):
        raise ConfigError(
            f"segments: expected values below {count}, the rows of segment_weights, got "
            f"{found.max() if found.min() >= 0 else found.min()}"
        )
    return found.astype(np.int64)
