"""The sections of a recipe: what each key means, its unit, its range and its default.

The text below a field is its description in the schema and in the user's page. Defaults are the
calibrated choice: no division by a standard deviation, a constant length normalizer, a proper reward.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from levelhead import advantages, rewards
from levelhead.errors import unknown_name
from levelhead.train._estimator_checks import check_options

__all__ = [
    "ESTIMATORS",
    "RULES",
    "Algorithm",
    "Checkpoint",
    "Compute",
    "Critic",
    "Evaluation",
    "FromScratch",
    "Guard",
    "Kl",
    "Lora",
    "Model",
    "Optimizer",
    "Reward",
    "Rollout",
    "Section",
]

Whole = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]

ESTIMATORS = (*advantages.TABLE, "rb_exact", "gae")
"""What `algorithm.estimator` may name, apart from a function of the user's."""

RULES = (*rewards.TABLE, "correctness")
"""What `reward.rule` may name, apart from a function of the user's."""


class Section(BaseModel):
    """Of a recipe: unknown keys are errors, types are not converted, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


def _named(text: str, choices: tuple[str, ...]) -> str:
    """A name from a table, or a function of the user's, which is loaded later."""
    if ":" not in text and text not in choices:
        raise ValueError(str(unknown_name("", text, choices)).removeprefix(": "))
    return text


class FromScratch(Section):
    """A small Qwen3-architecture model, with a tokenizer made from the task's own texts."""

    layers: Whole = 2
    """Transformer layers."""
    hidden: Whole = 64
    """Width of the residual stream; a multiple of `heads`."""
    heads: Whole = 4
    """Attention heads."""
    kv_heads: Whole = 2
    """Key and value heads; they divide `heads`."""
    intermediate: Whole = 128
    """Width inside of the MLP."""
    vocabulary: Annotated[int, Field(ge=400)] = 2048
    """Tokens at most; the task's most frequent words, then pieces, down to single bytes."""
    warmup_steps: Whole = 800
    """Supervised updates at most in which it learns the answer's format, with uninformative answers."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(
                f"expected hidden / heads to be an even number, got {self.hidden} / {self.heads}"
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"expected kv_heads to divide heads, got {self.kv_heads} and {self.heads}"
            )
        return self


class Lora(Section):
    """Low-rank adapters in place of training every weight (the package peft)."""

    rank: Whole = 16
    """Rank of each update."""
    alpha: Positive = 32.0
    """Scale: an update is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the adapters' inputs that is dropped in training; 0 keeps ratios exactly 1 on-policy."""
    targets: tuple[str, ...] = ()
    """Names of the layers that get one; empty: every linear layer except the LM head."""


class Model(Section):
    """The language model that is trained."""

    path: Annotated[str, Field(min_length=1)] = "embedded"
    """A folder, a hub id, or `embedded`: a small model that is built, warmed up and cached here."""
    from_scratch: FromScratch | None = None
    """Sizes of the embedded model; null: the defaults of this section."""
    dtype: Literal["float32", "bfloat16", "mixed"] = "float32"
    """Of the weights; mixed: float32 weights, bfloat16 arithmetic. Log-probabilities are float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: the GPU where there is one."""
    chat_template: str | None = None
    """File with a chat template, for a tokenizer that has none; null: the tokenizer's."""
    template_options: dict[str, Any] = Field(default_factory=dict)
    """Given to the chat template, e.g. `enable_thinking: false`."""
    system: str | None = None
    """System message put before each prompt; null: none."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention kernel."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    lora: Lora | None = None
    """Train adapters only; null: train every weight."""


class Rollout(Section):
    """How completions are sampled."""

    prompts: Whole = 32
    """Prompts of a step, over all processes."""
    group_size: Whole = 8
    """Completions of each prompt, G."""
    max_prompt_tokens: Whole = 512
    """Longest prompt, in tokens, template included."""
    max_new_tokens: Whole = 16
    """Longest completion, in tokens."""
    temperature: Positive = 1.0
    """Logits are divided by it, in sampling and in the loss alike."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Nucleus; below 1 the samples are no longer from the policy whose gradient is taken."""
    top_k: Count = 0
    """Sample among the k likeliest tokens; 0: all. The same caveat."""
    backend: Literal["native", "transformers", "vllm"] = "native"
    """Who generates; vllm needs the package and a GPU."""
    max_rows: Whole = 512
    """Completions that are generated at once, each with its keys and values in memory: 2 * layers *
    kv_heads * head_dim * bytes for every token."""
    long_prompts: Literal["error", "drop"] = "error"
    """What to do with a prompt that is longer than the limit; dropped ones are counted."""


class Kl(Section):
    """A penalty for moving away from a reference model."""

    coef: Weight = 0.0
    """Weight of the penalty, in reward units per nat; 0: no reference model at all."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    """k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1, with d = ref_logprob - logprob of a sampled token."""
    place: Literal["loss", "reward"] = "loss"
    """In the loss of each token, or subtracted from its reward."""
    reference: Literal["initial", "adapter_off"] = "initial"
    """A copy of the initial weights, or the trained model with its adapters off (LoRA only)."""


class Critic(Section):
    """Who predicts the return of a token, for the estimator gae."""

    kind: Literal["head", "separate"] = "head"
    """A value head on the policy's own trunk, or a model of its own of the same size."""
    lr: Positive = 1e-5
    """Learning rate of the critic's own weights."""
    gamma: Share = 1.0
    """Discount per token."""
    lam: Share = 1.0
    """1: the whole return, unbiased whatever the critic says; below: less variance, some bias."""
    coef: Positive = 1.0
    """Weight of the value loss beside the policy's."""
    clip: Positive | None = None
    """Largest move of a value within a rollout's updates, in reward units; null: no limit."""


class Algorithm(Section):
    """From rewards to a loss."""

    estimator: str = "rloo"
    """An advantage estimator by name, `rb_exact`, `gae`, or `module:function` or `file.py:function`."""
    estimator_options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the estimator, e.g. `eps: 1e-4`."""
    clip_low: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """The likelihood ratio counts down to 1 - clip_low."""
    clip_high: Weight = 0.2
    """The likelihood ratio counts up to 1 + clip_high."""
    updates_per_rollout: Whole = 1
    """Mini-batches of whole groups that a step's rollouts are cut into, one optimizer update each."""
    epochs: Whole = 1
    """Passes over a step's rollouts."""
    aggregation: Literal["seq-sum-constant", "token-mean", "seq-mean-token-mean"] = (
        "seq-sum-constant"
    )
    """How token losses become one: each sequence's sum over a constant, or a mean (length-biased)."""
    constant: Positive | None = None
    """Divisor of seq-sum-constant, in tokens; null: rollout.max_new_tokens."""
    kl: Kl = Field(default_factory=Kl)
    """Penalty for moving away from a reference model."""
    entropy_coef: Weight = 0.0
    """Bonus per nat of the tokens' entropy; any bonus pulls stated probabilities apart."""
    critic: Critic | None = None
    """For the estimator gae only."""

    @field_validator("estimator")
    @classmethod
    def _known(cls, value: str) -> str:
        return _named(value, ESTIMATORS)

    @model_validator(mode="after")
    def _options_exist(self) -> Self:
        check_options("estimator_options", self.estimator, self.estimator_options)
        return self


class Reward(Section):
    """What a completion earns."""

    rule: str | None = None
    """A reward by name, `correctness`, or `module:function` or `file.py:function`; null: the task's."""
    weight: Weight = 1.0
    """Of the calibration term beside correctness, for rlcr; at most 1 for Brier."""
    eta: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.01
    """Predictions are clipped to [eta, 1 - eta] before a log score."""
    floor: float | None = None
    """Reward of malformed output, at most that of the worst valid one; null: equal to that."""

    @field_validator("rule")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return value if value is None else _named(value, RULES)


class Optimizer(Section):
    """AdamW."""

    lr: Positive = 1e-3
    """Peak learning rate."""
    weight_decay: Weight = 0.0
    """Decoupled decay, per update, times the learning rate."""
    betas: tuple[
        Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]
    ] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""
    eps: Positive = 1e-8
    """Added to the root of the second moment."""
    max_grad_norm: Positive | None = 1.0
    """Longer gradients are scaled down to this norm; null: never."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of the learning rate after the warm-up: stays, or falls to 0 at the last update."""
    warmup_steps: Count = 0
    """Optimizer updates in which the learning rate rises from 0."""


class Evaluation(Section):
    """Predictions on held-out prompts: the file, and the metrics of calibration."""

    every: Count = 50
    """Steps between evaluations; 0: only at the end, where there always is one."""
    prompts: Whole | None = None
    """The first so many prompts of the evaluation part; null: all."""
    samples: Whole = 1
    """Completions of each prompt; each is a record of its own."""
    temperature: Weight = 1.0
    """Of sampling; 0: the likeliest token. What users will run is what should be evaluated."""
    at_start: bool = True
    """Also before the first step."""


class Checkpoint(Section):
    """What is needed to go on after an interruption, bit by bit."""

    every: Count = 50
    """Steps between checkpoints; 0: only when it ends or is interrupted."""
    keep: Whole = 2
    """Newest ones that stay on disk."""


class Guard(Section):
    """Watches whether training makes the model overconfident."""

    action: Literal["off", "warn", "stop"] = "warn"
    """What to do when the calibration error rises significantly above the baseline's."""
    level: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    """Probability of a false alarm over a whole run."""
    baseline: Annotated[str, Field(min_length=1)] = "first"
    """`first`: the first evaluation; or a predictions file on the same prompts."""


class Compute(Section):
    """How the work is cut up; results agree to rounding whatever is chosen."""

    micro_tokens: Whole | None = None
    """Tokens of a forward and backward pass, padding included, but at least one whole group; null:
    512 on a CPU, where more only adds padding, and 16384 on a GPU."""
    sharding: Literal["none", "ddp", "fsdp"] = "none"
    """Several processes (torchrun): copies of the model, or shards of it."""
    layout: Literal["auto", "prefix", "padded"] = "auto"
    """prefix: a group's prompt runs once; padded: a row for each completion; auto: for each group the
    cheaper one that the model can do (padded for short prompts with long completions)."""
