"""Who draws the completions: this process, `generate` of transformers, or vLLM."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from levelhead._arrays import FloatArray, IntArray
from levelhead._optional import optional_import
from levelhead.errors import ConfigError, unknown_name
from levelhead.train._decoding import inner
from levelhead.train.sampling import (
    NativeSampler,
    Rollouts,
    Sampler,
    Sampling,
    check,
    collect,
    evaluating,
)

__all__ = ["TABLE", "TransformersSampler", "VllmSampler", "make_sampler"]


class TransformersSampler:
    """Draws completions with the model's own `generate`: any model that transformers can run.

    Slower than `NativeSampler`: each prompt is run and stored once per completion, and ended rows stay
    in the batch. The uniform numbers only seed torch's generator, so that the completions are other
    ones than `NativeSampler` draws, and depend on the batch that they are drawn in.

    Attributes:
        model: the model, LoRA wrappers included.
        pad_id: the token that fills shorter prompts.
        max_rows: rows that are drawn at once; at least one prompt with its group is.
    """

    def __init__(self, model: nn.Module, *, pad_id: int, max_rows: int = 512) -> None:
        self.model, self.pad_id, self.max_rows = model, pad_id, max_rows

    def sample(
        self,
        prompts: Sequence[IntArray],
        *,
        group_size: int,
        sampling: Sampling,
        uniforms: FloatArray,
    ) -> Rollouts:
        """Draw `group_size` completions of each prompt.

        Args:
            prompts: P arrays of token ids, at least one token each.
            group_size: completions per prompt, at least 1.
            sampling: the distribution, the limit and the stop tokens.
            uniforms: (P * group_size, max_new_tokens) float64 in [0, 1); only the seed.

        Returns:
            The completions, with their log-probabilities.

        Raises:
            InvalidInputError: an empty prompt, or `uniforms` of another shape or outside of [0, 1).

        Edge cases: the sampling options of the model's own generation_config.json are ignored.
        Properties: deterministic for one batch; torch's random state is as before after it.
        """
        check(prompts, group_size, sampling, uniforms)
        device = next(self.model.parameters()).device
        each = max(1, self.max_rows // group_size)
        pieces: list[tuple[IntArray, Any]] = []
        forked = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=forked), evaluating(self.model), _plain(self.model):
            for start in range(0, len(prompts), each):
                part = prompts[start : start + each]
                seed = uniforms[start * group_size : (start + len(part)) * group_size]
                torch.manual_seed(_seed(seed))
                pieces.append(self._generate(part, group_size, sampling, device))
        return collect(pieces, len(prompts), group_size, sampling)

    @torch.no_grad()
    def _generate(
        self,
        prompts: Sequence[IntArray],
        group_size: int,
        sampling: Sampling,
        device: torch.device,
    ) -> tuple[IntArray, Any]:
        width = max(len(prompt) for prompt in prompts)
        ids = np.full((len(prompts), width), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt) :], mask[i, width - len(prompt) :] = prompt, 1
        greedy = sampling.temperature == 0.0
        chance: dict[str, Any] = (
            {}
            if greedy
            else {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
            }
        )
        config = GenerationConfig(
            do_sample=not greedy,
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=list(sampling.stop_ids) or None,
            pad_token_id=self.pad_id,
            **chance,
        )
        record = _Record(width, sampling)
        generator: Any = inner(self.model)
        output = generator.generate(
            torch.as_tensor(ids, device=device).repeat_interleave(group_size, dim=0),
            attention_mask=torch.as_tensor(mask, device=device).repeat_interleave(group_size, 0),
            generation_config=config,
            logits_processor=LogitsProcessorList([record]),
        )
        scores = record.finish(output)
        tokens = output[:, width:]
        room = (0, sampling.max_new_tokens - tokens.shape[1])
        tokens, scores = (nn.functional.pad(table, room) for table in (tokens, scores))
        return tokens.cpu().numpy(), scores.cpu().numpy()


class _Record(LogitsProcessor):
    """Notes the log-probability of each token when the next one is asked for."""

    def __init__(self, width: int, sampling: Sampling) -> None:
        self.width, self.temperature = width, sampling.temperature or 1.0
        self.last: Tensor | None = None
        self.columns: list[Tensor] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._note(input_ids)
        self.last = torch.log_softmax(scores.float() / self.temperature, dim=-1)
        return scores

    def finish(self, output: Tensor) -> Tensor:
        """The log-probabilities (n, T) of the tokens after the prompt of `output`."""
        self._note(output)
        return torch.stack(self.columns, dim=1)

    def _note(self, input_ids: Tensor) -> None:
        if self.last is not None:
            self.columns.append(self.last.gather(1, input_ids[:, -1:])[:, 0])


class VllmSampler:
    """Draws completions with vLLM in this process, on a GPU; weights are copied over at each call.

    Written after vLLM's documented interface and not run by this project, which has no GPU to test
    it on. The model must be one that vLLM can load from its folder or hub id. Sets
    `VLLM_ENABLE_V1_MULTIPROCESSING` to 0, unless it is set, as the weights are not reachable otherwise.

    Attributes:
        model: the model in training; its `name_or_path` is what vLLM loads first.
        engine: the `vllm.LLM`.
    """

    def __init__(self, model: nn.Module, *, memory: float = 0.3, max_rows: int = 512) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        vllm: Any = optional_import("vllm", "rollout.backend: vllm", "vllm")
        self.model, self._params = model, vllm.SamplingParams
        source: Any = inner(model)
        self.engine: Any = vllm.LLM(
            model=source.name_or_path,
            dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
            gpu_memory_utilization=memory,
            max_num_seqs=max_rows,
            logprobs_mode="processed_logprobs",
        )

    def sample(
        self,
        prompts: Sequence[IntArray],
        *,
        group_size: int,
        sampling: Sampling,
        uniforms: FloatArray,
    ) -> Rollouts:
        """Draw `group_size` completions of each prompt.

        Args:
            prompts: P arrays of token ids, at least one token each.
            group_size: completions per prompt, at least 1.
            sampling: the distribution, the limit and the stop tokens.
            uniforms: (P * group_size, max_new_tokens) float64 in [0, 1); only the seeds.

        Returns:
            The completions, with their log-probabilities.

        Raises:
            ConfigError: `top_p` or `top_k`, as vLLM reports log-probabilities after them only.
            InvalidInputError: an empty prompt, or `uniforms` of another shape or outside of [0, 1).
        """
        check(prompts, group_size, sampling, uniforms)
        if sampling.top_p < 1.0 or sampling.top_k > 0:
            raise ConfigError(
                f"rollout.top_p, rollout.top_k: expected 1.0 and 0 with backend: vllm, got "
                f"{sampling.top_p} and {sampling.top_k}; use backend: native or transformers"
            )
        self._copy_weights()
        params = [
            self._params(
                n=1,
                seed=_seed(row),
                temperature=sampling.temperature,
                max_tokens=sampling.max_new_tokens,
                stop_token_ids=list(sampling.stop_ids),
                ignore_eos=True,
                detokenize=False,
                logprobs=0,
            )
            for row in uniforms
        ]
        requests = [{"prompt_token_ids": p.tolist()} for p in prompts for _ in range(group_size)]
        shape = (len(requests), sampling.max_new_tokens)
        tokens, scores = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        for i, answer in enumerate(self.engine.generate(requests, params, use_tqdm=False)):
            ids = list(answer.outputs[0].token_ids)
            tokens[i, : len(ids)] = ids
            steps = zip(ids, answer.outputs[0].logprobs, strict=True)
            scores[i, : len(ids)] = [step[token].logprob for token, step in steps]
        return collect([(tokens, scores)], len(prompts), group_size, sampling)

    def _copy_weights(self) -> None:
        worker = self.engine.llm_engine.model_executor.driver_worker.model_runner.model
        with _merged(self.model) as weights:
            worker.load_weights(weights)
        self.engine.reset_prefix_cache()


@contextlib.contextmanager
def _merged(model: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """The weights under the names of the model on the hub; inside, LoRA is added to them."""
    wrapper: Any = model
    lora = wrapper is not inner(model)
    if lora:
        wrapper.merge_adapter()
    try:
        yield [
            (name.replace(".base_layer", ""), weight.detach())
            for name, weight in inner(model).named_parameters()
            if "lora_" not in name
        ]
    finally:
        if lora:
            wrapper.unmerge_adapter()


@contextlib.contextmanager
def _plain(model: nn.Module) -> Iterator[None]:
    """Inside, the model has no sampling options of its own, which would fill in for ours."""
    holder: Any = inner(model)
    before = holder.generation_config
    holder.generation_config = GenerationConfig()
    try:
        yield
    finally:
        holder.generation_config = before


def _seed(numbers: FloatArray) -> int:
    digest = hashlib.blake2b(np.ascontiguousarray(numbers).tobytes(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _native(model: nn.Module, pad_id: int, max_rows: int) -> Sampler:
    return NativeSampler(model, pad_id=pad_id, max_rows=max_rows)


def _transformers(model: nn.Module, pad_id: int, max_rows: int) -> Sampler:
    return TransformersSampler(model, pad_id=pad_id, max_rows=max_rows)


def _vllm(model: nn.Module, pad_id: int, max_rows: int) -> Sampler:
    del pad_id  # vLLM pads nothing
    return VllmSampler(model, max_rows=max_rows)


TABLE: MappingProxyType[str, Callable[[nn.Module, int, int], Sampler]] = MappingProxyType(
    {"native": _native, "transformers": _transformers, "vllm": _vllm}
)
"""Name in a recipe: what makes the sampler."""


def make_sampler(
    name: str, *, model: nn.Module, pad_id: int, max_rows: int = 512, tokenizer: Any = None
) -> Sampler:
    """The sampler that a recipe names.

    Args:
        name: `native`, `transformers` or `vllm`.
        model: a Hugging Face causal language model, LoRA wrappers included.
        pad_id: the token that fills shorter prompts.
        max_rows: rows that are drawn at once, at least 1.
        tokenizer: not used by these three: prompts and completions are token ids.

    Returns:
        The sampler.

    Raises:
        InvalidInputError: another name, with the nearest one.
        MissingDependencyError: vLLM is not installed.
    """
    del tokenizer
    if name not in TABLE:
        raise unknown_name("rollout.backend", name, TABLE)
    return TABLE[name](model, pad_id, max_rows)
