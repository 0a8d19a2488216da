"""Supervised fine-tuning and DPO by TRL's own trainers, from a task's prompts; what comes out is a model.

Neither is a calibrated method. They are what a run of ours is compared with, or begins from, so nothing
of TRL is changed: these functions turn prompts and texts into its rows, and save the model in a folder
that `model.path` of a recipe takes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from levelhead._arrays import codes, vector
from levelhead._optional import optional_import
from levelhead.errors import ConfigError, InvalidInputError, unknown_name
from levelhead.tasks import Prompt

__all__ = ["Pair", "dpo", "preference_pairs", "sft"]

OURS = ("output_dir", "seed")
"""Settings of TRL that are arguments here."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two completions of one prompt.

    Attributes:
        prompt: what was asked.
        chosen: the better completion.
        rejected: the worse one.
    """

    prompt: Prompt
    chosen: str
    rejected: str


def preference_pairs(
    prompts: Sequence[Prompt], texts: Sequence[str], rewards: ArrayLike, group: ArrayLike
) -> list[Pair]:
    """The best and the worst completion of every group.

    Args:
        prompts: (N,) the prompt of each completion, one for each group.
        texts: (N,) completions.
        rewards: (N,) higher is better, in any unit; NaN cannot be scored and is left out.
        group: (N,) labels; completions of one prompt have the same.

    Returns:
        One pair for each group, in the order of its first completion.

    Raises:
        InvalidInputError: lengths that differ, an infinite reward, or different prompts in a group.

    Edge cases: a group whose rewards are equal, or of which fewer than two count, has no pair; of
        equal rewards the first one counts.

    Example:
        >>> prompt = Prompt("a", ({"role": "user", "content": "?"},), outcome=1.0)
        >>> pairs = preference_pairs([prompt] * 3, ["10", "90", "50"], [0.2, 0.9, 0.5], [0, 0, 0])
        >>> pairs[0].chosen, pairs[0].rejected
        ('90', '10')
    """
    earned = vector("rewards", rewards)
    if np.isinf(earned).any():
        first = int(np.flatnonzero(np.isinf(earned))[0])
        raise InvalidInputError(
            f"rewards: expected finite numbers or NaN, got {earned[first]} at index {first}"
        )
    labels = codes("group", group, earned.size)
    for name, given in (("prompts", prompts), ("texts", texts)):
        if len(given) != earned.size:
            raise InvalidInputError(
                f"{name}: expected {earned.size}, one for each reward, got {len(given)}"
            )
    pairs: list[Pair] = []
    for label in dict.fromkeys(labels.tolist()):
        rows = np.flatnonzero(labels == label)
        names = {prompts[i].prompt_id for i in rows.tolist()}
        if len(names) > 1:
            raise InvalidInputError(
                f"group: expected one prompt in each group, got {', '.join(sorted(names))} in one"
            )
        rows = rows[~np.isnan(earned[rows])]
        if rows.size == 0 or earned[rows].min() == earned[rows].max():
            continue
        best, worst = (int(rows[i]) for i in (earned[rows].argmax(), earned[rows].argmin()))
        pairs.append(Pair(prompts[best], texts[best], texts[worst]))
    return pairs


def sft(
    model: str,
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Let a model imitate texts, by TRL's `SFTTrainer`; the loss is that of the completions only.

    Args:
        model: a folder or an id of the Hugging Face hub, with a chat template.
        prompts: (N,) of a task.
        texts: (N,) what should be said.
        out: a folder; the model goes into its folder `model`.
        seed: of the order and of dropout.
        settings: fields of TRL's `SFTConfig`; what is not named keeps TRL's default.

    Returns:
        The folder of the trained model.

    Raises:
        MissingDependencyError: TRL is not installed.
        ConfigError: a setting that is an argument here, or a loss that is not a number.
        InvalidInputError: a setting that TRL does not have, no rows, or lengths that differ.
    """
    if len(texts) != len(prompts):
        raise InvalidInputError(
            f"texts: expected {len(prompts)}, one for each prompt, got {len(texts)}"
        )
    rows = [
        {"prompt": _messages(prompt), "completion": _reply(text)}
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    given = {"completion_only_loss": True, **(settings or {})}
    return _train("SFT", model, rows, Path(out), seed, given)


def dpo(
    model: str,
    pairs: Sequence[Pair],
    out: Path,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Let a model prefer some texts to others, by TRL's `DPOTrainer` (arXiv:2305.18290).

    Args:
        model: a folder or an id of the Hugging Face hub, with a chat template; also the reference.
        pairs: of completions, e.g. those of `preference_pairs`.
        out: a folder; the model goes into its folder `model`.
        seed: of the order and of dropout.
        settings: fields of TRL's `DPOConfig`; what is not named keeps TRL's default.

    Returns:
        The folder of the trained model.

    Raises:
        MissingDependencyError: TRL is not installed.
        ConfigError: a setting that is an argument here, or a loss that is not a number.
        InvalidInputError: a setting that TRL does not have, or no pairs.
    """
    rows = [
        {
            "prompt": _messages(pair.prompt),
            "chosen": _reply(pair.chosen),
            "rejected": _reply(pair.rejected),
        }
        for pair in pairs
    ]
    return _train("DPO", model, rows, Path(out), seed, dict(settings or {}))


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [dict(message) for message in prompt.messages]


def _reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _train(
    kind: str, model: str, rows: list[dict[str, Any]], out: Path, seed: int, given: dict[str, Any]
) -> Path:
    """Run one of TRL's trainers and save what it made."""
    if not rows:
        raise InvalidInputError(f"{kind.lower()}: expected at least one row to train on, got none")
    feature = f"fine-tuning by {kind}"
    trl = optional_import("trl", feature, "trl")
    datasets = optional_import("datasets", feature, "trl")
    hub = optional_import("transformers", feature, "trl")
    configuration = getattr(trl, f"{kind}Config")
    known = [field.name for field in dataclasses.fields(configuration) if field.init]
    for name in given:
        if name in OURS:
            raise ConfigError(f"settings: {name} is an argument of {kind.lower()}(), not a setting")
        if name not in known:
            raise unknown_name("settings", name, known)
    gpu = torch.cuda.is_available()
    quiet = {"report_to": [], "save_strategy": "no"}
    options = {"use_cpu": not gpu, "bf16": gpu, **quiet, **given}
    trainer = getattr(trl, f"{kind}Trainer")(
        model=model,
        args=configuration(output_dir=str(out), seed=seed, **options),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=hub.AutoTokenizer.from_pretrained(model),
    )
    result = trainer.train()
    if not math.isfinite(result.training_loss):
        raise ConfigError(
            f"settings: {kind} ended at a loss of {result.training_loss}; lower learning_rate"
        )
    folder = out / "model"
    trainer.save_model(str(folder))
    trainer.processing_class.save_pretrained(str(folder))
    return folder
