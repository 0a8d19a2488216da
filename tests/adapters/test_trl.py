"""TRL's advantages and losses through the harness: loops, hand-computed cases, and real trainers.

The harness runs TRL's lines without a model. The last section trains tiny models for one step and
compares, so that a TRL that computes something elsewhere is noticed.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead import advantages
from levelhead._arrays import FloatArray, IntArray
from levelhead.adapters import trl
from levelhead.errors import InvalidInputError, MissingDependencyError

INSTALLED = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(
    not INSTALLED, reason="TRL is not installed here; `make leaderboard` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL's dependencies warn about is theirs

FLOAT32 = 2e-6
"""How far a float32 computation on rewards of order 1 may be from the float64 one."""

EPS = 1e-4
NAN = math.nan


def drive(name: str) -> Callable[[FloatArray, IntArray], FloatArray]:
    one = next(one for one in trl.estimators() if one.name == f"trl:{name}")
    assert one.call is not None, one.reason
    return one.call


def call(name: str, rewards: list[float], groups: list[int]) -> list[float]:
    return drive(name)(np.array(rewards), np.array(groups)).tolist()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def std(values: list[float]) -> float:
    """With ddof 1; 0 for a single value, which TRL turns into an advantage of 0 as well."""
    n = len(values)
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (n - 1)) if n > 1 else 0.0


def rest(r: float, group: list[float]) -> float:
    return (sum(group) - r) / (len(group) - 1) if len(group) > 1 else r


def whitened(values: list[float]) -> list[float]:
    return [(v - mean(values)) / (std(values) + EPS) for v in values]


def by_group(
    rewards: list[float], groups: list[int], one: Callable[[float, list[float]], float]
) -> list[float]:
    return [
        one(r, [s for s, h in zip(rewards, groups, strict=True) if h == g])
        for r, g in zip(rewards, groups, strict=True)
    ]


def centered(r: float, group: list[float]) -> float:
    return r - mean(group)


def standardized(r: float, group: list[float]) -> float:
    return (r - mean(group)) / (std(group) + EPS)


LOOPS: dict[str, Callable[[list[float], list[int]], list[float]]] = {
    "group": lambda r, g: by_group(r, g, standardized),
    "batch": lambda r, g: [a / (std(r) + EPS) for a in by_group(r, g, centered)],
    "none": lambda r, g: by_group(r, g, centered),
    "normalize_then_sum": lambda r, g: whitened(by_group(r, g, standardized)),
    "rloo": lambda r, g: by_group(r, g, lambda one, group: one - rest(one, group)),
    "rloo(normalized)": lambda r, g: whitened(LOOPS["rloo"](r, g)),
}


def cases(sizes: list[int]) -> Iterator[tuple[FloatArray, IntArray]]:
    """Mixed order, with equal rewards in a group and without."""
    draw = np.random.default_rng(0)
    for ties in (True, False) * 10:
        groups = draw.permutation(np.repeat([9, 4, 40, 0, 7], sizes))
        n = groups.size
        yield draw.choice([0.0, 0.25, 1.0], n) if ties else draw.normal(size=n), groups


@pytest.mark.skipif(INSTALLED, reason="TRL is installed here")
@pytest.mark.parametrize("function", [trl.estimators, trl.aggregations])
def test_without_trl_the_error_says_how_to_install_it(function: Callable[[], object]) -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[trl\]'"):
        function()


# ---- advantages


@needs_trl
def test_every_subject_can_be_driven() -> None:
    found = trl.estimators()
    assert [one.name for one in found] == [f"trl:{name}" for name in LOOPS]
    assert {one.name: one.reason for one in found if one.call is None} == {}
    assert {one.how for one in found} == {"installed code"}
    assert all(one.version.count(".") >= 1 for one in found)


@needs_trl
@pytest.mark.parametrize("name", LOOPS)
def test_advantages_of_complete_groups(name: str) -> None:
    function = drive(name)
    for rewards, groups in cases([4, 4, 4, 4, 4]):
        kept = rewards.copy(), groups.copy()
        got = function(rewards, groups)
        expected = LOOPS[name](rewards.tolist(), groups.tolist())
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=FLOAT32, atol=FLOAT32)
        np.testing.assert_array_equal(got, function(rewards, groups))  # no memory
        assert (rewards == kept[0]).all()
        assert (groups == kept[1]).all()


@needs_trl
@pytest.mark.parametrize("name", ["group", "batch", "none", "rloo"])
def test_advantages_of_groups_of_unequal_size(name: str) -> None:
    """Filled up with unscorable samples; a group of one gets 0."""
    function = drive(name)
    for rewards, groups in cases([3, 1, 5, 2, 4]):
        expected = np.array(LOOPS[name](rewards.tolist(), groups.tolist()))
        expected[groups == 4] = 0.0
        np.testing.assert_allclose(function(rewards, groups), expected, rtol=FLOAT32, atol=FLOAT32)


@needs_trl
@pytest.mark.parametrize("name", LOOPS)
def test_groups_of_one_get_nothing(name: str) -> None:
    assert call(name, [3, -1], [0, 1]) == [0, 0]
    assert call(name, [], []) == []


@needs_trl
@pytest.mark.parametrize("name", LOOPS)
def test_an_unscorable_sample_gets_nothing_and_counts_nowhere(name: str) -> None:
    got = call(name, [1, NAN, 0, 3, 1, 1], [0, 0, 0, 1, 1, 1])
    assert got[1] == 0.0
    without = call(name, [1, 0, 3, 1, 1], [0, 0, 1, 1, 1])
    np.testing.assert_allclose(np.delete(got, 1), without, rtol=FLOAT32)


HAND = [1.0, 0.0, 0.0, 0.0]
"""Mean 1/4, deviations 3/4 and three times -1/4, variance (9 + 3) / 16 / 3 = 1/4."""


@needs_trl
@pytest.mark.parametrize(
    ("name", "best", "other"),
    [
        ("group", 0.75 / (0.5 + EPS), -0.25 / (0.5 + EPS)),
        ("batch", 0.75 / (0.5 + EPS), -0.25 / (0.5 + EPS)),
        ("none", 0.75, -0.25),
        ("rloo", 1.0, -1 / 3),
        # leave-one-out advantages have standard deviation 1/2 * 4/3
        ("rloo(normalized)", 1 / (2 / 3 + EPS), -1 / 3 / (2 / 3 + EPS)),
    ],
)
def test_one_right_answer_of_four(name: str, best: float, other: float) -> None:
    got = call(name, HAND, [3, 3, 3, 3])
    assert got == pytest.approx([best, other, other, other], rel=FLOAT32)


# ---- traps


@needs_trl
@pytest.mark.parametrize("name", ["group", "batch"])
def test_the_eps_is_1e_4(name: str) -> None:
    """Two rewards 2e-4 apart: half of that over (2e-4 / sqrt 2 + eps)."""
    expected = 1e-4 / (math.sqrt(2) * 1e-4 + 1e-4)
    assert call(name, [2e-4, 0], [0, 0]) == pytest.approx([expected, -expected], rel=1e-4)


@needs_trl
@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_normalize_then_sum_divides_twice_whatever_scale_rewards_says(scale_rewards: str) -> None:
    """Groups 0, 2 and 0, 20: both become -+1/sqrt 2 whose standard deviation is sqrt(2/3)."""
    settings = {"multi_objective_aggregation": "normalize_then_sum", "scale_rewards": scale_rewards}
    got = trl._advantages("GRPO", settings)(np.array([0.0, 2, 0, 20]), np.array([0, 0, 1, 1]))
    expected = math.sqrt(1 / 2) / math.sqrt(2 / 3)
    np.testing.assert_allclose(got, [-expected, expected, -expected, expected], rtol=3e-4)


@needs_trl
def test_scale_rewards_batch_keeps_the_ratio_between_groups() -> None:
    got = call("batch", [0, 2, 0, 20], [0, 0, 1, 1])
    assert got[3] / got[1] == pytest.approx(10, rel=FLOAT32)


@needs_trl
def test_the_batch_std_is_of_rewards_and_not_of_advantages() -> None:
    """Two groups 0, 1 and 100, 101: the difference between the groups is in the divisor."""
    rewards = [0.0, 1, 100, 101]
    assert call("batch", rewards, [0, 0, 1, 1])[1] == pytest.approx(0.5 / (std(rewards) + EPS))


@needs_trl
def test_the_defaults() -> None:
    module: Any = importlib.import_module("trl")
    grpo = trl._defaults(module.GRPOConfig)
    assert (grpo["scale_rewards"], grpo["multi_objective_aggregation"]) == (
        "group",
        "sum_then_normalize",
    )
    assert (grpo["loss_type"], grpo["epsilon"], grpo["epsilon_high"]) == ("dapo", 0.2, None)
    rloo = trl._defaults(module.RLOOConfig)
    assert (rloo["normalize_advantages"], rloo["beta"]) == (False, 0.05)


# ---- ours and theirs


@needs_trl
@pytest.mark.parametrize(
    ("name", "ours", "settings"),
    [
        ("group", advantages.grpo, {"eps": EPS}),
        ("batch", advantages.batch_std, {"eps": EPS}),
        ("none", advantages.grpo_no_std, {}),
        ("rloo", advantages.rloo, {}),
    ],
)
def test_ours_is_theirs(
    name: str, ours: Callable[..., FloatArray], settings: dict[str, float]
) -> None:
    function = drive(name)
    for sizes in ([4] * 5, [3, 1, 5, 2, 4]):
        for rewards, groups in cases(sizes):
            for missing in (False, True):
                rewards[0] = NAN if missing else rewards[0]
                expected = ours(rewards, groups, **settings)
                np.testing.assert_allclose(
                    function(rewards, groups), expected, rtol=5e-6, atol=5e-6
                )


# ---- when TRL moves


@needs_trl
def test_a_harness_that_no_longer_works_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module("trl")

    def moved(self: Any, inputs: Any) -> Any:
        return self.reward_pipeline(inputs)

    def constant(self: Any, inputs: Any) -> Any:
        return {"advantages": importlib.import_module("torch").arange(6.0)}

    step = "_generate_and_score_completions"
    monkeypatch.setattr(module.GRPOTrainer, step, moved)
    monkeypatch.setattr(module.RLOOTrainer, step, constant)
    found = {one.name: one for one in trl.estimators()}
    assert all(one.call is None for one in found.values())
    assert found["trl:group"].reason == (
        "the harness of TRL's GRPO trainer raises AttributeError: 'GRPOTrainer' object has no "
        "attribute 'reward_pipeline'"
    )
    assert found["trl:rloo"].reason == (
        "the harness of TRL's RLOO trainer returns advantages that do not follow the rewards"
    )


@needs_trl
def test_a_method_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module("trl")
    monkeypatch.delattr(module.GRPOTrainer, "_calculate_rewards")
    reasons = {one.name: one.reason for one in trl.estimators()}
    assert "expected a method _calculate_rewards, got none" in reasons["trl:batch"]
    assert reasons["trl:rloo"] == ""


@needs_trl
def test_a_loss_type_that_trl_does_not_know_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl, "LOSSES", {"grpo": ("GRPO", {}, ""), "odd": ("GRPO", {}, "")})
    good, bad = trl.aggregations()
    assert good.weights is not None
    assert bad.weights is None
    assert bad.reason == "raises ValueError: Unknown loss type: odd"


# ---- losses


def share(lengths: list[int], loss: str, longest: int) -> list[float]:
    """What a token of each sequence counts, from what TRL documents about the loss type."""
    n, tokens = len(lengths), sum(lengths)
    if loss in ("grpo", "sapo"):  # mean over sequences of the mean over tokens
        return [1 / n / length for length in lengths]
    if loss in ("bnpo", "dapo", "cispo", "vespo"):  # mean over tokens
        return [1 / tokens] * n
    if loss == "dr_grpo":
        return [1 / n / longest] * n
    assert loss in ("luspo", "rloo")  # mean over sequences of the sum over tokens
    return [1 / n] * n


@needs_trl
@pytest.mark.parametrize("loss", trl.LOSSES)
def test_weights_of_a_loss(loss: str) -> None:
    one = next(one for one in trl.aggregations(max_length=16) if one.name == f"trl:{loss}")
    assert one.weights is not None, one.reason
    assert (one.how, one.reason) == ("installed code", "")
    for lengths in ([1, 2, 5], [16, 1], [3], [4, 4, 4, 4]):
        got = one.weights(np.array(lengths))
        np.testing.assert_allclose(got, share(lengths, loss, 16), rtol=1e-6)


@needs_trl
def test_the_default_of_cispo_caps_every_ratio_at_its_epsilon() -> None:
    weights = trl._weights("GRPO", {"loss_type": "cispo", "max_completion_length": 8})
    np.testing.assert_allclose(weights(np.array([1, 3])), [0.2 / 4, 0.2 / 4], rtol=1e-6)


@needs_trl
def test_the_losses_are_those_that_trl_documents() -> None:
    """A loss type that a new TRL adds must be added to `LOSSES`."""
    module: Any = importlib.import_module("trl")
    fields = {f.name: f for f in importlib.import_module("dataclasses").fields(module.GRPOConfig)}
    listed = fields["loss_type"].metadata["help"].partition("Supported values are ")[2]
    named = listed.partition(". ")[0].replace("and", "").split(",")
    assert {name.strip(" '") for name in named} == set(trl.LOSSES) - {"rloo"}


@needs_trl
def test_a_sequence_that_is_too_long_is_an_error() -> None:
    weights = trl.aggregations(max_length=4)[0].weights
    assert weights is not None
    with pytest.raises(InvalidInputError, match=r"expected values in 1\.\.4, got 5 at index 1"):
        weights(np.array([2, 5]))


# ---- real trainers, with a model


REWARDS = [0.0, 1.0, 0.25, 0.25, 0.75, 1.0]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """One step of a real trainer on a tiny model: the trainer, and the batch it made."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    module: Any = importlib.import_module("trl")
    base: Any = importlib.import_module("trl.trainer.base_trainer")
    monkeypatch.setattr(base, "send_telemetry", lambda *a, **k: None, raising=False)
    hub: Any = importlib.import_module("transformers")
    datasets: Any = importlib.import_module("datasets")
    tokenizers: Any = importlib.import_module("tokenizers")
    words = ["<pad>", "<eos>", *"abcdefgh"]
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = hub.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>"
    )
    config = hub.GPT2Config(
        vocab_size=len(words),
        n_embd=8,
        n_layer=1,
        n_head=1,
        n_positions=16,
        eos_token_id=1,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
    )
    hub.set_seed(1)

    def run(trainer: str, **settings: Any) -> tuple[Any, Any]:
        arguments = getattr(module, f"{trainer}Config")(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            max_steps=1,
            per_device_train_batch_size=len(REWARDS),
            num_generations=3,
            max_completion_length=5,
            **{"beta": 0.0, **settings},
        )
        real = getattr(module, f"{trainer}Trainer")(
            model=hub.GPT2LMHeadModel(config),
            reward_funcs=lambda completions, **columns: REWARDS,
            args=arguments,
            train_dataset=datasets.Dataset.from_dict({"prompt": ["a b", "c d", "e f", "g h"]}),
            processing_class=tokenizer,
        )
        batches: list[Any] = []
        original = real._generate_and_score_completions
        real._generate_and_score_completions = lambda x: batches.append(original(x)) or batches[-1]
        real.train()
        return real, batches[0]

    return run


@needs_trl
@pytest.mark.parametrize("name", trl.SUBJECTS)
def test_the_harness_is_the_trainer(name: str, train: Callable[..., tuple[Any, Any]]) -> None:
    trainer, settings, _ = trl.SUBJECTS[name]
    _, batch = train(trainer, **settings)
    got = call(name, REWARDS, [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(got, batch["advantages"].numpy(), rtol=FLOAT32, atol=FLOAT32)


@needs_trl
@pytest.mark.parametrize("loss", trl.LOSSES)
def test_the_weights_give_the_gradient_of_the_trainer(
    loss: str, train: Callable[..., tuple[Any, Any]]
) -> None:
    """With a real model the loss has the gradient of -sum_i w_i A_i (log-probability of sequence i)."""
    torch: Any = importlib.import_module("torch")
    trainer, settings, _ = trl.LOSSES[loss]
    options = settings | ({"loss_type": loss} if trainer == "GRPO" else {})
    real, batch = train(trainer, **options, learning_rate=0.0)
    lengths = batch["completion_mask"].sum(dim=1)
    assert len(set(lengths.tolist())) > 1
    batch["advantages"] = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 0.25])
    one = next(one for one in trl.aggregations(max_length=5) if one.name == f"trl:{loss}")
    assert one.weights is not None
    weights = torch.tensor(one.weights(lengths.numpy()), dtype=torch.float32)
    logprobs = real._get_per_token_logps_and_entropies(
        real.model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
        batch["completion_ids"].shape[1],
    )[0]
    total = (logprobs * batch["completion_mask"]).sum(dim=1)
    parameters = list(real.model.parameters())
    got = torch.autograd.grad(real._compute_loss(real.model, batch), parameters)
    expected = torch.autograd.grad(-(weights * batch["advantages"] * total).sum(), parameters)
    largest = max(one.abs().max() for one in expected)
    assert largest > 1e-4
    for mine, theirs in zip(expected, got, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * largest.item())
