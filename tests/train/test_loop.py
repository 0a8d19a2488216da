"""The gradient of a step, on a language model small enough to enumerate everything that it can say."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead.errors import ConfigError
from levelhead.tasks import OracleOptions, make_task
from levelhead.train.answers import AnswerTrie
from levelhead.train.build import make_rewarder
from levelhead.train.config import Recipe, load
from levelhead.train.distributed import Ranks
from levelhead.train.experience import Estimate, Experience, PromptSet
from levelhead.train.loop import Trainer
from levelhead.train.parts import Parts
from levelhead.train.policy import Policy
from levelhead.train.reward import Judged, Reading
from levelhead.train.sampling import Sampling

STOP, OPEN, A, B = range(4)
PROMPT = np.array([OPEN, A, B])
WORDS = {STOP: "", OPEN: "<", A: "a", B: "b"}
FLOOR = -3.0
EARNED = {"a": 1.0, "b": -0.7}
TOLERANCE = 2e-5  # log-probabilities are float32


class Letters:
    """A tokenizer of four tokens."""

    all_special_ids = (STOP,)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        del add_special_tokens
        return [{"<": OPEN, "a": A, "b": B, ">": STOP}[letter] for letter in text]

    def __call__(
        self, text: str, add_special_tokens: bool = False, **_: Any
    ) -> dict[str, list[int]]:
        return {"input_ids": self.encode(text, add_special_tokens)}

    def decode(self, ids: Any, skip_special_tokens: bool = False, **_: Any) -> str:
        ids = [ids] if isinstance(ids, int) else list(ids)
        closing = "" if skip_special_tokens else ">"
        return "".join(WORDS[int(i)] if int(i) != STOP else closing for i in ids)


def completions(length: int) -> list[tuple[int, ...]]:
    """Everything that can be said in `length` tokens."""
    out: list[tuple[int, ...]] = []
    for n in range(1, length + 1):
        for tokens in itertools.product(range(4), repeat=n):
            ends = STOP in tokens[:-1]
            if not ends and (tokens[-1] == STOP or n == length):
                out.append(tokens)
    return out


def earned(tokens: tuple[int, ...]) -> float:
    """The reward of a completion: that of the letter behind the first opening."""
    if OPEN not in tokens:
        return FLOOR
    after = tokens[tokens.index(OPEN) + 1 :]
    return EARNED.get(WORDS[after[0]], FLOOR) if after else FLOOR


@pytest.fixture
def policy() -> Policy:
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        initializer_range=0.7,
    )
    return Policy(Qwen3ForCausalLM(config))


def trainer_of(policy: Policy, overrides: tuple[str, ...], trie: AnswerTrie | None) -> Trainer:
    recipe = load(
        None, ["task.kind=oracle", "rollout.prompts=1", "rollout.group_size=2", *overrides]
    )
    task = make_task(OracleOptions(train=4, evaluation=0))
    rewarder = make_rewarder(recipe, task)
    rewarder.floor = FLOOR
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    parts = Parts(
        data=PromptSet([task.train[0]], [PROMPT], 0),
        sampler=None,  # type: ignore[arg-type]  # everything is enumerated here
        sampling=Sampling(max_new_tokens=2, stop_ids=(STOP,)),
        rewarder=rewarder,
        estimate=Estimate(recipe.algorithm),
        tokenizer=Letters(),
        policy=policy,
        forward=policy,
        critic=None,
        reference=None,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
        trie=trie,
        ranks=Ranks(),
        device=torch.device("cpu"),
        layout="prefix",
    )
    return Trainer(recipe, parts, Letters().decode)


def experience_of(
    group: tuple[tuple[int, ...], ...], trie: AnswerTrie | None, *, singles: bool = False
) -> Experience:
    """A group's completions, or as many prompts with one each."""
    rewards = np.array([earned(tokens) for tokens in group])
    n = len(group)
    nan = np.full(n, np.nan)
    reading = Reading((), nan, nan, ["ok"] * n, np.ones(n, dtype=np.bool_))
    return Experience(
        index=np.zeros(n if singles else 1, dtype=np.int64),
        place=np.arange(n if singles else 1),
        prompts=[PROMPT] * (n if singles else 1),
        completions=[np.array(tokens) for tokens in group],
        logprobs=[np.zeros(len(tokens), dtype=np.float32) for tokens in group],
        finished=np.ones(n, dtype=np.bool_),
        judged=Judged(rewards, nan, nan, ["ok"] * n, {}, reading),
        answer_rewards=None if trie is None else np.tile([EARNED["a"], EARNED["b"]], (n, 1)),
        group_size=1 if singles else n,
    )


def log_probability(policy: Policy, tokens: tuple[int, ...]) -> torch.Tensor:
    ids = torch.tensor([[*PROMPT, *tokens]])
    logits = policy.model(input_ids=ids).logits[0, len(PROMPT) - 1 : -1]
    return logits.log_softmax(-1)[range(len(tokens)), list(tokens)].sum()


def flat_gradient(policy: Policy) -> torch.Tensor:
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in policy.parameters()]
    return torch.cat([part.flatten() for part in parts])


def exact_gradient(policy: Policy, length: int) -> torch.Tensor:
    """Of E[reward], over everything that can be said."""
    policy.zero_grad()
    total = torch.zeros(())
    for tokens in completions(length):
        total = total + log_probability(policy, tokens).exp() * earned(tokens)
    total.backward()
    return flat_gradient(policy).double()


def expected_gradient(
    policy: Policy,
    overrides: tuple[str, ...],
    length: int,
    trie: AnswerTrie | None = None,
    *,
    singles: bool = False,
) -> torch.Tensor:
    """Minus the mean gradient of the loss over all groups of two, or all pairs of single completions."""
    trainer = trainer_of(policy, overrides, trie)
    said = completions(length)
    with torch.no_grad():
        chance = {tokens: float(log_probability(policy, tokens).exp()) for tokens in said}
    assert sum(chance.values()) == pytest.approx(1.0, abs=1e-5)
    total = torch.zeros(sum(p.numel() for p in policy.parameters()), dtype=torch.float64)
    for group in itertools.combinations_with_replacement(said, 2):
        experience = experience_of(group, trie, singles=singles)
        tables, _ = trainer.prepare(experience)
        policy.zero_grad()
        n_tokens = sum(map(len, group))
        loss, _ = trainer.loss(experience, tables, experience.place, 2, n_tokens)
        loss.backward()
        orders = 1.0 if group[0] == group[1] else 2.0
        total -= orders * chance[group[0]] * chance[group[1]] * flat_gradient(policy).double()
    return total


@pytest.mark.parametrize(("estimator", "factor"), [("rloo", 1.0), ("grpo_no_std", 0.5)])
def test_the_expected_gradient_is_that_of_the_expected_reward(
    policy: Policy, estimator: str, factor: float
) -> None:
    overrides = (f"algorithm.estimator={estimator}", "algorithm.constant=1.0")
    found = expected_gradient(policy, overrides, length=2)
    exact = exact_gradient(policy, length=2)
    assert exact.abs().max() > 0.05
    torch.testing.assert_close(found, factor * exact, atol=TOLERANCE, rtol=0)


def test_the_exact_answer_has_the_same_expected_gradient(policy: Policy) -> None:
    """Answers summed out, and what that leaves out sampled: also where the text ends too early."""
    trie = AnswerTrie.build(Letters(), ["a", "b"], "<", ">")
    overrides = ("algorithm.estimator=rb_exact", "algorithm.constant=1.0")
    found = expected_gradient(policy, overrides, length=2, trie=trie)
    exact = exact_gradient(policy, length=2)
    assert exact.abs().max() > 0.05
    torch.testing.assert_close(found, exact, atol=TOLERANCE, rtol=0)


def test_one_completion_of_a_prompt_is_enough_for_the_exact_answer(policy: Policy) -> None:
    """It is compared with the other prompts' completions, which it has no part in."""
    trie = AnswerTrie.build(Letters(), ["a", "b"], "<", ">")
    sizes = ("rollout.group_size=1", "rollout.prompts=2")
    overrides = ("algorithm.estimator=rb_exact", "algorithm.constant=1.0", *sizes)
    found = expected_gradient(policy, overrides, length=2, trie=trie, singles=True)
    torch.testing.assert_close(found, exact_gradient(policy, 2), atol=TOLERANCE, rtol=0)


def test_dividing_by_the_spread_changes_the_direction(policy: Policy) -> None:
    """The check above can fail: it does for GRPO."""
    found = expected_gradient(policy, ("algorithm.estimator=grpo", "algorithm.constant=1.0"), 2)
    exact = exact_gradient(policy, length=2)
    scale = (found @ exact) / (exact @ exact)
    assert (found - scale * exact).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("limit", ["1.0", "null"])
def test_no_weight_takes_a_step_that_is_not_finite(policy: Policy, limit: str) -> None:
    overrides = (f"optimizer.max_grad_norm={limit}", "algorithm.epochs=2")
    trainer = trainer_of(policy, overrides, None)
    experience = experience_of(((A, B), (OPEN, A)), None)
    tables, _ = trainer.prepare(experience)
    trainer.update(experience, tables, np.array([0]))
    before = [p.detach().clone() for p in policy.parameters()]
    tables.advantages[0] = float("nan")
    message = (
        "step 1, update 2: expected a finite gradient of the policy, got one of length nan, .*lower"
    )
    with pytest.raises(ConfigError, match=message) as caught:
        trainer.update(experience, tables, np.array([0]))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(p, old) for p, old in zip(policy.parameters(), before, strict=True))
    assert all(torch.isfinite(p).all() for p in before)


def test_micro_batches_add_up(policy: Policy) -> None:
    """One prompt at a time, or all at once: the same gradient."""
    recipe: Recipe
    gradients: list[torch.Tensor] = []
    groups = [((A, B), (OPEN, A)), ((OPEN, B), (STOP,)), ((B, B), (A, STOP))]
    for budget in (1, 10_000):
        trainer = trainer_of(policy, ("rollout.prompts=3", f"compute.micro_tokens={budget}"), None)
        recipe = trainer.recipe
        assert recipe.compute.micro_tokens == budget
        parts = [experience_of(group, None) for group in groups]
        judged = parts[0].judged
        rewards = np.concatenate([part.judged.rewards for part in parts])
        nan = np.full(6, np.nan)
        reading = Reading((), nan, nan, ["ok"] * 6, np.ones(6, dtype=np.bool_))
        experience = Experience(
            index=np.arange(3),
            place=np.arange(3),
            prompts=[PROMPT, PROMPT[:2], PROMPT[:1]],
            completions=[c for part in parts for c in part.completions],
            logprobs=[c for part in parts for c in part.logprobs],
            finished=np.ones(6, dtype=np.bool_),
            judged=type(judged)(rewards, nan, nan, ["ok"] * 6, {}, reading),
            answer_rewards=None,
            group_size=2,
        )
        tables, _ = trainer.prepare(experience)
        before = [p.detach().clone() for p in policy.parameters()]
        sums = trainer.update(experience, tables, np.arange(3))
        assert sums["updates"] == 1.0
        gradients.append(flat_gradient(policy).clone())
        with torch.no_grad():
            for p, old in zip(policy.parameters(), before, strict=True):
                p.copy_(old)
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=0)
