"""The gradient of TRL's own loss function against ours, on the same batch of a tiny model.

TRL runs every sequence in a row of its own, padded on both sides; ours shares prompts, in two
micro-batches. The sampling policy is another one than the present, so that ratios are clipped.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

INSTALLED = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(
    not INSTALLED, reason="TRL is not installed here; `make leaderboard` has it"
)
pytestmark = [needs_trl, pytest.mark.filterwarnings("ignore")]  # TRL's dependencies warn

VOCABULARY = 40
PAD, LONGEST, TEMPERATURE = 0, 9, 0.8
PROMPTS = [[5, 9, 3, 7], [11, 2]]
COMPLETIONS = [[4, 8, 1], [4, 6], [12, 13, 14, 15, 16, 17, 18, 19, 1], [3], [7, 1], [20, 21, 22, 1]]
GROUP = np.array([0, 0, 0, 1, 1, 1])
ADVANTAGES = [1.0, -2.0, 0.5, 3.0, -1.0, 0.25]
CLIP_LOW, CLIP_HIGH, KL = 0.2, 0.28, 0.1
TOLERANCE = 1e-5

MODES = {
    "grpo": "seq-mean-token-mean",
    "dr_grpo": "seq-sum-constant",
    "bnpo": "token-mean",
    "dapo": "token-mean",
}
"""TRL's `loss_type` -> our aggregation; in one process, and without accumulation, the last two agree."""


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's trainer around an untrained model, after a step at rate 0 that sets it up."""
    torch: Any = importlib.import_module("torch")
    hub: Any = importlib.import_module("transformers")
    tokenizers: Any = importlib.import_module("tokenizers")
    datasets: Any = importlib.import_module("datasets")
    module: Any = importlib.import_module("trl")
    torch.set_num_threads(1)
    words = ["<pad>", "<eos>", *(f"w{i}" for i in range(2, VOCABULARY))]
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = hub.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>"
    )
    config = hub.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.3,
        eos_token_id=1,
        pad_token_id=PAD,
    )
    hub.set_seed(1)
    options = module.GRPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        max_steps=1,
        learning_rate=0.0,
        per_device_train_batch_size=len(COMPLETIONS),
        num_generations=3,
        max_completion_length=LONGEST,
        temperature=TEMPERATURE,
        epsilon=CLIP_LOW,
        epsilon_high=CLIP_HIGH,
        use_bias_correction_kl=False,  # plain k3, as ours
    )
    real = module.GRPOTrainer(
        model=hub.Qwen3ForCausalLM(config),
        reward_funcs=lambda completions, **columns: [float(len(c)) for c in completions],
        args=options,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["w5 w9", "w7 w8"]}),
        processing_class=tokenizer,
    )
    real.train()
    return real


def filled(rows: list[list[int]], *, left: bool) -> tuple[Any, Any]:
    """Token ids and mask, as TRL pads them."""
    torch: Any = importlib.import_module("torch")
    width = max(map(len, rows))
    ids, mask = np.full((2, len(rows), width), PAD)
    mask[:] = 0
    for i, row in enumerate(rows):
        part = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, part], mask[i, part] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def numbers(trainer: Any, spread: float) -> Any:
    """(B, T) log-probabilities of another policy: evenly to both sides of the present one's."""
    torch: Any = importlib.import_module("torch")
    prompt_ids, prompt_mask = filled([PROMPTS[g] for g in GROUP], left=True)
    ids, mask = filled(COMPLETIONS, left=False)
    with torch.no_grad():
        present = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([prompt_ids, ids], dim=1),
            torch.cat([prompt_mask, mask], dim=1),
            LONGEST,
        )[0]
    n = int(mask.sum())
    shift = torch.linspace(-spread, spread, n)[8 * torch.arange(n) % n]
    return present.masked_scatter(mask.bool(), present[mask.bool()] - shift)


def theirs(trainer: Any, loss_type: str, beta: float) -> list[Any]:
    torch: Any = importlib.import_module("torch")
    prompt_ids, prompt_mask = filled([PROMPTS[g] for g in GROUP], left=True)
    completion_ids, completion_mask = filled(COMPLETIONS, left=False)
    trainer.loss_type, trainer.beta = loss_type, beta
    loss = trainer._compute_loss(
        trainer.model,
        {
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "completion_ids": completion_ids,
            "completion_mask": completion_mask,
            "advantages": torch.tensor(ADVANTAGES),
            "old_per_token_logps": numbers(trainer, 0.4),
            "ref_per_token_logps": numbers(trainer, 1.0),
            "num_items_in_batch": completion_mask.sum(),
        },
    )
    return torch.autograd.grad(loss, list(trainer.model.parameters()))


def ours(trainer: Any, mode: str, beta: float, layout: Any) -> list[Any]:
    torch: Any = importlib.import_module("torch")
    losses: Any = importlib.import_module("levelhead.losses")
    packing: Any = importlib.import_module("levelhead.train.packing")
    policies: Any = importlib.import_module("levelhead.train.policy")
    policy = policies.Policy(trainer.model)
    old, reference = numbers(trainer, 0.4), numbers(trainer, 1.0)
    tokens = sum(map(len, COMPLETIONS))
    total: Any = 0.0
    clipped = 0.0
    for prompt, ids in enumerate(PROMPTS):
        rows = np.flatnonzero(prompt == GROUP)
        packed = packing.pack(
            [np.array(ids)],
            [np.array(COMPLETIONS[i]) for i in rows],
            np.zeros(len(rows), dtype=np.int64),
            layout=layout,
        )
        scored = policy(packed, temperature=TEMPERATURE)
        width = packed.mask.shape[1]
        weights = losses.sequence_weights(
            packed.mask.sum(dim=1),
            mode=mode,
            constant=float(LONGEST) if mode == "seq-sum-constant" else None,
            n_sequences=len(COMPLETIONS),
            n_tokens=tokens,
        )
        result = losses.policy_loss(
            scored.logprobs,
            old[rows, :width],
            torch.tensor(ADVANTAGES)[rows],
            packed.mask,
            weights,
            clip_low=CLIP_LOW,
            clip_high=CLIP_HIGH,
        )
        distance = losses.kl_loss(
            scored.logprobs, reference[rows, :width], packed.mask, weights, estimator="k3"
        )
        clipped += result.statistics["clipped"]
        total = total + result.loss + beta * distance
    assert clipped > 2.0
    return torch.autograd.grad(total, list(trainer.model.parameters()))


def apart(mine: list[Any], other: list[Any]) -> float:
    """Largest difference of two gradients, in units of the largest entry."""
    largest = max(float(one.abs().max()) for one in other)
    assert largest > 1e-3
    pairs = zip(mine, other, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs) / largest


@pytest.fixture(scope="module")
def gradient(trainer: Any) -> Callable[[str, float], list[Any]]:
    return functools.cache(functools.partial(theirs, trainer))


@pytest.mark.parametrize("beta", [0.0, KL])
@pytest.mark.parametrize("loss_type", MODES)
def test_our_gradient_is_that_of_the_trainer(
    loss_type: str, beta: float, trainer: Any, gradient: Callable[[str, float], list[Any]]
) -> None:
    expected = gradient(loss_type, beta)
    for layout in ("prefix", "padded"):
        assert apart(ours(trainer, MODES[loss_type], beta, layout), expected) < TOLERANCE


def test_another_aggregation_has_another_gradient(
    trainer: Any, gradient: Callable[[str, float], list[Any]]
) -> None:
    for loss_type, mode in MODES.items():
        for other in set(MODES.values()) - {mode}:
            assert apart(ours(trainer, other, 0.0, "prefix"), gradient(loss_type, 0.0)) > 1e-2
    without = ours(trainer, "token-mean", 0.0, "prefix")
    assert apart(without, gradient("bnpo", KL)) > 1e-3


def test_advantages_are_those_of_the_trainer(trainer: Any) -> None:
    """One reward function, as it is: the estimator with TRL's epsilon."""
    torch: Any = importlib.import_module("torch")
    advantages: Any = importlib.import_module("levelhead.advantages")
    earned = [0.5, 0.25, 1.0, 0.0, 0.125, 0.125]
    trainer.reward_funcs, trainer.beta = [lambda completions, **columns: earned], 0.0
    rows = [{"prompt": "w5 w9"}] * 3 + [{"prompt": "w7 w8"}] * 3
    batch = trainer._generate_and_score_completions(rows)
    mine = advantages.grpo(earned, [0, 0, 0, 1, 1, 1], eps=1e-4)
    torch.testing.assert_close(
        batch["advantages"].double(), torch.tensor(mine), rtol=1e-5, atol=1e-6
    )
