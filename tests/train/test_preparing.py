"""What stays while the weights move, against sums by hand and passes of the model one text at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import rloo
from levelhead.tasks import OracleOptions, make_task
from levelhead.train import embedded, preparing
from levelhead.train.build import Run, build
from levelhead.train.config import load
from levelhead.train.distributed import Ranks
from levelhead.train.experience import Experience, text_of
from levelhead.train.preparing import Tables

SMALL = (
    "task.kind=oracle",
    "task.train=8",
    "task.evaluation=0",
    "model.device=cpu",
    "rollout.prompts=2",
    "rollout.group_size=3",
    "rollout.max_new_tokens=7",
)
pytestmark = pytest.mark.filterwarnings("ignore:none of .* states an answer")
ALL = np.arange(2)
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def raw_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned nothing, and therefore costs nothing."""
    folder = tmp_path_factory.mktemp("raw")
    task = make_task(OracleOptions(train=8, evaluation=0))
    texts = [message["content"] for prompt in task.train for message in prompt.messages]
    tokenizer = embedded.make_tokenizer(texts, (task.opening, task.closing), 400)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        initializer_range=0.3,
    )
    with embedded.quiet():
        Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def built(raw_model: Path, *overrides: str) -> Run:
    return build(load(None, [*SMALL, f"model.path={raw_model}", *overrides]))


def shaken(run: Run) -> None:
    """Weights that are no longer the reference's."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.loaded.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def passed(model: Any, prompt: IntArray, completion: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of a whole vocabulary, and hidden states, before each token of a completion."""
    ids = torch.tensor([[*prompt.tolist(), *completion.tolist()]])
    states = model.model(input_ids=ids).last_hidden_state[0, len(prompt) - 1 : -1]
    return model.lm_head(states).double().log_softmax(-1), states.double()


def logprobs_of(model: Any, experience: Experience) -> list[FloatArray]:
    size = experience.group_size
    found: list[FloatArray] = []
    for i, completion in enumerate(experience.completions):
        every, _ = passed(model, experience.prompts[i // size], completion)
        found.append(every[range(len(completion)), completion.tolist()].numpy())
    return found


def row(table: torch.Tensor | None, i: int, length: int) -> FloatArray:
    assert table is not None
    assert not table[i, length:].any()
    return table[i, :length].double().numpy()


@pytest.mark.parametrize("kind", ["head", "separate"])
def test_advantages_and_returns_with_a_critic(kind: str, raw_model: Path) -> None:
    """Against the recursion in words: what came, what was expected then, what was expected before."""
    gamma, lam, coef = 0.9, 0.7, 0.5
    run = built(
        raw_model,
        "algorithm.estimator=gae",
        f"algorithm.critic={{kind: {kind}, gamma: {gamma}, lam: {lam}}}",
        f"algorithm.kl={{coef: {coef}, estimator: k1, place: reward}}",
    )
    shaken(run)
    critic: Any = run.parts.policy if kind == "head" else run.parts.critic
    torch.nn.init.normal_(critic.value_head.weight, generator=torch.Generator().manual_seed(2))
    torch.nn.init.constant_(critic.value_head.bias, 0.3)
    experience = run.trainer.collect(0)
    experience.judged.rewards[:] = [1.0, np.nan, -2.0, 0.5, 3.0, -1.0]  # one nobody could score
    tables, sums = run.trainer.prepare(experience)
    reference: Any = run.parts.reference
    ours = logprobs_of(run.loaded.model, experience)
    theirs = logprobs_of(reference._copy.model, experience)
    weight, bias = critic.value_head.weight[0].double(), critic.value_head.bias.double()
    spent = 0.0
    for i, completion in enumerate(experience.completions):
        _, states = passed(critic.model, experience.prompts[i // 3], completion)
        values = (states @ weight + bias).detach().numpy()
        n = len(completion)
        np.testing.assert_allclose(row(tables.values, i, n), values, atol=TOLERANCE)
        penalty = coef * (ours[i] - theirs[i])
        spent += penalty.sum()
        rewards = -penalty
        rewards[-1] += experience.judged.rewards[i]
        expected, later = np.zeros(n), 0.0
        for t in reversed(range(n)):
            following = values[t + 1] if t + 1 < n else 0.0
            later = rewards[t] + gamma * following - values[t] + gamma * lam * later
            expected[t] = later
        if i == 1:
            expected[:] = 0.0
        np.testing.assert_allclose(row(tables.advantages, i, n), expected, atol=1e-4)
        np.testing.assert_allclose(row(tables.returns, i, n), expected + values, atol=1e-4)
    assert spent != pytest.approx(0.0, abs=0.01)
    assert sums["kl_in_reward"] == pytest.approx(spent, abs=1e-4)


def by_hand(run: Run, experience: Experience, tables: Tables) -> dict[str, float]:
    """The terms of the loss, summed over tokens and divided by 6 texts x 7 tokens."""
    terms = dict.fromkeys(("k3", "entropy", "value"), 0.0)
    reference: Any = run.parts.reference
    head: Any = run.parts.policy.value_head
    for i, completion in enumerate(experience.completions):
        prompt, said = experience.prompts[i // 3], (range(len(completion)), completion.tolist())
        every, states = passed(run.loaded.model, prompt, completion)
        theirs = passed(reference._copy.model, prompt, completion)[0][said]
        d = theirs - every[said]
        terms["k3"] += float((d.exp() - d - 1.0).sum())
        terms["entropy"] += float(-(every.exp() * every).sum())
        if head is not None and tables.returns is not None:
            values = (states @ head.weight[0].double() + head.bias.double()).detach()
            goal = torch.from_numpy(row(tables.returns, i, len(completion)))
            terms["value"] += float((values - goal).square().sum())
    return {name: total / (6 * 7) for name, total in terms.items()}


def test_the_terms_of_the_loss(raw_model: Path) -> None:
    """The distance from the reference, the entropy and the critic's error, without advantages."""
    run = built(
        raw_model,
        "algorithm.estimator=gae",
        "algorithm.critic={kind: head, coef: 0.25}",
        "algorithm.kl={coef: 0.5, estimator: k3}",
        "algorithm.entropy_coef=0.125",
    )
    shaken(run)
    experience = run.trainer.collect(0)
    tables, _ = run.trainer.prepare(experience)
    tables.advantages = torch.zeros_like(tables.advantages)
    n_tokens = sum(map(len, experience.completions))
    loss, sums = run.trainer.loss(experience, tables, ALL, 6, n_tokens)
    terms = by_hand(run, experience, tables)
    assert min(terms.values()) > 1e-3
    expected = 0.5 * terms["k3"] - 0.125 * terms["entropy"] + 0.25 * terms["value"]
    assert loss.item() == pytest.approx(expected, abs=TOLERANCE)
    assert sums["kl"] == pytest.approx(42 * terms["k3"], abs=1e-3)
    assert sums["entropy"] == pytest.approx(42 * terms["entropy"], rel=1e-4)


def test_old_logprobs(raw_model: Path) -> None:
    """None while the policy is still the one that sampled; else those that it sampled with."""
    once = built(raw_model)
    experience = once.trainer.collect(0)
    assert once.trainer.prepare(experience)[0].old_logprobs is None
    exact = logprobs_of(once.loaded.model, experience)
    for overrides in ((), ("rollout.backend=transformers",)):
        run = built(raw_model, "algorithm.epochs=2", *overrides)
        # Of a sampler that is not exact nothing is believed.
        believed = experience.logprobs if not overrides else [p + 1 for p in experience.logprobs]
        tables, _ = run.trainer.prepare(dataclasses.replace(experience, logprobs=believed))
        for i, expected in enumerate(exact):
            found = row(tables.old_logprobs, i, len(expected))
            np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_bfloat16_arithmetic_is_scored_again(raw_model: Path) -> None:
    run = built(raw_model, "model.dtype=mixed", "algorithm.updates_per_rollout=2")
    experience = run.trainer.collect(0)
    tables, _ = run.trainer.prepare(experience)
    packed, rows = run.trainer.rows.pack(experience, ALL)
    with torch.no_grad(), run.parts.arithmetic():
        scored = run.parts.forward(packed)
    assert rows.tolist() == list(range(6))
    assert tables.old_logprobs is not None
    torch.testing.assert_close(scored.logprobs, tables.old_logprobs, rtol=0, atol=0)
    plain = logprobs_of(run.loaded.model, experience)
    off = max(float(np.abs(row(scored.logprobs, i, len(p)) - p).max()) for i, p in enumerate(plain))
    assert 1e-4 < off < 0.2


def saying(run: Run, texts: Sequence[str]) -> Experience:
    """The rollouts of a step, with other words."""
    experience = run.trainer.collect(0)
    encode: Any = run.loaded.tokenizer
    completions = [np.array(encode.encode(t, add_special_tokens=False)) for t in texts]
    decode = text_of(run.loaded.tokenizer)
    asked = [run.task.train[i] for i in experience.index for _ in range(3)]
    judged = run.parts.rewarder(asked, [decode(c) for c in completions])
    return dataclasses.replace(experience, completions=completions, judged=judged)


def test_what_the_sum_over_answers_leaves_out(raw_model: Path) -> None:
    run = built(raw_model, "algorithm.estimator=rb_exact")
    end = "<|im_end|>"
    whole, cut, single = f"<answer>37</answer>{end}", "<answer>37", f"<answer>5</answer>{end}"
    none, late = f"37{end}", "37" * 3 + "<answer>"
    experience = saying(run, [whole, cut, single, none, late, f"<answer>7{end}"])
    tables, _ = run.trainer.prepare(experience)
    assert tables.starts is not None
    # The sixth token is too late for two digits where seven are allowed.
    assert tables.starts.tolist() == [1, 1, 1, -1, -1, 1]
    floor, table = run.parts.rewarder.floor, experience.answer_rewards
    assert table is not None
    rewards = experience.judged.rewards
    assert rewards[[1, 3, 4, 5]].tolist() == [floor] * 4
    # A single digit is an answer only once the closing tag begins, so that the last one is none.
    left = np.array([0.0, floor - table[1, 36], 0.0, 0.0, 0.0, 0.0])
    assert np.abs(left).max() > 0.1
    expected = rloo(left, experience.group)
    np.testing.assert_allclose(tables.advantages.numpy(), expected, atol=1e-6)


def test_single_completions_are_compared_with_other_prompts(raw_model: Path) -> None:
    sizes = ("rollout.group_size=1", "rollout.prompts=6", "algorithm.updates_per_rollout=2")
    run = built(raw_model, "algorithm.estimator=rb_exact", *sizes)
    experience = run.trainer.collect(0)
    experience.judged.rewards[:] = [1.0, 0.0, float("nan"), 0.5, 3.0, -1.5]
    tables, _ = run.trainer.prepare(experience)
    assert tables.baseline is not None  # a mini-batch of three prompts each
    expected = [0.0 / 1, 1.0 / 1, 1.0 / 2, 1.5 / 2, -1.0 / 2, 3.5 / 2]
    np.testing.assert_allclose(tables.baseline.numpy(), expected, atol=1e-6)
    # An untrained model writes no answer, so the floor is what the sum assumes; it leaves r - floor.
    left = experience.judged.rewards - run.parts.rewarder.floor
    assert tables.starts is not None
    assert (tables.starts < 0).all()
    others = np.array([left[1], left[0], np.nan, *((left[[4, 3, 3]] + left[[5, 5, 4]]) / 2)])
    np.testing.assert_allclose(tables.advantages.numpy(), np.nan_to_num(left - others), atol=1e-5)


def test_single_completions_of_all_ranks_are_compared(raw_model: Path) -> None:
    run = built(
        raw_model, "algorithm.estimator=rb_exact", "rollout.group_size=1", "rollout.prompts=4"
    )
    whole = run.trainer.collect(0)
    rewards = np.array([1.0, 0.0, -2.0, 0.5])

    class Two(Ranks):
        def gathered(self, value: Any) -> list[Any]:
            return [(np.array([0, 2]), rewards[[0, 2]]), (np.array([1, 3]), rewards[[1, 3]])]

    mine = dataclasses.replace(whole, place=np.array([1, 3]))
    found = preparing._mean_of_others(rewards[[1, 3]], mine, Two(), 4)
    np.testing.assert_allclose(found, [-0.5 / 3, -1.0 / 3], atol=1e-12)


def test_a_penalty_in_the_reward_reaches_group_estimators(raw_model: Path) -> None:
    run = built(raw_model, "algorithm.kl={coef: 2.0, estimator: k1, place: reward}")
    shaken(run)
    experience = run.trainer.collect(0)
    reference: Any = run.parts.reference
    ours, theirs = (logprobs_of(m, experience) for m in (run.loaded.model, reference._copy.model))
    experience.judged.rewards[:] = [1.0, 0.0, -2.0, 0.5, 3.0, -1.0]
    tables, _ = run.trainer.prepare(experience)
    distance = np.array([(a - b).sum() for a, b in zip(ours, theirs, strict=True)])
    rewards = experience.judged.rewards - 2.0 * distance
    block = rewards.reshape(2, 3)
    expected = 1.5 * (block - block.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(tables.advantages.numpy(), expected.ravel(), atol=2e-4)


def unlike(experience: Experience, last: int) -> Experience:
    """Completions of 1 to 60 tokens, and a last group of longer ones, that do not begin alike."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 60, len(experience.completions))
    lengths[-3:] = last
    return dataclasses.replace(
        experience, completions=[rng.integers(5, 300, n, dtype=np.int64) for n in lengths]
    )


@pytest.mark.parametrize(
    ("layout", "estimator", "budget"),
    [
        ("prefix", "rloo", 1000),
        ("padded", "rloo", 1200),
        ("auto", "rloo", 1000),
        ("prefix", "rb_exact", 1000),
        ("padded", "rb_exact", 12000),
    ],
)
def test_micro_batches_are_within_the_budget(
    layout: str, estimator: str, budget: int, raw_model: Path
) -> None:
    run = built(
        raw_model,
        "rollout.prompts=8",
        f"algorithm.estimator={estimator}",
        f"compute.layout={layout}",
        f"compute.micro_tokens={budget}",
    )
    experience = unlike(run.trainer.collect(0), 200)
    # Every answer begins behind the last token, which is where it costs most.
    starts = np.array([len(c) for c in experience.completions])
    batches = run.trainer.rows.micro_batches(experience, np.arange(8))
    assert sorted(np.concatenate(batches).tolist()) == list(range(8))
    assert 1 < len(batches) < 8
    for part in batches:
        packed, _ = run.trainer.rows.pack(experience, part, starts)
        assert packed.n_tokens <= budget


def test_auto_takes_the_cheaper_rows_and_gives_the_same_gradients(raw_model: Path) -> None:
    found: list[torch.Tensor] = []
    for layout in ("auto", "prefix", "padded"):
        run = built(raw_model, "rollout.prompts=4", f"compute.layout={layout}")
        experience = unlike(run.trainer.collect(0), 200)
        rows = run.trainer.rows
        total = torch.zeros(())
        kinds: set[str] = set()
        for part in rows.micro_batches(experience, np.arange(4)):
            packed, own = rows.pack(experience, part)
            kinds.add("padded" if packed.ends is None else "prefix")
            weights = torch.from_numpy(np.cos(own))[:, None]
            total = total + (weights * run.parts.forward(packed).logprobs).sum()
        assert kinds == ({"prefix", "padded"} if layout == "auto" else {layout})
        total.backward()
        weight = run.loaded.model.model.layers[0].self_attn.k_proj.weight
        found.append(weight.grad)
    scale = float(found[1].abs().max())
    for other in (found[0], found[2]):
        torch.testing.assert_close(other, found[1], atol=TOLERANCE * scale, rtol=0.0)


@pytest.mark.parametrize("layout", ["prefix", "padded"])
def test_rows_keep_groups_whole_and_fit(layout: str, raw_model: Path) -> None:
    run = built(
        raw_model, "rollout.prompts=6", f"compute.layout={layout}", "compute.micro_tokens=1"
    )
    experience = run.trainer.collect(0)
    one_each = run.trainer.rows.micro_batches(experience, np.arange(1, 6))
    assert sorted(int(i) for part in one_each for i in part) == [1, 2, 3, 4, 5]
    assert all(part.size == 1 for part in one_each)
    overrides = ("rollout.prompts=6", "compute.micro_tokens=100000")
    run = built(raw_model, *overrides, f"compute.layout={layout}")
    (all_at_once,) = run.trainer.rows.micro_batches(experience, np.arange(6))
    packed, rows = run.trainer.rows.pack(experience, all_at_once)
    lengths = [len(experience.completions[i]) for i in rows]
    assert packed.mask.sum(dim=1).tolist() == lengths
    assert run.trainer.rows.dummy().mask.shape == (1, 1)
