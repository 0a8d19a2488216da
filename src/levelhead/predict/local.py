"""A Hugging Face model in this process that replies as a server would."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from levelhead._optional import optional_import
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.predict._calls import Call
from levelhead.predict._replies import Choice, Reply
from levelhead.tasks import Prompt

__all__ = ["Local", "LocalModel"]

FEATURE, EXTRA = "predicting with a local model", "train"
CONFIGS = ("config.json", "adapter_config.json")
"""One of them is in the folder of any model."""

LONGEST_REASON = 400


@dataclasses.dataclass(frozen=True)
class Local:
    """A model in this process. None of it changes a reply, except by rounding.

    Attributes:
        device: `auto` (the GPU where there is one), `cpu` or `cuda`.
        dtype: `float32` or `bfloat16`.
        batch: samples that are asked together, at least 1.

    Raises:
        InvalidInputError: a value is outside its range.
    """

    device: str = "auto"
    dtype: str = "float32"
    batch: int = 64

    def __post_init__(self) -> None:
        for name, choices in (
            ("device", ("auto", "cpu", "cuda")),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in choices:
                raise InvalidInputError(
                    f"{name}: expected {' or '.join(choices)}, got {getattr(self, name)!r}"
                )
        if self.batch < 1:
            raise InvalidInputError(f"batch: expected at least 1, got {self.batch}")

    @property
    def shown(self) -> str:
        """What messages call it."""
        return "local model"

    def fingerprint(self, folder: str) -> str:
        """A digest of the sizes and dates of a model's files: training goes on in one folder.

        Args:
            folder: of the model; a name on the hub has no files here.

        Returns:
            16 hexadecimal digits.
        """
        files = sorted(Path(folder).glob("*")) if Path(folder).is_dir() else []
        told = [f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files if f.is_file()]
        return hashlib.sha256(" ".join([self.dtype, *told]).encode()).hexdigest()[:16]


class LocalModel:
    """A model that is loaded, with its tokenizer.

    Args:
        local: where and how it runs.
        folder: the folder of the model, or its id on the hub.

    Raises:
        ConfigError: there is no such model or device, or its tokenizer has no chat template.
        MissingDependencyError: torch or transformers is not installed.
    """

    def __init__(self, local: Local, folder: str) -> None:
        self._torch: Any = optional_import("torch", FEATURE, EXTRA)
        self._transformers: Any = optional_import("transformers", FEATURE, EXTRA)
        self._models: Any = optional_import("levelhead.train.model", FEATURE, EXTRA)
        self._sampling: Any = optional_import("levelhead.train.sampling", FEATURE, EXTRA)
        if not Path(folder).is_dir() and (folder.startswith((".", "/", "~")) or "/" not in folder):
            raise ConfigError(
                f"--model: expected a folder with a model, got {folder!r}: no such folder; for a "
                "server give --base-url"
            )
        if Path(folder).is_dir() and not any((Path(folder) / name).is_file() for name in CONFIGS):
            raise ConfigError(
                f"--model: expected a folder with a model, got {folder!r}: no config.json in it; "
                "name the folder that the model was saved to"
            )
        device = self._models.pick_device(local.device)
        dtype = getattr(self._torch, local.dtype)
        auto = self._transformers
        embedded: Any = optional_import("levelhead.train.embedded", FEATURE, EXTRA)
        try:
            with embedded.quiet():
                self._tokenizer: Any = auto.AutoTokenizer.from_pretrained(folder)
                self._model: Any = auto.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())[:LONGEST_REASON]
            raise ConfigError(
                f"--model: expected a folder or the hub id of a causal language model, got "
                f"{folder!r}: {said}"
            ) from error
        self._model.to(device).eval()
        self._stops = self._models.stop_tokens(self._model, self._tokenizer)
        pad = self._tokenizer.pad_token_id
        self._sampler: Any = self._sampling.NativeSampler(
            self._model, pad_id=int(self._stops[0] if pad is None else pad), max_rows=local.batch
        )

    def ask(self, calls: Sequence[Call]) -> list[Reply]:
        """The replies to some requests.

        Args:
            calls: to chat/completions.

        Returns:
            One reply for each; where several votes are asked for, as many choices.

        Raises:
            ConfigError: the chat template refuses the messages.
            InvalidInputError: a field that a local model does not know.

        Properties: a reply depends on its own request and seed, not on the others beside it.
        """
        replies: list[Reply | None] = [None] * len(calls)
        groups: dict[tuple[float, int, float, int], list[int]] = {}
        for i, call in enumerate(calls):
            _check(call)
            if call.wants_logprobs:
                replies[i] = self._first_token(call)
            else:
                body = call.body
                kind = (
                    float(body["temperature"]),
                    int(body["max_tokens"]),
                    float(body.get("top_p", 1.0)),
                    int(body.get("top_k", 0)),
                )
                groups.setdefault(kind, []).append(i)
        for kind, members in groups.items():
            for i, reply in zip(
                members, self._sampled(kind, [calls[i] for i in members]), strict=True
            ):
                replies[i] = reply
        return [one for one in replies if one is not None]

    def _sampled(self, kind: tuple[float, int, float, int], calls: Sequence[Call]) -> list[Reply]:
        temperature, longest, top_p, top_k = kind
        sampling = self._sampling.Sampling(longest, temperature, top_p, top_k, self._stops)
        prompts = [self._ids(call) for call in calls]
        votes = [int(call.body.get("n", 1)) for call in calls]
        rows = [prompt for prompt, n in zip(prompts, votes, strict=True) for _ in range(n)]
        numbers = np.concatenate(
            [
                self._sampling.uniforms(int(call.body.get("seed", 0)), 0, n, longest)
                for call, n in zip(calls, votes, strict=True)
            ]
        )
        drawn = self._sampler.sample(rows, group_size=1, sampling=sampling, uniforms=numbers)
        found: list[Reply] = []
        row = 0
        for prompt, n in zip(prompts, votes, strict=True):
            choices: list[Choice] = []
            for i in range(row, row + n):
                text = self._tokenizer.decode(drawn.completions[i], skip_special_tokens=True)
                choices.append(Choice(text, finish="stop" if drawn.finished[i] else "length"))
            tokens = sum(len(drawn.completions[i]) for i in range(row, row + n))
            found.append(Reply(tuple(choices), len(prompt), tokens))
            row += n
        return found

    def _first_token(self, call: Call) -> Reply:
        """The most likely first tokens, from one plain forward."""
        torch = self._torch
        ids = self._ids(call)
        device = next(self._model.parameters()).device
        with torch.no_grad():
            tensor = torch.as_tensor(ids, device=device)[None]
            logits = self._model(input_ids=tensor, use_cache=False).logits[0, -1]
        logprobs = torch.log_softmax(logits.double(), dim=-1)
        values, tokens = logprobs.topk(min(int(call.body["top_logprobs"]), len(logprobs)))
        words = [self._tokenizer.decode([token]) for token in tokens.tolist()]
        top = tuple(zip(words, values.tolist(), strict=True))
        return Reply((Choice(words[0], finish="length", top=top),), len(ids), 1)

    def _ids(self, call: Call) -> Any:
        messages = tuple(call.body["messages"])
        options = call.body.get("chat_template_kwargs") or {}
        return self._models.render(
            self._tokenizer, Prompt("of this request", messages), template_options=options
        )


KNOWN = frozenset(
    (
        *("model", "messages", "temperature", "max_tokens", "seed", "n", "logprobs"),
        *("top_logprobs", "top_p", "top_k", "chat_template_kwargs"),
    )
)
"""Fields that a local model understands."""


def _check(call: Call) -> None:
    unknown = sorted(set(call.body) - KNOWN)
    if unknown:
        raise InvalidInputError(
            f"body: expected fields that a local model knows (top_p, top_k, chat_template_kwargs), "
            f"got {', '.join(unknown)}"
        )
