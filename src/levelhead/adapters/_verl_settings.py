"""From the sections of a recipe to verl's settings, and what verl cannot do.

Every key of a recipe ends in one of three ways: it becomes a setting of verl's; it is refused, with
what to do; or it only says how levelhead's own engine would work, and a note says what verl does instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from levelhead import advantages
from levelhead.adapters._verl_overrides import Override, is_key
from levelhead.adapters.verl_data import VerlData
from levelhead.train.config import Optimizer, Recipe

__all__ = ["PARTS", "REFUSALS", "Note", "notes"]

Overrides = Iterator[Override]
Note = tuple[str, str]
"""A key of the recipe, and what verl does about it or what to do."""

ROLLOUT, ACTOR = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"
REWARDS = "reward.custom_reward_function"
AGGREGATIONS = {
    "seq-sum-constant": "seq-mean-token-sum-norm",
    "token-mean": "token-mean",
    "seq-mean-token-mean": "seq-mean-token-mean",
}
OWN_ESTIMATORS = {"grpo": "grpo", "grpo_no_std": "grpo", "rloo": "rloo", "gae": "gae"}
"""Ours that verl has itself: equal on groups of two or more rewards that can be scored."""

PENALTIES = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}
DTYPES = {"mixed": ("fp32", "bfloat16"), "bfloat16": ("bf16", "bfloat16")}
"""Of the weights, and of the arithmetic."""

WITHOUT_LIMIT = 1e9
"""For what verl always limits: no gradient and no value moves this far."""

GPU_TOKENS = 16384
"""Tokens of a pass on a GPU where the recipe leaves it open, as in levelhead's own engine."""


def _run(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    steps, every, tests = recipe.steps, recipe.checkpoint.every, recipe.evaluation
    yield Override("trainer.project_name", "levelhead")
    yield Override("trainer.experiment_name", recipe.name, "name")
    yield Override("trainer.total_training_steps", steps, "steps")
    # One more pass than are full: verl stops at whichever it reaches first. How many prompts it drops
    # is not known here, and a pass always has a step.
    per_epoch = (data.rows or 0) // recipe.rollout.prompts
    counted = per_epoch > 0 and recipe.rollout.long_prompts != "drop"
    epochs = steps // per_epoch + 1 if counted else steps
    yield Override("trainer.total_epochs", epochs, "steps")
    yield Override("trainer.logger", ["console", *recipe.trackers], "trackers")
    yield Override("trainer.default_local_dir", str(out / "checkpoints"))
    yield Override("trainer.validation_data_dir", str(out / "validation"))
    yield Override("trainer.save_freq", every or steps, "checkpoint.every")
    yield Override("trainer.max_actor_ckpt_to_keep", recipe.checkpoint.keep, "checkpoint.keep")
    yield Override("trainer.max_critic_ckpt_to_keep", recipe.checkpoint.keep, "checkpoint.keep")
    yield Override("trainer.test_freq", tests.every or steps, "evaluation.every")
    yield Override("trainer.val_before_train", tests.at_start, "evaluation.at_start")
    for key in (
        "data.seed",
        f"{ROLLOUT}.seed",
        f"{ACTOR}.data_loader_seed",
        "critic.data_loader_seed",
    ):
        yield Override(key, recipe.seed, "seed")


def _data(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    rollout = recipe.rollout
    yield Override("data.train_files", [str(data.train)], "task")
    yield Override("data.val_files", [str(data.evaluation)], "task")
    yield Override("data.train_batch_size", rollout.prompts, "rollout.prompts")
    yield Override("data.max_prompt_length", rollout.max_prompt_tokens, "rollout.max_prompt_tokens")
    yield Override("data.max_response_length", rollout.max_new_tokens, "rollout.max_new_tokens")
    yield Override("data.truncation", "error", "rollout.long_prompts")
    dropped = rollout.long_prompts == "drop"
    yield Override("data.filter_overlong_prompts", dropped, "rollout.long_prompts")
    if recipe.evaluation.prompts is not None:
        yield Override("data.val_max_samples", recipe.evaluation.prompts, "evaluation.prompts")
    for name, value in recipe.model.template_options.items():
        key = f"data.apply_chat_template_kwargs.{name}"
        yield Override(key, value, "model.template_options", new=True)


def _model(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    model, lora = recipe.model, recipe.model.lora
    there = Path(model.path).expanduser()
    path = str(there.absolute()) if there.exists() else model.path
    weights, arithmetic = DTYPES[model.dtype]
    critics = ("critic",) if recipe.algorithm.critic is not None else ()
    for part in ("actor_rollout_ref", *critics):
        yield Override(f"{part}.model.path", path, "model.path")
        key = f"{part}.model.enable_gradient_checkpointing"
        yield Override(key, model.gradient_checkpointing, "model.gradient_checkpointing")
    engines = (f"{ACTOR}.fsdp_config", "actor_rollout_ref.ref.fsdp_config")
    for engine in (*engines, *(f"{critic}.fsdp" for critic in critics)):
        yield Override(f"{engine}.model_dtype", weights, "model.dtype")
        yield Override(f"{engine}.dtype", arithmetic, "model.dtype")
    yield Override(f"{ROLLOUT}.dtype", arithmetic, "model.dtype")
    if lora is not None:
        part = "actor_rollout_ref.model"
        yield Override(f"{part}.lora_rank", lora.rank, "model.lora.rank")
        yield Override(f"{part}.lora_alpha", int(lora.alpha), "model.lora.alpha")
        targets = list(lora.targets) or "all-linear"
        yield Override(f"{part}.target_modules", targets, "model.lora.targets")


def _rollout(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    rollout, tests = recipe.rollout, recipe.evaluation
    yield Override(f"{ROLLOUT}.name", "vllm", "rollout.backend")
    yield Override(f"{ROLLOUT}.n", rollout.group_size, "rollout.group_size")
    yield Override(f"{ROLLOUT}.temperature", rollout.temperature, "rollout.temperature")
    yield Override(f"{ROLLOUT}.val_kwargs.n", tests.samples, "evaluation.samples")
    yield Override(
        f"{ROLLOUT}.val_kwargs.do_sample", tests.temperature > 0, "evaluation.temperature"
    )
    yield Override(f"{ROLLOUT}.val_kwargs.temperature", tests.temperature, "evaluation.temperature")
    for part in (ROLLOUT, f"{ROLLOUT}.val_kwargs"):
        yield Override(f"{part}.top_p", rollout.top_p, "rollout.top_p")
        yield Override(f"{part}.top_k", rollout.top_k or -1, "rollout.top_k")


def _algorithm(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    algorithm, name = recipe.algorithm, recipe.algorithm.estimator
    options, key = dict(algorithm.estimator_options), "algorithm.estimator"
    if name in OWN_ESTIMATORS and not options:
        yield Override("algorithm.adv_estimator", OWN_ESTIMATORS[name], key)
        if OWN_ESTIMATORS[name] == "grpo":
            yield Override("algorithm.norm_adv_by_std_in_grpo", name == "grpo", key)
    else:
        # As text: importing the module of the plug-in here would be one adapter in another.
        yield Override("algorithm.adv_estimator", f"levelhead_{name}", key)
        if options:
            yield Override("algorithm.levelhead", options, "algorithm.estimator_options", new=True)
    yield Override(f"{ACTOR}.clip_ratio_low", algorithm.clip_low, "algorithm.clip_low")
    yield Override(f"{ACTOR}.clip_ratio_high", algorithm.clip_high, "algorithm.clip_high")
    size = recipe.rollout.prompts // algorithm.updates_per_rollout
    yield Override(f"{ACTOR}.ppo_mini_batch_size", size, "algorithm.updates_per_rollout")
    yield Override(f"{ACTOR}.ppo_epochs", algorithm.epochs, "algorithm.epochs")
    mode = AGGREGATIONS[algorithm.aggregation]
    yield Override(f"{ACTOR}.loss_agg_mode", mode, "algorithm.aggregation")
    if algorithm.aggregation == "seq-sum-constant":
        constant = algorithm.constant or recipe.rollout.max_new_tokens
        whole = int(constant) if constant == int(constant) else constant
        yield Override(f"{ACTOR}.loss_scale_factor", whole, "algorithm.constant")
    yield Override(f"{ACTOR}.entropy_coeff", algorithm.entropy_coef, "algorithm.entropy_coef")


def _penalty(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    kl = recipe.algorithm.kl
    in_loss = kl.coef > 0 and kl.place == "loss"
    in_reward = kl.coef > 0 and kl.place == "reward"
    yield Override(f"{ACTOR}.use_kl_loss", in_loss, "algorithm.kl.place")
    yield Override("algorithm.use_kl_in_reward", in_reward, "algorithm.kl.place")
    if in_loss:
        yield Override(f"{ACTOR}.kl_loss_coef", kl.coef, "algorithm.kl.coef")
        yield Override(f"{ACTOR}.kl_loss_type", PENALTIES[kl.estimator], "algorithm.kl.estimator")
    if in_reward:
        yield Override("algorithm.kl_ctrl.kl_coef", kl.coef, "algorithm.kl.coef")
        yield Override("algorithm.kl_penalty", PENALTIES[kl.estimator], "algorithm.kl.estimator")


def _reward(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    reward = recipe.reward
    rule = reward.rule or data.reward
    options = {"rule": rule, "kind": data.kind, "elicitation": data.elicitation}
    optional = {
        "verifier": data.verifier or None,
        "eta": reward.eta if rule in ("log", "trust") else None,
        "weight": reward.weight if rule == "rlcr" else None,
        "floor": reward.floor,
    }
    options |= {name: value for name, value in optional.items() if value is not None}
    yield Override(f"{REWARDS}.path", "pkg://levelhead.adapters.verl_rewards", "reward")
    yield Override(f"{REWARDS}.name", "compute_score", "reward")
    yield Override(f"{REWARDS}.reward_kwargs", options, "reward", new=True)


def _optimizer(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    optimizer, critic = recipe.optimizer, recipe.algorithm.critic
    yield from _adamw(recipe, optimizer, f"{ACTOR}.optim", optimizer.lr, "optimizer.lr")
    if critic is not None:
        yield from _adamw(recipe, optimizer, "critic.optim", critic.lr, "algorithm.critic.lr")
        yield Override("algorithm.gamma", critic.gamma, "algorithm.critic.gamma")
        yield Override("algorithm.lam", critic.lam, "algorithm.critic.lam")
        limit = WITHOUT_LIMIT if critic.clip is None else critic.clip
        yield Override("critic.cliprange_value", limit, "algorithm.critic.clip")


def _adamw(recipe: Recipe, optimizer: Optimizer, part: str, lr: float, key: str) -> Overrides:
    yield Override(f"{part}.lr", lr, key)
    yield Override(f"{part}.weight_decay", optimizer.weight_decay, "optimizer.weight_decay")
    yield Override(f"{part}.betas", list(optimizer.betas), "optimizer.betas")
    if optimizer.eps != Optimizer().eps:
        eps = {"eps": optimizer.eps}
        yield Override(f"{part}.override_optimizer_config", eps, "optimizer.eps")
    norm = WITHOUT_LIMIT if optimizer.max_grad_norm is None else optimizer.max_grad_norm
    yield Override(f"{part}.clip_grad", norm, "optimizer.max_grad_norm")
    yield Override(f"{part}.lr_scheduler_type", optimizer.schedule, "optimizer.schedule")
    if optimizer.warmup_steps:
        # verl's schedule moves once a step, not at every optimizer update.
        steps = optimizer.warmup_steps // _updates_per_step(recipe)
        yield Override(f"{part}.lr_warmup_steps", steps, "optimizer.warmup_steps")


def _updates_per_step(recipe: Recipe) -> int:
    return recipe.algorithm.updates_per_rollout * recipe.algorithm.epochs


def _compute(recipe: Recipe, data: VerlData, out: Path) -> Overrides:
    longest = recipe.rollout.max_prompt_tokens + recipe.rollout.max_new_tokens
    tokens = max(recipe.compute.micro_tokens or GPU_TOKENS, longest)
    yield Override(f"{ACTOR}.use_dynamic_bsz", True, "compute.micro_tokens")
    for part in (ACTOR, "critic") if recipe.algorithm.critic is not None else (ACTOR,):
        yield Override(f"{part}.ppo_max_token_len_per_gpu", tokens, "compute.micro_tokens")


PARTS: tuple[Callable[[Recipe, VerlData, Path], Overrides], ...] = (
    _run,
    _data,
    _model,
    _rollout,
    _algorithm,
    _penalty,
    _reward,
    _optimizer,
    _compute,
)
"""(recipe, data, folder) -> settings, in the order in which they are printed."""


def _unusable_model(recipe: Recipe) -> Iterator[Note]:
    model = recipe.model
    if model.path == "embedded":
        yield (
            "model.path",
            "expected a folder or an id of the Hugging Face hub, got 'embedded', which only "
            "levelhead's own engine builds",
        )
    if model.dtype not in DTYPES:
        yield (
            "model.dtype",
            f"expected mixed or bfloat16, got {model.dtype}: verl computes in bfloat16; mixed keeps "
            "float32 weights",
        )
    if model.device == "cpu":
        yield "model.device", "expected auto or cuda, got cpu: verl trains on GPUs"
    if model.chat_template is not None:
        yield (
            "model.chat_template",
            f"expected null, got {model.chat_template!r}: verl takes the template of the tokenizer; "
            "save it there (tokenizer.chat_template = ...; tokenizer.save_pretrained)",
        )
    unwritable = next(_unwritable(model.template_options), None)
    if unwritable is not None:
        yield (
            "model.template_options",
            f"expected names of letters, digits and underscores, got {unwritable!r}, which cannot be "
            "a key of verl's settings",
        )
    if model.lora is not None and model.lora.dropout:
        yield (
            "model.lora.dropout",
            f"expected 0, got {model.lora.dropout}: verl's adapters have none",
        )
    if model.lora is not None and model.lora.alpha != int(model.lora.alpha):
        yield (
            "model.lora.alpha",
            f"expected a whole number, as verl's lora_alpha is, got {model.lora.alpha}",
        )


def _unwritable(options: Any) -> Iterator[Any]:
    """Keys at any depth that Hydra cannot be told."""
    if isinstance(options, Mapping):
        for key, value in cast(Mapping[Any, Any], options).items():
            if not is_key(key):
                yield key
            yield from _unwritable(value)
    elif isinstance(options, list | tuple):
        for value in cast(list[Any], options):
            yield from _unwritable(value)


def _unusable_algorithm(recipe: Recipe) -> Iterator[Note]:
    algorithm, name = recipe.algorithm, recipe.algorithm.estimator
    row = advantages.TABLE.get(name)
    if ":" in name:
        yield (
            "algorithm.estimator",
            f"expected the name of an estimator, got {name!r}; register the function with verl "
            "(verl.trainer.ppo.core_algos.register_adv_est) in a module that "
            "VERL_USE_EXTERNAL_MODULES names, and set it with --engine-set algorithm.adv_estimator=NAME",
        )
    elif name == "rb_exact":
        yield (
            "algorithm.estimator",
            "expected an advantage estimator, got rb_exact, which differentiates the probability of "
            "every answer; verl's loss sees sampled tokens only, so choose rloo",
        )
    elif row is not None and row.new is not None:
        yield (
            "algorithm.estimator",
            f"expected an estimator without a memory, got {name}: verl names a prompt anew at every "
            "step; choose batch_std",
        )
    if algorithm.critic is not None and algorithm.critic.kind != "separate":
        yield (
            "algorithm.critic.kind",
            f"expected separate, got {algorithm.critic.kind}: verl's critic is a model of its own",
        )
    if algorithm.critic is not None and algorithm.critic.coef != 1.0:
        yield (
            "algorithm.critic.coef",
            f"expected 1, got {algorithm.critic.coef}: verl's critic has an optimizer of its own, and "
            "its loss no weight; change algorithm.critic.lr",
        )


def _unusable_rest(recipe: Recipe) -> Iterator[Note]:
    rule, optimizer = recipe.reward.rule, recipe.optimizer
    if rule is not None and ":" in rule:
        yield (
            "reward.rule",
            f"expected the name of a reward, got {rule!r}, which takes batches; give verl a function of "
            "its form with --engine-set reward.custom_reward_function.path=FILE.py",
        )
    if optimizer.schedule == "linear":
        yield (
            "optimizer.schedule",
            "expected constant or cosine, got linear, which verl does not have",
        )
    updates = _updates_per_step(recipe)
    if optimizer.warmup_steps % updates:
        yield (
            "optimizer.warmup_steps",
            f"expected a multiple of the {updates} updates of a step, got {optimizer.warmup_steps}: "
            "verl's schedule moves once a step",
        )
    if recipe.guard.action == "stop":
        yield (
            "guard.action",
            "expected warn or off, got stop: verl does not stop by calibration; compare its validation "
            "files with `levelhead gate`",
        )


REFUSALS: tuple[Callable[[Recipe], Iterator[Note]], ...] = (
    _unusable_model,
    _unusable_algorithm,
    _unusable_rest,
)
"""recipe -> what verl cannot do, by key."""


def notes(recipe: Recipe, data: VerlData) -> Iterator[Note]:
    """What of a recipe verl does in its own way; nothing of it changes what is trained for.

    Args:
        recipe: one that nothing refuses.
        data: what verl reads of its task.

    Yields:
        The key, and what verl does.
    """
    rollout, compute = recipe.rollout, recipe.compute
    if data.rows is None:
        yield "task.path", f"{data.train} is not on this machine: not checked, epochs not counted"
    if rollout.backend != "vllm":
        yield (
            "rollout.backend",
            f"{rollout.backend} is levelhead's own; verl generates with vllm (or sglang: --engine-set "
            f"{ROLLOUT}.name=sglang)",
        )
    if "max_rows" in rollout.model_fields_set:
        yield "rollout.max_rows", f"verl schedules by memory ({ROLLOUT}.gpu_memory_utilization)"
    if recipe.model.attention != "sdpa":
        yield "model.attention", "verl takes flash attention"
    kl = recipe.algorithm.kl
    if kl.coef > 0 and "reference" in kl.model_fields_set and recipe.model.lora is not None:
        yield "algorithm.kl.reference", "with adapters verl's reference is the model without them"
    if recipe.algorithm.critic is not None:
        yield "algorithm.estimator", "verl whitens the advantages of gae over the batch"
    if recipe.guard.action == "warn":
        yield (
            "guard",
            "verl does not watch the calibration; look at what it leaves: levelhead audit "
            f"OUT/validation/STEP.jsonl --elicitation {data.elicitation}",
        )
    longest = rollout.max_prompt_tokens + rollout.max_new_tokens
    if compute.micro_tokens is not None and compute.micro_tokens < longest:
        yield "compute.micro_tokens", f"at least one whole sequence: {longest}"
    if compute.sharding != "fsdp":
        yield "compute.sharding", "verl shards (FSDP) over all GPUs of its cluster"
    if compute.layout != "auto":
        yield "compute.layout", "verl removes padding and shares no prefixes"
    yield (
        "algorithm",
        "verl's loss also caps tokens of negative advantage at 3 times their old probability "
        f"({ACTOR}.clip_ratio_c)",
    )
