"""A recipe without the training: everything that can be checked before a GPU is paid for.

The data is read, every rule of the recipe is checked, a prompt is rendered and tokenized, the reward is
asked about good and bad completions, and the size of the run is told. Of a model that is not on this
machine only the name is known; nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from levelhead._text import plural
from levelhead.errors import DataWarning, InvalidInputError, LevelheadError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train.answers import AnswerTrie
from levelhead.train.build import make_rewarder
from levelhead.train.config import FromScratch, Model, Recipe, check_task
from levelhead.train.embedded import tokenizer_of
from levelhead.train.experience import NOT_OURS, Estimate, check_tags
from levelhead.train.model import EMBEDDED, read_template, render

__all__ = ["DryRun", "dry_run"]

MALFORMED = "I would rather not say."
TRIED = np.array([-0.1, -0.1, -0.7, -2.3, -0.3, -0.3, -1.2, -1.2])
"""Rewards, over and over, for the estimator to show what it makes of the first group."""
CHECKED_PROMPTS = 2000
"""Prompts whose tokens are counted; more would only refine the longest one."""


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run would be.

    Attributes:
        lines: (what, what it is), for a table.
        problems: what would stop it, one sentence each.
    """

    lines: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


def dry_run(recipe: Recipe) -> DryRun:
    """Check a recipe without training.

    Args:
        recipe: what would be done.

    Returns:
        What it would be, and what would stop it.
    """
    lines: list[tuple[str, str]] = []
    problems: list[str] = []
    try:
        task = make_task(recipe.task)
        check_task(recipe, task)
    except LevelheadError as error:
        return DryRun((), (str(error),))
    lines += _of_task(task)
    for part in (_of_model, _of_reward, _of_estimator):
        try:
            lines += part(recipe, task)
        except LevelheadError as error:
            problems.append(str(error))
    lines += _of_size(recipe, task)
    return DryRun(tuple(lines), tuple(problems))


def _of_task(task: Task) -> list[tuple[str, str]]:
    lines = [
        (
            "task",
            f"{task.name}: {plural(len(task.train), 'training prompt')}, "
            f"{len(task.evaluation)} held out",
        ),
    ]
    if task.kind == "event":
        rate = float(np.mean([p.outcome for p in task.train if p.outcome is not None]))
        lines.append(
            ("outcomes", f"the event happens in {100 * rate:.1f}% of the training prompts")
        )
    lines.append(("prompt", _last(task.train[0])))
    return lines


def _last(prompt: Prompt) -> str:
    return " ".join(prompt.messages[-1]["content"].split())


def _of_model(recipe: Recipe, task: Task) -> list[tuple[str, str]]:
    """Size and tokenizer, where the model is here."""
    tokenizer, config, text = _here(recipe.model, task)
    lines = [("model", text)]
    if tokenizer is None:
        return lines
    check_tags(tokenizer, task)
    lengths: list[int] = []
    longest: Prompt = task.train[0]
    for prompt in [*task.train, *task.evaluation][:CHECKED_PROMPTS]:
        ids = render(
            tokenizer,
            prompt,
            system=recipe.model.system,
            template_options=recipe.model.template_options,
        )
        if len(ids) > max(lengths, default=0):
            longest = prompt
        lengths.append(len(ids))
    first = render(
        tokenizer,
        task.train[0],
        system=recipe.model.system,
        template_options=recipe.model.template_options,
    )
    lines.append(("as the model sees it", repr(tokenizer.decode(first.tolist()))))
    lines.append(
        (
            "prompt tokens",
            f"{int(np.median(lengths))} in the middle, {max(lengths)} at most "
            f"(limit {recipe.rollout.max_prompt_tokens})",
        )
    )
    if max(lengths) > recipe.rollout.max_prompt_tokens and recipe.rollout.long_prompts == "error":
        raise InvalidInputError(
            f"rollout.max_prompt_tokens: expected at most {recipe.rollout.max_prompt_tokens} tokens, "
            f"got {max(lengths)} in prompt {longest.prompt_id!r}; raise the limit, or set "
            "rollout.long_prompts=drop"
        )
    lines += _of_cache(recipe, config, max(lengths))
    if task.answers:
        sample = task.answers[len(task.answers) // 2]
        ids = tokenizer.encode(f"{task.opening}{sample}{task.closing}", add_special_tokens=False)
        lines.append(("answer tokens", " ".join(repr(tokenizer.decode([i])) for i in ids)))
        if recipe.algorithm.estimator == "rb_exact":
            trie = AnswerTrie.build(tokenizer, task.answers, task.opening, task.closing)
            lines.append(
                (
                    "exact answers",
                    f"{len(task.answers)} answers from "
                    f"{plural(len(trie.nodes), 'position')} of the model",
                )
            )
    _check_room(tokenizer, recipe, task)
    return lines


def _check_room(tokenizer: Any, recipe: Recipe, task: Task) -> None:
    """Raise where a well-formed reply cannot end before the limit."""
    texts = [text for text, _ in _samples(task) if text != MALFORMED]
    sizes = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    limit, most = recipe.rollout.max_new_tokens, max(sizes)
    if most > limit:
        raise InvalidInputError(
            f"rollout.max_new_tokens: expected at least {most}, the tokens of "
            f"{texts[sizes.index(most)]!r}, got {limit}; no reply would be well formed"
        )


def _of_cache(recipe: Recipe, config: Any, prompt_tokens: int) -> list[tuple[str, str]]:
    """Keys and values of the completions that are generated together; vllm keeps its own."""
    if config is None or recipe.rollout.backend == "vllm":
        return []
    config = config.get_text_config()
    each = _cache_bytes(config, 2 if recipe.model.dtype == "bfloat16" else 4)
    if each is None:
        return []
    rollout = recipe.rollout
    rows = min(rollout.max_rows, rollout.prompts * rollout.group_size)
    tokens = prompt_tokens + rollout.max_new_tokens
    total = rows * tokens * each / 2**20
    size = f"{total:,.1f} MiB" if total < 1024 else f"{total / 1024:,.1f} GiB"
    return [
        (
            "keys and values",
            f"{size} at most: {plural(rows, 'completion')} at once (rollout.max_rows) x "
            f"{tokens} tokens x {each:,} bytes",
        )
    ]


def _cache_bytes(config: Any, width: int) -> int | None:
    """Memory of the keys and values of one token.

    bytes = 2 * layers * kv_heads * head_dim * width

    Args:
        config: of a Hugging Face text model.
        width: bytes of a number. With bfloat16 arithmetic on float32 weights it is 4: the rotation of
            the keys is in float32, and the cache follows.

    Returns:
        Bytes, or None where the configuration does not tell (recurrent and compressed states).
    """
    layers, heads = (
        getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads")
    )
    kinds = getattr(config, "layer_types", None) or ()
    known = all(kind.endswith("_attention") and kind != "linear_attention" for kind in kinds)
    if not layers or not heads or not known or getattr(config, "kv_lora_rank", None):
        return None
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return 2 * layers * kv_heads * head_dim * width


def _here(options: Model, task: Task) -> tuple[Any, Any, str]:
    """Tokenizer and configuration, where they can be had without a download; the model in words."""
    if options.path == EMBEDDED:
        sizes = options.from_scratch or FromScratch()
        return (
            tokenizer_of(task, sizes.vocabulary),
            None,
            (
                f"embedded: {plural(sizes.layers, 'layer')} x {sizes.hidden}, made for this task and "
                "warmed up before the first run"
            ),
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(options.path, local_files_only=True)
        config = AutoConfig.from_pretrained(options.path, local_files_only=True)
    except (OSError, ValueError):
        text = f"{options.path}, not on this machine: its tokens and its size are not checked"
        return None, None, text
    if options.chat_template is not None:
        tokenizer.chat_template = read_template(options.chat_template)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    n = sum(p.numel() for p in model.parameters())
    size = 2 if options.dtype == "bfloat16" else 4
    # Weights, gradients and AdamW's two moments; adapters train next to nothing of them.
    copies = 1 if options.lora is not None else 4
    gib = copies * size * n / 2**30
    return (
        tokenizer,
        config,
        (
            f"{options.path}: {n / 1e6:,.1f} million parameters, {gib:,.1f} GiB with gradients and "
            "optimizer, activations apart"
        ),
    )


def _of_reward(recipe: Recipe, task: Task) -> list[tuple[str, str]]:
    """What some completions would earn."""
    rewarder = make_rewarder(recipe, task)
    lines = [("reward", f"{rewarder.name}; malformed output {_number(rewarder.floor)}")]
    for text, prompt in _samples(task):
        with warnings.catch_warnings():  # that one of them is malformed is the point
            warnings.simplefilter("ignore", DataWarning)
            judged = rewarder([prompt], [text])
        outcome = "" if prompt.outcome is None else f" when the outcome is {prompt.outcome:g}"
        lines.append((f"  {text}", f"{_number(judged.rewards[0])}{outcome}"))
    return lines


def _samples(task: Task) -> list[tuple[str, Prompt]]:
    if task.kind == "event":
        by_outcome = {p.outcome: p for p in reversed(task.train)}
        said = [f"{task.opening}{a}{task.closing}" for a in (task.answers or ("10", "90"))]
        texts = [said[0], said[len(said) // 2], said[-1], MALFORMED]
        return [(t, by_outcome[y]) for t in texts for y in (1.0, 0.0) if y in by_outcome]
    prompt = task.train[0]
    right = prompt.targets[0] if prompt.targets else "?"
    form = (
        "{}{}{}"
        if task.elicitation.startswith("percent")
        else ("{}{}{}<confidence>0.9</confidence>")
    )
    texts = [form.format(task.opening, a, task.closing) for a in (right, "surely not this")]
    return [(t, prompt) for t in (*texts, MALFORMED)]


def _of_estimator(recipe: Recipe, task: Task) -> list[tuple[str, str]]:
    name = recipe.algorithm.estimator
    estimate, lines = Estimate(recipe.algorithm), [("estimator", name)]
    if name not in NOT_OURS:
        n, size = recipe.rollout.prompts, recipe.rollout.group_size
        tried = np.resize(TRIED, n * size)
        found = estimate.of(tried, np.repeat(np.arange(n), size))
        some = slice(min(size, 4))
        rewards, advantages = (" ".join(map(_number, row[some])) for row in (tried, found))
        lines.append((f"  rewards {rewards}", f"advantages {advantages}"))
    return lines


def _of_size(recipe: Recipe, task: Task) -> list[tuple[str, str]]:
    rollout, algorithm = recipe.rollout, recipe.algorithm
    n = rollout.prompts * rollout.group_size
    epochs = recipe.steps * rollout.prompts / len(task.train)
    return [
        (
            "a step",
            f"{rollout.prompts} prompts x {rollout.group_size} = {n} completions of at most "
            f"{plural(rollout.max_new_tokens, 'token')}, "
            f"{plural(algorithm.updates_per_rollout * algorithm.epochs, 'update')}",
        ),
        (
            "the run",
            f"{plural(recipe.steps, 'step')}, {plural(recipe.updates, 'update')}, "
            f"{recipe.steps * n:,} completions, {epochs:.1f} passes over the prompts",
        ),
    ]


def _number(value: float) -> str:
    return "not known in advance" if math.isnan(value) else f"{value:.4g}"
