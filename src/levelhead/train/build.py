"""From a recipe to everything that a step works with."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from levelhead._arrays import IntArray
from levelhead._text import plural
from levelhead.errors import ConfigError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train.answers import AnswerTrie
from levelhead.train.backends import make_sampler
from levelhead.train.config import Optimizer, Recipe, check_task
from levelhead.train.distributed import Ranks, Weights, shard
from levelhead.train.experience import Estimate, PromptSet, check_tags, text_of
from levelhead.train.loop import Trainer
from levelhead.train.model import Loaded, load, pick_device, render
from levelhead.train.packing import Layout
from levelhead.train.parts import Parts
from levelhead.train.policy import Policy, supports_prefix
from levelhead.train.reference import Reference
from levelhead.train.reward import Rewarder
from levelhead.train.sampling import Sampling

__all__ = ["Run", "build", "device_of", "make_rewarder", "rendered"]

RATES = ("attention_dropout", "activation_dropout", "hidden_dropout")
"""Where layers keep the rate of a dropout that is no module of its own."""


@dataclasses.dataclass
class Run:
    """A run that is ready to step.

    Attributes:
        recipe: what to do.
        task: the prompts and how answers are judged.
        loaded: model and tokenizer.
        trainer: takes steps.
        parts: what it works with.
        evaluation: held-out prompts with their tokens.
        weights: of policy and critic, with the optimizer.
        dropped: training and evaluation prompts that were too long.
    """

    recipe: Recipe
    task: Task
    loaded: Loaded
    trainer: Trainer
    parts: Parts
    evaluation: PromptSet
    weights: Weights
    dropped: int


def build(
    recipe: Recipe, *, say: Callable[[str], None] | None = None, ranks: Ranks | None = None
) -> Run:
    """Load the data and the model and put the pieces together.

    Args:
        recipe: what to do.
        say: told in a few words what is being done; it can take a while.
        ranks: this process among all; None joins them.

    Returns:
        The run.

    Raises:
        ConfigError: something in the recipe does not fit the data, the model or the machine.
        RecordError: the data cannot be read.
    """
    tell = say or (lambda text: None)
    device = device_of(recipe)
    ranks = ranks or Ranks.join(device)
    tell("reading the task")
    task = make_task(recipe.task)
    check_task(recipe, task)
    loaded = _loaded(recipe, task, ranks, tell)
    check_tags(loaded.tokenizer, task)
    tell("tokenizing the prompts")
    train, short = rendered(recipe, task.train, loaded.tokenizer)
    held_out = list(task.evaluation)[: recipe.evaluation.prompts]
    evaluation, shorter = rendered(recipe, held_out, loaded.tokenizer)
    if len(train.prompts) < 1:
        raise ConfigError(
            f"rollout.max_prompt_tokens: all {plural(short, 'training prompt')} are longer than "
            f"{recipe.rollout.max_prompt_tokens} tokens; raise the limit"
        )
    if len(train.prompts) < recipe.rollout.prompts:
        raise ConfigError(
            f"rollout.prompts: expected at most the {plural(len(train.prompts), 'training prompt')} that "
            f"stay without the {short} of more than {recipe.rollout.max_prompt_tokens} tokens, got "
            f"{recipe.rollout.prompts}; lower it, or raise rollout.max_prompt_tokens"
        )
    parts, weights = _parts(recipe, task, loaded, train, ranks, device)
    trainer = Trainer(recipe, parts, text_of(loaded.tokenizer))
    return Run(recipe, task, loaded, trainer, parts, evaluation, weights, dropped=short + shorter)


def _loaded(recipe: Recipe, task: Task, ranks: Ranks, tell: Callable[[str], None]) -> Loaded:
    """The model; what has to be made for it first is made by the first rank alone."""
    tell("loading the model")
    torch.manual_seed(recipe.seed)

    def told(done: int, steps: int) -> None:
        tell(f"making the embedded model, {100 * done // steps}%")

    if not ranks.first:
        ranks.wait()
        return load(recipe.model, task=task, seed=recipe.seed)
    loaded = load(recipe.model, task=task, seed=recipe.seed, progress=told)
    ranks.wait()
    return loaded


def _parts(
    recipe: Recipe, task: Task, loaded: Loaded, data: PromptSet, ranks: Ranks, device: torch.device
) -> tuple[Parts, Weights]:
    algorithm, compute = recipe.algorithm, recipe.compute
    layout = _layout(recipe, loaded.model)
    _set_modes(recipe, loaded.model)
    critic = algorithm.critic
    policy = Policy(loaded.model, value_head=critic is not None and critic.kind == "head")
    separate: nn.Module | None = None
    if critic is not None and critic.kind == "separate":
        separate = Policy(copy.deepcopy(loaded.model), value_head=True)
        inner: Any = separate.model
        head = inner.get_output_embeddings().weight
        if head is not inner.get_input_embeddings().weight:
            head.requires_grad_(False)  # a critic predicts no tokens, and ranks wait for gradients
    reference = None
    if algorithm.kl.coef > 0:
        reference = Reference(
            policy, algorithm.kl.reference, sharding=compute.sharding, ranks=ranks
        )
    models = nn.ModuleDict({"policy": policy})
    forward = shard(policy, compute.sharding, ranks)
    if reference is not None:
        reference.follow(forward)
    critic_forward = None
    if separate is not None:
        models["critic"] = separate
        critic_forward = shard(separate, compute.sharding, ranks)
    optimizer = _optimizer(recipe, policy, separate)
    sampler = make_sampler(
        recipe.rollout.backend,
        model=policy.model,
        tokenizer=loaded.tokenizer,
        pad_id=loaded.pad_id,
        max_rows=recipe.rollout.max_rows,
    )
    trie = None
    if algorithm.estimator == "rb_exact":
        trie = AnswerTrie.build(loaded.tokenizer, task.answers, task.opening, task.closing)
    parts = Parts(
        data=data,
        sampler=sampler,
        sampling=_sampling(recipe, loaded),
        rewarder=make_rewarder(recipe, task),
        estimate=Estimate(algorithm),
        tokenizer=loaded.tokenizer,
        policy=policy,
        forward=forward,
        critic=critic_forward,
        reference=reference,
        optimizer=optimizer,
        schedule=_schedule(optimizer, recipe.optimizer, recipe.updates),
        trie=trie,
        ranks=ranks,
        device=device,
        layout=layout,
        mixed=recipe.model.dtype == "mixed",
    )
    return parts, Weights(models, optimizer)


def _sampling(recipe: Recipe, loaded: Loaded) -> Sampling:
    options = recipe.rollout
    return Sampling(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        stop_ids=tuple(loaded.stop_ids),
    )


def device_of(recipe: Recipe) -> torch.device:
    """The device that a recipe asks for.

    Args:
        recipe: whose `model.device` it is.

    Returns:
        The GPU of this rank, or the CPU.

    Raises:
        ConfigError: a GPU where there is none.
    """
    device = pick_device(recipe.model.device)
    if device.type == "cpu":
        return device
    index = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def make_rewarder(recipe: Recipe, task: Task) -> Rewarder:
    """What completions of a task earn by a recipe.

    Args:
        recipe: names the rule and its options.
        task: says which rule suits it where the recipe does not.

    Returns:
        The rewarder.
    """
    reward = recipe.reward
    return Rewarder(
        reward.rule or task.default_reward,
        task=task,
        weight=reward.weight,
        eta=reward.eta,
        floor=reward.floor,
    )


def rendered(recipe: Recipe, prompts: Sequence[Prompt], tokenizer: Any) -> tuple[PromptSet, int]:
    """Prompts as the model sees them, without those that are too long.

    Args:
        recipe: the chat template's options, the limit, and what to do with longer ones.
        prompts: of the task.
        tokenizer: of the model.

    Returns:
        The prompts that stay, and how many were dropped.

    Raises:
        ConfigError: a prompt above the limit where none may be dropped.
    """
    kept: list[Prompt] = []
    tokens: list[IntArray] = []
    limit = recipe.rollout.max_prompt_tokens
    for prompt in prompts:
        ids = render(
            tokenizer,
            prompt,
            system=recipe.model.system,
            template_options=recipe.model.template_options,
        )
        if len(ids) > limit:
            if recipe.rollout.long_prompts == "error":
                raise ConfigError(
                    f"rollout.max_prompt_tokens: expected at most {limit} tokens, got {len(ids)} in "
                    f"prompt {prompt.prompt_id!r}; raise the limit, or set rollout.long_prompts=drop"
                )
            continue
        kept.append(prompt)
        tokens.append(ids)
    return PromptSet(kept, tokens, recipe.seed), len(prompts) - len(kept)


def _set_modes(recipe: Recipe, model: nn.Module) -> None:
    """Checkpointing and the adapters' dropout work in training mode, which the model is not in.

    Any other dropout stays off: what is trained must be what was sampled.
    """
    dropout = recipe.model.lora is not None and recipe.model.lora.dropout > 0
    if not (recipe.model.gradient_checkpointing or dropout):
        return
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and "lora_dropout" not in name:
            module.eval()
        for rate in RATES:
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)


def _layout(recipe: Recipe, model: nn.Module) -> Layout | Literal["auto"]:
    wanted = recipe.compute.layout
    if wanted == "padded":
        return "padded"
    fits = supports_prefix(model)
    if wanted == "prefix" and not fits:
        raise ConfigError(
            "compute.layout: prefix does not give this model's own numbers (sliding windows, "
            "recurrent layers, or a kernel without masks); set it to auto or padded"
        )
    return wanted if fits else "padded"


def _optimizer(recipe: Recipe, policy: Policy, critic: nn.Module | None) -> torch.optim.AdamW:
    options = recipe.optimizer
    head = list(policy.value_head.parameters()) if policy.value_head is not None else []
    heads = {id(p) for p in head}
    own = [p for p in policy.parameters() if p.requires_grad and id(p) not in heads]
    values = head + ([] if critic is None else [p for p in critic.parameters() if p.requires_grad])
    groups: list[dict[str, Any]] = [{"params": own, "lr": options.lr}]
    if values and recipe.algorithm.critic is not None:
        groups.append({"params": values, "lr": recipe.algorithm.critic.lr})
    return torch.optim.AdamW(
        groups,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        fused=recipe.compute.sharding != "fsdp",
    )


def _schedule(
    optimizer: torch.optim.Optimizer, options: Optimizer, updates: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Factors of the learning rate by update: a rise from 0, then constant, or down to 0."""

    def factor(update: int) -> float:
        if update < options.warmup_steps:
            return (update + 1) / (options.warmup_steps + 1)
        if options.schedule == "constant":
            return 1.0
        left = 1.0 - (update - options.warmup_steps) / max(1, updates - options.warmup_steps)
        left = max(0.0, left)
        return left if options.schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
