"""One step's rollouts: which prompts, what the model wrote, what it earned, what that is worth.

Nothing here has a gradient. Every draw is keyed by (seed, step, place in the step), so that a step is
the same whatever ran before it, on however many processes, and after a resumption.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead import advantages as estimators
from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead._registry import load_callable
from levelhead.advantages import AdvantageFunction
from levelhead.errors import ConfigError
from levelhead.tasks import Prompt, Task
from levelhead.train._estimator_checks import checked_advantages
from levelhead.train.config import Algorithm
from levelhead.train.distributed import Ranks
from levelhead.train.reward import Judged, Rewarder
from levelhead.train.sampling import Sampler, Sampling, uniforms

__all__ = [
    "EVALUATION",
    "NOT_OURS",
    "Estimate",
    "Experience",
    "PromptSet",
    "check_tags",
    "collect",
    "drawn",
    "group_sums",
    "text_of",
]

EVALUATION = 1
"""The key of the draws of every evaluation, so that two of them differ by their weights alone; step s
of the training has the key 2 s."""

CONFIDENCE = ("<confidence>", "</confidence>")
"""The tags of a stated confidence beside an answer."""

NOT_OURS = ("rb_exact", "gae")
"""Estimators that need more than rewards; the loss makes their advantages."""


@dataclasses.dataclass(frozen=True)
class PromptSet:
    """Prompts with their tokens, and in which order training goes through them.

    Attributes:
        prompts: the prompts.
        tokens: the token ids of each, as the model sees them.
        seed: of the order.
    """

    prompts: Sequence[Prompt]
    tokens: Sequence[IntArray]
    seed: int

    def chosen(self, step: int, size: int) -> IntArray:
        """Indices of a step's prompts: every epoch is a new permutation, and none is left out.

        Where a step ends one epoch and begins the next, the prompts that it has from the old epoch wait
        in the new one until the step is over.

        Args:
            step: from 0.
            size: prompts of a step.

        Returns:
            (size,) indices, none of them twice as long as there are that many prompts.
        """
        n = len(self.prompts)
        first = step * size
        epochs = range(first // n, (first + size - 1) // n + 1)
        orders = np.concatenate(self._orders(epochs, size))
        skipped = first - epochs.start * n
        return orders[skipped : skipped + size].astype(np.int64)

    def _orders(self, epochs: range, size: int) -> list[IntArray]:
        """The order of each epoch."""
        n = len(self.prompts)
        begin = epochs.start
        if size <= n:
            # An order changes at its beginning only, so the end of a long epoch is known without the
            # epochs before it; a short one hangs together with them as far back as a step began it.
            while begin and begin * n % size and not (begin < epochs.start and n >= 2 * size):
                begin -= 1
        orders: list[IntArray] = []
        for epoch in range(begin, epochs.stop):
            order = np.random.default_rng([self.seed, epoch]).permutation(n)
            old = epoch * n % size
            if orders and old and size <= n:
                waits = np.isin(order, orders[-1][n - old :])
                new = np.flatnonzero(~waits)[: size - old]
                order = np.concatenate([order[new], np.delete(order, new)])
            orders.append(order)
        return orders[epochs.start - begin :]


@dataclasses.dataclass(frozen=True)
class Experience:
    """The rollouts of this rank in one step; N = P G sequences, those of a prompt in a row.

    Attributes:
        index: (P,) index of each prompt in the training set.
        place: (P,) its place among the step's prompts on all ranks.
        prompts: P arrays of token ids.
        completions: N arrays of token ids, the stop token included.
        logprobs: N arrays, nats, of the tokens under the sampling policy.
        finished: (N,) whether it ended by itself.
        judged: what each earned.
        answer_rewards: (N, K) what every answer would earn, or None where nobody asked.
        group_size: G.
    """

    index: IntArray
    place: IntArray
    prompts: list[IntArray]
    completions: list[IntArray]
    logprobs: Sequence[npt.NDArray[np.float32]]
    finished: BoolArray
    judged: Judged
    answer_rewards: FloatArray | None
    group_size: int

    @property
    def group(self) -> IntArray:
        """(N,) which of this rank's prompts a sequence belongs to."""
        return np.repeat(np.arange(len(self.prompts)), self.group_size)


def collect(
    step: int,
    chosen: IntArray,
    *,
    data: PromptSet,
    sampler: Sampler,
    sampling: Sampling,
    group_size: int,
    rewarder: Rewarder,
    decode: Callable[[IntArray], str],
    ranks: Ranks,
    every_answer: bool = False,
) -> Experience:
    """Let the model answer this rank's share of a step's prompts, and judge what it says.

    Args:
        step: from 0.
        chosen: indices of the step's prompts on all ranks; rank r takes every world-th from the r-th.
        data: where they come from.
        sampler: who generates.
        sampling: how.
        group_size: completions per prompt.
        rewarder: what a completion earns.
        decode: token ids -> text.
        ranks: this process among all.
        every_answer: also ask what every possible answer would earn.

    Returns:
        The experience of this rank.
    """
    place = np.arange(ranks.rank, chosen.size, ranks.world)
    index = chosen[place]
    prompts = [data.tokens[i] for i in index]
    draws = drawn(data.seed, 2 * step, place, group_size, sampling.max_new_tokens)
    rollouts = sampler.sample(prompts, group_size=group_size, sampling=sampling, uniforms=draws)
    asked = [data.prompts[i] for i in index]
    repeated = [prompt for prompt in asked for _ in range(group_size)]
    texts = [decode(completion) for completion in rollouts.completions]
    return Experience(
        index=index,
        place=place,
        prompts=prompts,
        completions=list(rollouts.completions),
        logprobs=list(rollouts.logprobs),
        finished=rollouts.finished,
        judged=rewarder(repeated, texts),
        answer_rewards=rewarder.answer_rewards(repeated) if every_answer else None,
        group_size=group_size,
    )


def drawn(seed: int, key: int, place: IntArray, group_size: int, length: int) -> FloatArray:
    """The uniform numbers of the rollouts of some prompts, whichever process has them.

    Args:
        seed: of the run.
        key: of the step.
        place: (P,) places of the prompts among all of the step.
        group_size: completions per prompt.
        length: numbers per completion.

    Returns:
        (P G, length) float64 in [0, 1).
    """
    parts = [uniforms(seed, key, group_size, length, first=int(p) * group_size) for p in place]
    return np.concatenate(parts) if parts else np.zeros((0, length))


class Estimate:
    """The advantage estimator of a recipe, over the rollouts of all ranks.

    Args:
        algorithm: names it, with its options.

    Raises:
        ConfigError: options that it does not take.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self.name = algorithm.estimator
        self._by_prompt = False
        self._function: AdvantageFunction | None = None
        if self.name in NOT_OURS:
            return
        options: dict[str, Any] = dict(algorithm.estimator_options)
        if ":" in self.name:
            self._function = functools.partial(load_callable(self.name), **options)
            return
        row = estimators.TABLE[self.name]
        if row.scope == "history":
            self._by_prompt = True
            self._function = estimators.EmaStd(**options)
        else:
            self._function = functools.partial(row.function, **options)

    def __call__(self, rewards: FloatArray, experience: Experience, ranks: Ranks) -> FloatArray:
        """Advantages of this rank's sequences.

        Args:
            rewards: (N,) of this rank; NaN is unscorable.
            experience: whose they are.
            ranks: the estimator sees the rewards of all ranks, ordered as one process would have them.

        Returns:
            (N,) float64; 0 for an estimator whose advantages the loss makes, and for what is unscorable.

        Raises:
            ConfigError: a function of the user's raised, or returned something else than one finite
                number for each.
        """
        size = experience.group_size
        parts = ranks.gathered((experience.place, experience.index, rewards.reshape(-1, size)))
        place = np.concatenate([part[0] for part in parts])
        order = np.argsort(place)
        index = np.concatenate([part[1] for part in parts])[order]
        block = np.concatenate([part[2] for part in parts])[order]
        labels = np.repeat(index if self._by_prompt else np.arange(index.size), size)
        out = self.of(block.ravel(), labels)
        return out.reshape(-1, size)[experience.place].ravel()

    def of(self, rewards: FloatArray, groups: IntArray) -> FloatArray:
        """Advantages of rewards whose groups are known.

        Args:
            rewards: (N,); NaN is unscorable.
            groups: (N,) which of them belong together.

        Returns:
            (N,) float64, as of a call.

        Raises:
            ConfigError: as of a call.
        """
        if self._function is None:
            return np.zeros_like(rewards)
        if ":" not in self.name:
            return self._function(rewards, groups)
        return checked_advantages(
            self._function, rewards, groups, argument="algorithm.estimator", name=self.name
        )

    @property
    def state(self) -> dict[str, Any]:
        """What a resumed run needs: the memory of an estimator that has one."""
        return self._function.state if isinstance(self._function, estimators.EmaStd) else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        if isinstance(self._function, estimators.EmaStd) and state:
            self._function.state = state


def group_sums(experience: Experience, rewards: FloatArray) -> dict[str, float]:
    """Sums over this rank from which a step's rewards, formats and lengths are told.

    Args:
        experience: this rank's rollouts.
        rewards: (N,) with NaN for what is unscorable.

    Returns:
        Sums by name; all add over ranks.
    """
    judged = experience.judged
    known = ~np.isnan(rewards)
    stated = ~np.isnan(judged.confidence)
    true = ~np.isnan(judged.correct)
    block = rewards.reshape(-1, experience.group_size)
    scored = (~np.isnan(block)).sum(axis=1) > 1
    low = np.min(block, axis=1, initial=np.inf, where=~np.isnan(block))
    high = np.max(block, axis=1, initial=-np.inf, where=~np.isnan(block))
    return {
        "sequences": float(rewards.size),
        "scored": float(known.sum()),
        "reward": float(rewards[known].sum()),
        "formed": float(judged.reading.formed.sum()),
        "stated": float(stated.sum()),
        "confidence": float(judged.confidence[stated].sum()),
        "judged": float(true.sum()),
        "correct": float(judged.correct[true].sum()),
        "groups": float(scored.sum()),
        "constant_groups": float((scored & (high == low)).sum()),
        "finished": float(experience.finished.sum()),
        "completion_tokens": float(sum(len(c) for c in experience.completions)),
    }


def check_tags(tokenizer: Any, task: Task) -> None:
    """Raise where the text that is read back from a well-formed completion lacks one of its tags.

    Args:
        tokenizer: of the model.
        task: whose tags they are.

    Raises:
        ConfigError: a tag is lost, mostly since it is a special token, and those are left out.
    """
    answer = task.answers[len(task.answers) // 2] if task.answers else "1"
    tags, said = [task.opening, task.closing], f"{task.opening}{answer}{task.closing}"
    if task.elicitation.startswith("answer_confidence"):
        tags += CONFIDENCE
        said += f"{CONFIDENCE[0]}0.5{CONFIDENCE[1]}"
    ids = tokenizer.encode(said, add_special_tokens=False)
    read = text_of(tokenizer)(np.array(ids, dtype=np.int64))
    lost = [tag for tag in dict.fromkeys(tags) if tag.strip().lower() not in read.lower()]
    if lost:
        raise ConfigError(
            f"model.path: expected a tokenizer that decodes the tags of the task {task.name!r} again, "
            f"got {read!r} from {said!r}, without {', '.join(lost)}; tags must not be special tokens "
            "of the tokenizer: set `special` to false for them in its tokenizer.json, or take another "
            "model"
        )


def text_of(tokenizer: Any) -> Callable[[IntArray], str]:
    """From a completion's tokens to the text that is read: marks of the chat are left out.

    Args:
        tokenizer: of the model.

    Returns:
        A function of (L,) token ids.
    """
    return lambda ids: tokenizer.decode(ids.tolist(), skip_special_tokens=True)
