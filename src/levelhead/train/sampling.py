"""Sampling of completions: each is a function of the weights, its prompt and its own random numbers.

A token is drawn by inverting the cumulative distribution at a given uniform number, so that neither
the other rows of the batch nor their order, nor the process that draws it, change a completion.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from levelhead._arrays import BoolArray, FloatArray, IntArray
from levelhead.errors import InvalidInputError
from levelhead.train._decoding import (
    Decoder,
    PlainDecoder,
    SharedDecoder,
    packed_linears,
    prefill,
    shares,
    unsupported,
)

__all__ = ["NativeSampler", "Rollouts", "Sampler", "Sampling", "draw", "uniforms"]

FloatArray32 = npt.NDArray[np.float32]

PREFILL_TOKENS = 32768
"""Prompt tokens, padding included, that go through the model at once."""

BLOCK = 256
"""Tokens of the vocabulary that are summed up together before one of them is looked for."""

STEPS_PER_LOOK = 8
"""Tokens between two looks at which rows have ended, on a device where a look has to wait."""

PLAIN_SLACK = 0.125
"""Share of ended rows from which copying the others' caches pays."""

CHECK_TOLERANCE = {torch.float32: 0.01, torch.float64: 0.01}
"""Largest difference in nats to a plain forward that is taken for rounding; others: 0.5."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        max_new_tokens: the longest completion, in tokens, at least 1; the stop token counts.
        temperature: what logits are divided by, >= 0; 0 takes the most likely token.
        top_p: the smallest set of most likely tokens with at least this mass is kept, in (0, 1].
        top_k: only the k most likely tokens are kept (and those that equal the last); 0 keeps all.
        stop_ids: token ids that end a completion.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InvalidInputError(
                f"max_new_tokens: expected at least 1 token, got {self.max_new_tokens}"
            )
        if not (0.0 <= self.temperature < float("inf")):
            raise InvalidInputError(
                f"temperature: expected a finite number >= 0, got {self.temperature}"
            )
        if not (0.0 < self.top_p <= 1.0):
            raise InvalidInputError(
                f"top_p: expected a probability in (0, 1], got {self.top_p}; 1 keeps all tokens"
            )
        if self.top_k < 0:
            raise InvalidInputError(
                f"top_k: expected a whole number >= 0, got {self.top_k}; 0 keeps all tokens"
            )
        if any(stop < 0 for stop in self.stop_ids):
            raise InvalidInputError(f"stop_ids: expected token ids >= 0, got {self.stop_ids}")


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """What was sampled: N = P * G completions, those of a prompt next to one another.

    Attributes:
        completions: N arrays of token ids, the stop token included.
        logprobs: N float32 arrays of the same lengths: the log-probability of each token, in nats,
            under softmax(logits / temperature) before `top_p` and `top_k` (at temperature 0 under
            softmax(logits)).
        finished: (N,) bool, True where a stop token ended the completion, and not the limit.
        group: (N,) int64, the index of the prompt.
    """

    completions: list[IntArray]
    logprobs: list[FloatArray32]
    finished: BoolArray
    group: IntArray


class Sampler(Protocol):
    """Anything that draws completions: `NativeSampler` and the classes of `levelhead.train.backends`."""

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
            group_size: G, completions per prompt, at least 1.
            sampling: the distribution, the limit and the stop tokens.
            uniforms: (P * G, max_new_tokens) float64 in [0, 1), the random numbers of each row.

        Returns:
            The P * G completions, those of a prompt next to one another.
        """
        ...


def uniforms(seed: int, step: int, n: int, length: int, *, first: int = 0) -> FloatArray:
    """The random numbers of rows `first` to `first + n` of a step.

    Row i comes from a counter-based generator whose key is (seed, step) and whose counter starts at
    (i, 0): it depends on neither `n` nor `length`, and any process can make its own rows.

    Args:
        seed: of the run, in [0, 2**64).
        step: a number that is used once in a run, in [0, 2**64).
        n: number of rows.
        length: numbers per row.
        first: index of the first row.

    Returns:
        (n, length) float64 in [0, 1).

    Raises:
        InvalidInputError: a negative number.

    Edge cases: a shorter `length` gives the start of the longer rows.
    Reference: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3 (Philox).

    Example:
        >>> bool((uniforms(1, 5, 4, 3)[2:] == uniforms(1, 5, 2, 3, first=2)).all())
        True
    """
    for name, value in (("seed", seed), ("step", step), ("n", n), ("length", length)):
        if not 0 <= value < 2**64:
            raise InvalidInputError(f"{name}: expected a whole number in [0, 2**64), got {value}")
    if first < 0:
        raise InvalidInputError(f"first: expected a whole number >= 0, got {first}")
    key = np.array([seed, step], dtype=np.uint64)
    out = np.empty((n, length))
    for row in range(n):
        counter = np.array([0, 0, 0, first + row], dtype=np.uint64)
        out[row] = np.random.Generator(np.random.Philox(counter=counter, key=key)).random(length)
    return out


def draw(logits: Tensor, numbers: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """One token of each row, by inverting its cumulative distribution at a uniform number.

    token = the first v with sum_{w <= v} p_w > u sum_w p_w, p = softmax(logits / temperature) with
    what `top_k` and `top_p` remove set to 0

    Args:
        logits: (n, V), any floating type.
        numbers: (n,) float64 in [0, 1).
        sampling: the distribution.

    Returns:
        The tokens (n,) and their log-probabilities (n,) float32 before `top_k` and `top_p`, in nats.

    Edge cases: a token of probability 0 is never drawn. Temperature 0 takes the first of the most
        likely tokens, whatever the number.
    Properties: a row depends on its own logits and number only.

    Example:
        >>> tokens, _ = draw(torch.zeros(3, 4), torch.tensor([0.0, 0.3, 0.99]), Sampling(1))
        >>> tokens.tolist()
        [0, 1, 3]
    """
    scores = logits.float()
    if sampling.temperature not in (0.0, 1.0):
        scores = scores / sampling.temperature
    logprobs = torch.log_softmax(scores, dim=-1)
    if sampling.temperature == 0.0:
        tokens = logprobs.argmax(dim=-1)
    else:
        tokens = _invert(_kept(logprobs, sampling), numbers)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def _kept(logprobs: Tensor, sampling: Sampling) -> Tensor:
    """Log-probabilities with those that `top_k` and `top_p` remove at -inf."""
    size = logprobs.shape[1]
    if 0 < sampling.top_k < size:
        least = logprobs.topk(sampling.top_k, dim=1).values[:, -1:]
        logprobs = logprobs.masked_fill(logprobs < least, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, index = logprobs.sort(dim=1, descending=True, stable=True)
        mass = ordered.double().exp()
        before = mass.cumsum(dim=1) - mass
        removed = before >= sampling.top_p * mass.sum(dim=1, keepdim=True)
        removed[:, 0] = False
        logprobs = logprobs.masked_fill(removed.scatter(1, index, removed), -torch.inf)
    return logprobs


def _invert(logprobs: Tensor, numbers: Tensor) -> Tensor:
    """The first token at which the running sum of probabilities passes `numbers` of the total.

    First the block, then the token in it, both sums in float64: a running sum of float32 over a large
    vocabulary loses the small probabilities.
    """
    rows, size = logprobs.shape
    blocks = -(-size // BLOCK)
    probs = logprobs.new_zeros(rows, blocks * BLOCK)
    torch.exp(logprobs, out=probs[:, :size])
    table = probs.view(rows, blocks, BLOCK)
    running = table.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    total = running[:, -1:]
    target = numbers[:, None] * total
    block = _passes(running, target)
    before = torch.nn.functional.pad(running, (1, 0)).gather(1, block)
    inside = table[torch.arange(rows, device=block.device), block[:, 0]].double().cumsum(dim=1)
    return (block * BLOCK + _passes(inside, target - before))[:, 0]


def _passes(running: Tensor, target: Tensor) -> Tensor:
    """(n, 1) first index where `running` is above `target`; rounding cannot lead past the last mass."""
    index = (running <= target).sum(dim=1, keepdim=True)
    return torch.minimum(index, (running < running[:, -1:]).sum(dim=1, keepdim=True))


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """Rows that are decoded together: their indices, their prompts, and which prompt is whose."""

    rows: IntArray
    prompts: list[Tensor]
    owner: IntArray


class NativeSampler:
    """Draws completions with the model in this process; the prompt of a group is run and stored once.

    Works for decoders of Hugging Face that fill a `DynamicCache`. Where every layer attends to all
    that is before it, the keys and values of a prompt are kept once for its rows; other models (sliding
    windows) get a copy per row. Rows that have ended leave the batch. The first completion of all is
    compared with a plain forward, so that a model that needs something else is noticed.

    Attributes:
        model: the model, LoRA wrappers included; its weights are read at each call.
        pad_id: the token that fills shorter prompts; any id of the vocabulary.
        max_rows: rows that are decoded at once, at least 1; a bound on memory that changes no result.
    """

    def __init__(self, model: nn.Module, *, pad_id: int, max_rows: int = 512) -> None:
        if max_rows < 1:
            raise InvalidInputError(f"max_rows: expected at least 1 row, got {max_rows}")
        self.model, self.pad_id, self.max_rows = model, pad_id, max_rows
        self._checked = False

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
            uniforms: (P * group_size, max_new_tokens) float64 in [0, 1), row by row (`uniforms`).

        Returns:
            The completions, with their log-probabilities.

        Raises:
            InvalidInputError: an empty prompt, `uniforms` of another shape or outside of [0, 1), or
                logits that are not numbers.
            ConfigError: a model that this sampler cannot run.

        Edge cases: no prompts give no completions. The number of rows that are computed together
            changes sums in their last digits; it takes a uniform number that close to the border of
            a token to change a completion.
        Properties: deterministic; touches no global random state; the model's modes are restored.
        """
        check(prompts, group_size, sampling, uniforms)
        device = next(self.model.parameters()).device
        pieces: list[tuple[IntArray, FloatArray32]] = []
        chunks = list(self._chunks(prompts, group_size))
        with torch.no_grad(), evaluating(self.model), packed_linears(self.model, device):
            for chunk in chunks:
                pieces.append(self._decode(chunk, sampling, uniforms[chunk.rows], device))
            rows = np.concatenate([np.empty(0, np.int64), *(chunk.rows for chunk in chunks)])
            rollouts = collect(pieces, len(prompts), group_size, sampling, rows)
            if pieces and not self._checked:
                first = rollouts.completions[0], rollouts.logprobs[0]
                self._check(prompts[0], *first, sampling, device)
        return rollouts

    def _chunks(self, prompts: Sequence[IntArray], group_size: int) -> Iterator[_Chunk]:
        """Rows in chunks of `max_rows`, prompts of similar length together so that little is padding."""
        order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
        rows = (order[:, None] * group_size + np.arange(group_size)).ravel()
        for start in range(0, len(rows), self.max_rows):
            part = rows[start : start + self.max_rows]
            which, owner = np.unique(part // group_size, return_inverse=True)
            tensors = [torch.as_tensor(np.asarray(prompts[i], np.int64)) for i in which]
            yield _Chunk(part, tensors, owner.astype(np.int64))

    def _decode(
        self, chunk: _Chunk, sampling: Sampling, numbers: FloatArray, device: torch.device
    ) -> tuple[IntArray, FloatArray32]:
        """The tokens (n, T) and log-probabilities (n, T) of a chunk; what follows a stop is arbitrary."""
        look = 1 if device.type == "cpu" else STEPS_PER_LOOK
        stops = torch.tensor(sampling.stop_ids, dtype=torch.long, device=device)
        chances = torch.as_tensor(numbers, device=device)
        tokens = torch.zeros(chances.shape, dtype=torch.long, device=device)
        scores = torch.zeros(chances.shape, dtype=torch.float32, device=device)
        rows = torch.arange(len(chances), device=device)
        ended = torch.zeros(len(chances), dtype=torch.bool, device=device)
        decoder, logits = self._start(chunk, device)
        try:
            for t in range(sampling.max_new_tokens):
                drawn, score = draw(logits, chances[rows, t], sampling)
                tokens[rows, t], scores[rows, t] = drawn, score
                if t + 1 == sampling.max_new_tokens:
                    break
                ended |= (drawn[:, None] == stops).any(dim=1)
                if (t + 1) % look == 0 and (order := _remaining(ended, decoder)) is not None:
                    if len(order) == 0:
                        break
                    decoder.keep(order)
                    rows, drawn, ended = rows[order], drawn[order], ended[order]
                logits = decoder.step(drawn)
        finally:
            decoder.close()
        return tokens.cpu().numpy(), scores.cpu().numpy()

    def _start(self, chunk: _Chunk, device: torch.device) -> tuple[Decoder, Tensor]:
        """Run the prompts of a chunk; its decoder, and the logits (n, V) of each row's first token."""
        cache, mask, lengths, logits = prefill(self.model, chunk.prompts, self.pad_id, device)
        owner = torch.as_tensor(chunk.owner, device=device)
        kind = SharedDecoder if shares(self.model, cache) else PlainDecoder
        return kind(self.model, cache, mask, lengths, owner), logits[owner]

    def _check(
        self,
        prompt: IntArray,
        completion: IntArray,
        logprobs: FloatArray32,
        sampling: Sampling,
        device: torch.device,
    ) -> None:
        """Compare a completion's log-probabilities with those of one plain forward."""
        ids = torch.as_tensor(np.concatenate([prompt, completion]), device=device)
        logits = self.model(input_ids=ids[None], use_cache=False).logits[0, len(prompt) - 1 : -1]
        plain = torch.log_softmax(logits.float() / (sampling.temperature or 1.0), dim=-1)
        expected = plain.gather(1, ids[len(prompt) :, None])[:, 0].cpu().numpy()
        error = float(np.abs(expected - logprobs).max())
        if not error <= CHECK_TOLERANCE.get(logits.dtype, 0.5):
            raise unsupported(
                self.model, f"gives log-probabilities that are {error:.3g} off without its cache"
            )
        self._checked = True


def check(
    prompts: Sequence[IntArray], group_size: int, sampling: Sampling, uniforms: FloatArray
) -> None:
    """Raise InvalidInputError unless the arguments of `Sampler.sample` fit one another."""
    if group_size < 1:
        raise InvalidInputError(f"group_size: expected at least 1 completion, got {group_size}")
    for i, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise InvalidInputError(f"prompts: expected at least one token, got none in prompt {i}")
    expected = (len(prompts) * group_size, sampling.max_new_tokens)
    if np.shape(uniforms) != expected:
        raise InvalidInputError(
            f"uniforms: expected shape {expected}, one row per completion, got {np.shape(uniforms)}"
        )
    if uniforms.size and not (uniforms.min() >= 0.0 and uniforms.max() < 1.0):
        raise InvalidInputError("uniforms: expected numbers in [0, 1), got some outside")


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, no module is in training mode; after it, the same ones are as before."""
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def collect(
    pieces: Sequence[tuple[IntArray, FloatArray32]],
    prompts: int,
    group_size: int,
    sampling: Sampling,
    rows: IntArray | None = None,
) -> Rollouts:
    """Rollouts from tables of tokens (n, T) and log-probabilities (n, T), cut after the first stop.

    `rows` says whose the rows of all tables are, one after the other; None: they are in order.
    """
    count = prompts * group_size
    completions: list[IntArray] = [np.empty(0, np.int64)] * count
    logprobs: list[FloatArray32] = [np.empty(0, np.float32)] * count
    finished = np.zeros(count, dtype=np.bool_)
    order = iter(range(count) if rows is None else rows.tolist())
    for tokens, scores in pieces:
        ended, lengths = _ends(tokens, sampling)
        for i, length in enumerate(lengths.tolist()):
            row = next(order)
            completions[row], logprobs[row] = tokens[i, :length].copy(), scores[i, :length].copy()
            finished[row] = ended[i]
            if not np.isfinite(logprobs[row]).all():
                raise InvalidInputError(
                    f"logits: expected finite numbers, got NaN or infinity in completion {row}; the "
                    "weights may have diverged (lower optimizer.lr)"
                )
    group = np.repeat(np.arange(prompts), group_size)
    return Rollouts(completions, logprobs, finished, group)


def _ends(tokens: IntArray, sampling: Sampling) -> tuple[BoolArray, IntArray]:
    """Whether a stop token is in each row (n, T), and its length up to and with the first one."""
    stop = np.isin(tokens, sampling.stop_ids)
    ended: BoolArray = np.asarray(stop.any(axis=1))
    return ended, np.where(ended, stop.argmax(axis=1) + 1, tokens.shape[1])


def _remaining(ended: Tensor, decoder: Decoder) -> Tensor | None:
    """Where each row of the next batch stands now, with few rows moved; None: all stay."""
    slack = 0.0 if isinstance(decoder, SharedDecoder) else PLAIN_SLACK * len(ended)
    count = int((~ended).sum())
    if count and len(ended) - count <= slack:
        return None
    order = torch.arange(count, device=ended.device)
    order[ended[:count]] = torch.nonzero(~ended[count:])[:, 0] + count
    return order
