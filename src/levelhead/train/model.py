"""The language model of a run: loaded or built, with its tokenizer, and prompts in its chat format."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from levelhead._arrays import IntArray
from levelhead._optional import optional_import
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.tasks import Prompt, Task
from levelhead.train import embedded
from levelhead.train.config import FromScratch, Lora, Model

__all__ = ["EMBEDDED", "Loaded", "load", "pick_device", "read_template", "render", "stop_tokens"]

EMBEDDED = "embedded"
"""The path that stands for a small model made on the spot."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "mixed": torch.float32}
_PROBE = "levelhead"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model that is ready to be trained.

    Attributes:
        model: a Hugging Face causal language model on its device, in evaluation mode; with LoRA a
            `peft` model, of which only the adapters require gradients.
        tokenizer: its tokenizer, with a chat template.
        stop_ids: tokens that end a completion, ascending.
        pad_id: token that fills up batches; it never counts.
        name: what a report calls it.
        folder: where the weights came from, or the name on the hub.
    """

    model: Any
    tokenizer: Any
    stop_ids: tuple[int, ...]
    pad_id: int
    name: str
    folder: str


def load(
    options: Model,
    *,
    task: Task,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Loaded:
    """The model that a recipe names, with LoRA adapters and a chat template where it asks for them.

    Args:
        options: the section `model` of a recipe.
        task: what an embedded model is made for; other models do not depend on it.
        seed: of the adapters' first weights, and of an embedded model.
        progress: told of the updates of an embedded model that is built; None: nobody is.

    Returns:
        Model, tokenizer, and the tokens that end a completion.

    Raises:
        ConfigError: there is no such model, device or template, the tokenizer has no chat template or
            no end of text, or LoRA's targets are not in the model.
        MissingDependencyError: LoRA without peft.
        RecordError: an embedded model cannot be written to the cache.

    Edge cases: the global random state is left as it was.
    Reference: LoRA (arXiv:2106.09685).
    """
    device = pick_device(options.device)
    folder = options.path
    if folder == EMBEDDED:
        sizes = (options.from_scratch or FromScratch()).model_dump()
        folder = str(embedded.build(task, **sizes, seed=seed, progress=progress))
    with embedded.quiet(), _explained(options.path):
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_DTYPES[options.dtype], attn_implementation=options.attention
        )
    if options.chat_template is not None:
        tokenizer.chat_template = read_template(options.chat_template)
    _require_template(tokenizer)
    stop_ids = stop_tokens(model, tokenizer, options.template_options)
    pad_id = tokenizer.pad_token_id
    if options.lora is not None:
        model = _with_adapters(model, options.lora, seed)
    if options.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return Loaded(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        stop_ids=stop_ids,
        pad_id=int(stop_ids[0] if pad_id is None else pad_id),
        name=EMBEDDED if options.path == EMBEDDED else Path(options.path).name,
        folder=folder,
    )


def pick_device(name: str) -> torch.device:
    """The device that a recipe asks for.

    Args:
        name: `auto` (the GPU where there is one), `cpu` or `cuda`.

    Returns:
        The device.

    Raises:
        ConfigError: `cuda` where there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError(
            "model.device: expected a device that is there, got 'cuda', which torch "
            f"{torch.__version__} does not find; set it to auto or cpu"
        )
    return torch.device("cuda" if name == "cuda" or (name == "auto" and there) else "cpu")


def render(
    tokenizer: Any,
    prompt: Prompt,
    *,
    system: str | None = None,
    template_options: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> IntArray:
    """The tokens of a prompt in the model's chat format, up to where its reply begins.

    Args:
        tokenizer: with a chat template.
        prompt: its messages are rendered.
        system: a system message to put first, or None; one that the prompt has already stays.
        template_options: given to the template, e.g. `{"enable_thinking": False}`.
        limit: tokens at most, or None.

    Returns:
        (L,) int64 token ids.

    Raises:
        ConfigError: there is no chat template, or it refuses the messages or the options.
        InvalidInputError: the prompt is longer than the limit, or has no tokens.

    Edge cases: special tokens come from the template alone; the tokenizer adds none of its own.
    """
    _require_template(tokenizer)
    messages = [dict(message) for message in prompt.messages]
    if system is not None and messages[0].get("role") != "system":
        messages.insert(0, {"role": "system", "content": system})
    text = _apply(tokenizer, messages, template_options or {}, prompt.prompt_id, reply=True)
    ids = np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
    if not len(ids):
        raise InvalidInputError(
            f"prompt {prompt.prompt_id!r}: expected tokens, got none; look at the chat template"
        )
    if limit is not None and len(ids) > limit:
        raise InvalidInputError(
            f"prompt {prompt.prompt_id!r}: expected at most {limit} tokens, got {len(ids)}; raise "
            "rollout.max_prompt_tokens, or set rollout.long_prompts to drop"
        )
    return ids


def stop_tokens(
    model: Any, tokenizer: Any, template_options: Mapping[str, Any] | None = None
) -> tuple[int, ...]:
    """The tokens that end a completion: the model's, the tokenizer's, and the chat template's.

    A base model with a chat template ends its turns with a mark (`<|im_end|>`) that its configuration
    need not know; it is found by rendering a reply and looking at what follows it.

    Args:
        model: its generation configuration is read.
        tokenizer: with a chat template.
        template_options: given to the template.

    Returns:
        Token ids, ascending, at least one.

    Raises:
        ConfigError: there is none, or the template refuses a question and a reply.
    """
    found: set[int] = set()
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    for one in (configured, tokenizer.eos_token_id):
        found.update([] if one is None else [one] if isinstance(one, int) else one)
    exchange = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}]
    text = _apply(tokenizer, exchange, template_options or {}, "?", reply=False)
    after = text.rpartition(_PROBE)[2] if _PROBE in text else ""
    ids = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
    found.update(ids[:1] if ids and ids[0] in tokenizer.all_special_ids else [])
    if not found:
        raise ConfigError(
            "model.path: expected a tokenizer with a token that ends a text, got none; set eos_token "
            "in its tokenizer_config.json"
        )
    return tuple(sorted(int(token) for token in found))


def _require_template(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "model.chat_template: the tokenizer has none, so that a prompt cannot be told from a "
            "reply; name a file with one (a Jinja text, such as the instruct version of the model has)"
        )


def _apply(
    tokenizer: Any,
    messages: list[dict[str, str]],
    options: Mapping[str, Any],
    prompt_id: str,
    *,
    reply: bool,
) -> str:
    try:
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=reply, **options
        )
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ConfigError(
            f"model.chat_template: it cannot render prompt {prompt_id!r} (roles: {roles}): {error}; "
            "look at model.system, model.template_options and the template"
        ) from error


def read_template(path: str) -> str:
    """A chat template from its file.

    Args:
        path: of a text in UTF-8.

    Returns:
        The text.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"model.chat_template: expected a file with a chat template, got {path!r}: {said}"
        ) from error


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """One sentence for whatever keeps a model from being loaded."""
    local = path.startswith((".", "/", "~")) or path.count("/") > 1
    if path != EMBEDDED and local and not Path(path).is_dir():
        raise ConfigError(
            f"model.path: expected a folder with a model, got {path!r}: no such folder"
        )
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        said = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"model.path: expected a folder or the hub id of a causal language model, got {path!r}: "
            f"{said}"
        ) from error


def _with_adapters(model: Any, options: Lora, seed: int) -> Any:
    peft: Any = optional_import("peft", "LoRA", "train")
    config = peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets) or "all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(model, config)
        except ValueError as error:
            raise ConfigError(
                f"model.lora.targets: expected names of layers, got {list(options.targets)}: {error}"
            ) from error
