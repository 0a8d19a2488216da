"""A small language model for a task, made on the spot: a tokenizer, a Qwen3 network, and a warm-up.

Nothing is downloaded. The tokenizer is made from the task's own texts: frequent words are one token
each, other words fall into pieces, down to single bytes, so that no text is unknown or loses its
spelling; digits stand alone, but a number that may be the answer is one token.

The warm-up then teaches three things that any pretrained model knows. *Format*: after any prompt the
model answers in the tags, and its answers are spread evenly over all that are allowed and tell
nothing about the prompt. *Reading*: where it answers, the model knows which words stood in the
prompt; a linear layer that is thrown away afterwards asks for them. Without it a small network
states the base rate long before it has learned to read, and a policy that is sure of one answer
hardly learns any more. *Numbers*: 33 lies between 32 and 34; two directions of the hidden state,
which are not shown to it either, move its answers up, down and closer together. Without it every
number has to be tried on its own, and a few that were lucky early on are all that is ever said. No
outcome and no right answer is shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from levelhead.errors import ConfigError, DataWarning, InvalidInputError, RecordError
from levelhead.tasks import Task
from levelhead.train._warmup import CONFIDENCE, Phrases, WarmUp, well_formed

__all__ = [
    "CHAT_TEMPLATE",
    "build",
    "cache_folder",
    "make_tokenizer",
    "one_thread",
    "quiet",
    "tokenizer_of",
]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, as Qwen's models have it."""

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, START, END)
PIECES = (
    r" ?\p{L}(?:[\p{L}\p{N}]|[-_.'](?=[\p{L}\p{N}]))*"  # a word; TOR2A and MT-ND4L are words too
    r"|\p{N}"  # one digit
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SMALLEST_VOCABULARY = 400
"""The 256 bytes, the special tokens, the tags, the numbers from 0 to 100, and a little."""
WHOLE_NUMBERS = 101
"""Answers at most that become tokens of their own."""

VERSION = 4
"""To be raised by whoever changes what is built, so that no stale model comes out of the cache."""
RATE, RAMP = 0.2, 10
"""Learning rate times width, and updates until it is reached; it then falls to 0."""
READING = 5.0
"""Weight of the reading loss; a model that may stop reading at the end learns less from rewards."""
NUMBERS = 3.0
"""Weight of the numbers' loss."""
WELL_FORMED = 0.99
EXTRA_ROUNDS, EXTRA_UPDATES = 4, 30
STALE_SECONDS = 86_400.0
STORY = "embedded.json"
"""Says how a model was made; it is written last."""

Progress = Callable[[int, int], None]
"""Called with the updates that are done and their number."""


def build(
    task: Task,
    *,
    layers: int = 2,
    hidden: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate: int = 128,
    vocabulary: int = 2048,
    warmup_steps: int = 800,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """The folder of a small model for a task, from the cache or made now.

    Args:
        task: its training prompts are read, its answers are practiced; its outcomes are not used.
        layers: transformer layers, at least 1.
        hidden: width of the residual stream, an even multiple of `heads`.
        heads: attention heads.
        kv_heads: key and value heads; they divide `heads`.
        intermediate: width inside of the MLP.
        vocabulary: tokens at most, at least 400.
        warmup_steps: supervised updates, at least 1; up to 120 more follow where fewer than 99% of the
            sampled answers are well formed.
        seed: of the weights and of the warm-up.
        progress: told of every update; None: nobody is.

    Returns:
        A folder that `from_pretrained` reads, with model, tokenizer and `embedded.json`, which says
        how it was made.

    Raises:
        ConfigError: sizes that do not fit one another, or a task whose answers cannot be practiced.
        RecordError: the cache folder cannot be written to.

    Edge cases: two processes that build the same model at once end with one folder. The cache is
        `levelhead` under `XDG_CACHE_HOME`, or under `~/.cache`; to delete it is safe.
    Properties: the same on every call: name and weights depend on the arguments, the task's texts and
        the versions of torch, transformers and tokenizers (to rounding also on the machine).
    Reference: Qwen3 (arXiv:2505.09388), the architecture.
    """
    sizes = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "intermediate": intermediate,
        "vocabulary": vocabulary,
        "warmup_steps": warmup_steps,
    }
    _check_sizes(sizes)
    told = {"version": VERSION, "task": _fingerprint(task), "seed": seed, **sizes, **_versions()}
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / f"{task.name.replace(os.sep, '-')}-{key}"
    if (folder / STORY).is_file():
        return folder
    with _unfinished(folder) as unfinished, one_thread():
        _make(task, sizes, seed, unfinished, told, progress)
    return folder


def cache_folder() -> Path:
    """Where built models are kept: `levelhead` under `XDG_CACHE_HOME`, or under `~/.cache`.

    Returns:
        The folder, whether it exists or not.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "levelhead"


def tokenizer_of(task: Task, vocabulary: int) -> PreTrainedTokenizerFast:
    """The tokenizer of the small model for a task.

    Args:
        task: its training prompts and the phrases that are practiced are what it has to read most.
        vocabulary: tokens at most, at least 400.

    Returns:
        A tokenizer in which tags, and answers that are up to 101 chances in percent, are one token each.

    Raises:
        ConfigError: a task whose answers cannot be practiced.
        InvalidInputError: a vocabulary of less than 400.
    """
    texts = [m["content"] for prompt in task.train for m in prompt.messages]
    phrases = Phrases.of(task)
    whole = phrases.numeric and len(phrases.answers) <= WHOLE_NUMBERS
    return make_tokenizer(
        [*texts, *phrases.texts(len(texts))],
        [task.opening, task.closing, *CONFIDENCE],
        vocabulary,
        numbers=phrases.answers if whole else (),
    )


def make_tokenizer(
    texts: Sequence[str], tags: Sequence[str], vocabulary: int, *, numbers: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer made from texts: their frequent words whole, anything else in pieces.

    Byte-level byte-pair encoding within words. Digits that stand outside of words are tokens of their
    own, except in the numbers that are named; so is each tag, which is ordinary text that no decoding
    drops.

    Args:
        texts: what it will have to read most.
        tags: e.g. `<answer>`; each becomes one token and never merges with what stands beside it.
        numbers: e.g. `75`; each becomes one token where neither a letter nor a digit stands beside it.
        vocabulary: tokens at most, at least 400.

    Returns:
        A tokenizer with a ChatML template; `<|im_end|>` ends a turn.

    Raises:
        InvalidInputError: no texts, or a vocabulary of less than 400.

    Properties: decoding returns every text exactly.
    Reference: Sennrich et al. 2016 (arXiv:1508.07909), byte-pair encoding.
    """
    if not texts:
        raise InvalidInputError("texts: expected at least one to make a tokenizer from, got none")
    if vocabulary < SMALLEST_VOCABULARY:
        raise InvalidInputError(
            f"vocabulary: expected at least {SMALLEST_VOCABULARY} tokens (every byte is one), got "
            f"{vocabulary}"
        )
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    whole = [
        *(AddedToken(tag, special=False, normalized=False) for tag in dict.fromkeys(tags) if tag),
        *(AddedToken(n, special=False, normalized=False, single_word=True) for n in numbers),
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(whole),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
    )
    inner.train_from_iterator(texts, trainer)
    inner.add_tokens(whole)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Transformers shows no progress bars inside of the block; its setting is put back afterwards.

    Returns:
        A context manager without a value.
    """
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside of the block: matrices this small lose more by waiting than they win.

    Returns:
        A context manager without a value.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_sizes(sizes: dict[str, int]) -> None:
    problems = [
        f"{name}: expected at least 1, got {size}" for name, size in sizes.items() if size < 1
    ]
    if not problems:
        hidden, heads, kv_heads = sizes["hidden"], sizes["heads"], sizes["kv_heads"]
        if hidden % heads or hidden // heads % 2:
            problems.append(f"hidden: expected an even multiple of heads, got {hidden} and {heads}")
        if heads % kv_heads:
            problems.append(f"kv_heads: expected a divisor of heads, got {kv_heads} and {heads}")
        if sizes["vocabulary"] < SMALLEST_VOCABULARY:
            problems.append(
                f"vocabulary: expected at least {SMALLEST_VOCABULARY} tokens (every byte is one), "
                f"got {sizes['vocabulary']}"
            )
    if problems:
        raise ConfigError("; ".join(f"from_scratch.{problem}" for problem in problems))


def _fingerprint(task: Task) -> str:
    """Of everything in a task that the model is made from."""
    digest = hashlib.sha256()
    told = [task.kind, task.elicitation, task.opening, task.closing, *task.answers]
    for prompt in task.train:
        told += [part for m in prompt.messages for part in (m["role"], m["content"])]
        told += prompt.targets
    for text in told:
        digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {**found, "tokenizers": tokenizers.__version__}


@contextlib.contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A folder to fill inside of the block; it becomes `folder` where the block succeeds."""
    prefix = f".unfinished-{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(".unfinished-*"):  # of a process that was killed
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield unfinished
        with contextlib.suppress(OSError):  # another process was faster, and its folder is as good
            unfinished.rename(folder)
        if not (folder / STORY).is_file():
            raise RecordError("cannot be replaced: it is no finished model; delete it", str(folder))
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> RecordError:
    return RecordError(
        f"the embedded model cannot be kept here: {error.strerror or error}; make room, or set "
        "XDG_CACHE_HOME to a folder that can be written to",
        str(folder.parent),
    )


def _make(
    task: Task,
    sizes: dict[str, int],
    seed: int,
    folder: Path,
    told: dict[str, Any],
    progress: Progress | None,
) -> None:
    began = time.process_time()
    tokenizer = tokenizer_of(task, sizes["vocabulary"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = _network(tokenizer, sizes)
        formed = _warm_up(model, tokenizer, task, sizes["warmup_steps"], seed, progress)
    if formed < WELL_FORMED:
        warnings.warn(
            f"the embedded model writes well-formed answers in {formed:.1%} of its samples only, "
            f"expected {WELL_FORMED:.0%}; raise from_scratch.warmup_steps or from_scratch.hidden",
            DataWarning,
            stacklevel=4,
        )
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    parameters = sum(weight.numel() for weight in model.parameters())
    seconds = time.process_time() - began
    story = {**told, "well_formed": formed, "parameters": parameters, "cpu_seconds": seconds}
    (folder / STORY).write_text(json.dumps(story, indent=2) + "\n", encoding="utf-8")


def _warm_up(
    model: Any,
    tokenizer: Any,
    task: Task,
    steps: int,
    seed: int,
    progress: Progress | None,
) -> float:
    """Practice until the replies are well formed; the share of those that are."""
    prompts, phrases = _rendered(tokenizer, task), Phrases.of(task)
    longest = max(map(len, tokenizer(phrases.texts(2000))["input_ids"])) + 1
    warm = WarmUp(model, tokenizer, prompts, phrases, np.random.default_rng(seed))
    rate = RATE / model.config.hidden_size
    for step in range(steps):
        share = min((step + 1) / RAMP, 1.0 - step / steps)
        warm.update(rate * share, READING, NUMBERS)
        if progress is not None:
            progress(step + 1, steps)
    formed = well_formed(model, tokenizer, prompts, task, longest)
    for _ in range(EXTRA_ROUNDS):
        if formed >= WELL_FORMED:
            break
        for step in range(EXTRA_UPDATES):
            warm.update(rate * (1.0 - step / EXTRA_UPDATES), READING, NUMBERS)
        formed = well_formed(model, tokenizer, prompts, task, longest)
    return formed


def _network(tokenizer: Any, sizes: dict[str, int]) -> Qwen3ForCausalLM:
    hidden, heads = sizes["hidden"], sizes["heads"]
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=sizes["intermediate"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=heads,
        num_key_value_heads=sizes["kv_heads"],
        head_dim=hidden // heads,
        tie_word_embeddings=True,
        initializer_range=hidden**-0.5,  # 0.02 is for widths in the thousands
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _rendered(tokenizer: Any, task: Task) -> list[list[int]]:
    texts = [
        tokenizer.apply_chat_template(
            list(prompt.messages), tokenize=False, add_generation_prompt=True
        )
        for prompt in task.train
    ]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]
