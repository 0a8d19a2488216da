"""The supervised warm-up of a new model: to answer in the format, to read, and to know the numbers.

Everything here is practice without a truth: answers are drawn at random, what is asked about a
prompt stands in the prompt, and that 33 lies next to 34 says nothing about any prompt.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from levelhead._arrays import FloatArray, IntArray
from levelhead.errors import ConfigError
from levelhead.tasks import Task
from levelhead.train.packing import pack

__all__ = ["CONFIDENCE", "Phrases", "WarmUp", "bells", "marks", "number_line", "well_formed"]

CONFIDENCE = ("<confidence>", "</confidence>")
BATCH, REPLIES = 32, 2
"""Prompts of an update, and replies that are practiced with each."""
BETAS, MAX_NORM = (0.9, 0.98), 1.0
MARKS, COMMON = 512, (0.02, 0.98)
"""Words and pairs that are asked for at most, and in which share of the prompts such a one stands."""
LISTED = 512
"""So many answers have their exact distribution as targets; of more, single ones are drawn."""
LONGEST = 64
"""Tokens of a practiced answer at most; targets of a task can be long."""
CHECKED = 256
NEAR, FAR = 0.1, 1.0
"""Standard deviations of the bells that are practiced, where the numbers reach from -1 to 1."""


@dataclasses.dataclass(frozen=True)
class Phrases:
    """What is practiced: an opening, any one of the answers, and perhaps a confidence.

    Attributes:
        answers: texts that may stand between the tags, or targets that stand in for them.
        opening: what precedes an answer.
        closing: what follows it.
        confidences: whether a confidence from 0.01 to 0.99 follows.
        numeric: whether the answers are numbers whose order means something, as chances do.
    """

    answers: tuple[str, ...]
    opening: str
    closing: str
    confidences: bool
    numeric: bool = False

    @classmethod
    def of(cls, task: Task) -> Phrases:
        """The phrases that a task's parser understands.

        Args:
            task: its answers, or else its targets, are the answers.

        Returns:
            The phrases.

        Raises:
            ConfigError: it has neither, or its format is not one of tags.
        """
        targets = (prompt.targets[0] for prompt in task.train if prompt.targets)
        answers = task.answers or tuple(dict.fromkeys(targets))
        if not answers:
            raise ConfigError(
                f"model.path: task {task.name!r} lists no answers and no targets that a new model "
                "could practice its format with; name a trained model"
            )
        numeric = task.kind == "event" and all(answer.isdecimal() for answer in answers)
        for confidences in (False, True):
            phrases = cls(tuple(answers), task.opening, task.closing, confidences, numeric)
            if task.elicit(phrases.text(answers[0], 0.5)).status == "ok":
                return phrases
        raise ConfigError(
            f"model.path: a new model can practice answer tags with or without a confidence, got the "
            f"format {task.elicitation!r} of task {task.name!r}; name a trained model"
        )

    def text(self, answer: str, confidence: float) -> str:
        """One phrase.

        Args:
            answer: between the tags.
            confidence: in [0, 1], two decimals of it are stated; left out where none is asked for.

        Returns:
            The text.
        """
        stated = f" {CONFIDENCE[0]}{confidence:.2f}{CONFIDENCE[1]}" if self.confidences else ""
        return f"{self.opening}{answer}{self.closing}{stated}"

    def texts(self, most: int) -> list[str]:
        """The first phrases, with various confidences.

        Args:
            most: how many at most.

        Returns:
            One for each answer.
        """
        numbered = enumerate(self.answers[:most])
        return [self.text(answer, (k % 99 + 1) / 100) for k, answer in numbered]

    def draw(self, rng: np.random.Generator) -> str:
        """A phrase at random, all answers and all confidences alike.

        Args:
            rng: a generator.

        Returns:
            The text.
        """
        answer = self.answers[int(rng.integers(len(self.answers)))]
        return self.text(answer, int(rng.integers(1, 100)) / 100)


class WarmUp:
    """Supervised updates on what the model must say, and on what it must have read.

    Args:
        model: a Hugging Face causal language model; it is changed.
        tokenizer: its tokenizer.
        prompts: the tokens of the prompts, up to where a reply begins.
        phrases: what to reply.
        rng: draws prompts and phrases.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[list[int]],
        phrases: Phrases,
        rng: np.random.Generator,
    ) -> None:
        self.model, self.prompts, self.rng = model, prompts, rng
        self.tokenizer, self.phrases = tokenizer, phrases
        self.marks = marks(prompts)
        rate = self.marks.mean(axis=0, dtype=np.float64)
        entropy = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        self.scale = float(entropy.sum()) or 1.0
        self.reader = nn.Linear(model.config.hidden_size, self.marks.shape[1])
        with torch.no_grad():
            self.reader.bias.copy_(torch.from_numpy(np.log(rate / (1.0 - rate))))
        self.line = number_line(tokenizer, phrases)
        self.pointer = nn.Linear(2, model.config.hidden_size, bias=False)
        if self.line is not None:
            ids, _ = self.line
            with torch.no_grad():  # what tells two numbers apart is then their order alone
                table = model.get_input_embeddings().weight
                table[ids] = table[ids[0]].clone()
        self.opened = len(tokenizer(phrases.opening, add_special_tokens=False)["input_ids"])
        self.parameters = [
            *model.parameters(),
            *self.reader.parameters(),
            *self.pointer.parameters(),
        ]
        self.optimizer = torch.optim.Adam(self.parameters, betas=BETAS)
        self.next: dict[tuple[int, ...], FloatArray] = {}
        if len(phrases.answers) <= LISTED and not phrases.confidences:
            spelled = [self._spell(text) for text in phrases.texts(LISTED)]
            self.next = _continuations(spelled, model.config.vocab_size)

    def update(self, rate: float, reading: float, numbers: float) -> None:
        """One update on a batch of prompts.

        The format's loss is the cross-entropy with the evenly spread answers, summed over a reply. The
        reader's is the share of the marks' entropy that the states where the reply is decided leave
        open. The numbers' is the divergence in nats from a bell over them, where the state has been
        pushed towards its center.

        Args:
            rate: learning rate of Adam.
            reading: weight of the reader's loss, >= 0; 0 leaves it out.
            numbers: weight of the numbers' loss, >= 0; 0 leaves it out.
        """
        chosen = self.rng.integers(len(self.prompts), size=BATCH)
        drawn = BATCH * REPLIES
        said = [self._spell(self.phrases.draw(self.rng)) for _ in range(drawn)]
        asked = np.repeat(np.arange(BATCH), REPLIES)
        packed = pack(
            [np.array(self.prompts[i]) for i in chosen], [np.array(s) for s in said], asked
        )
        states = (
            self.model.model(
                input_ids=packed.input_ids,
                attention_mask=packed.attention_mask(torch.float32),
                position_ids=packed.position_ids,
                use_cache=False,
            )
            .last_hidden_state.flatten(0, 1)
            .index_select(0, packed.places)
        )
        logprobs = functional.log_softmax(self.model.lm_head(states), dim=-1)
        reply, at = np.divmod(packed.slots.numpy(), packed.mask.shape[1])
        targets = self._targets([(said[b], t) for b, t in zip(reply, at, strict=True)])
        loss = -(logprobs[packed.which] * targets).sum() / drawn
        if reading:
            # Replies that begin alike share their states; each state is asked once.
            _, first = np.unique(packed.which.numpy(), return_index=True)
            marked = torch.from_numpy(self.marks[chosen[asked[reply[first]]]])
            unknown = functional.binary_cross_entropy_with_logits(
                self.reader(states), marked, reduction="sum"
            )
            loss = loss + reading * unknown / (self.scale * len(states))
        if numbers and self.line is not None:
            deciding = packed.which[torch.from_numpy(np.flatnonzero(at == self.opened))]
            loss = loss + numbers * self._off_the_line(states[deciding], *self.line)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.optimizer.step()

    def _off_the_line(self, states: Tensor, ids: Tensor, places: Tensor) -> Tensor:
        """Mean divergence of the pushed states' answers from bells that are drawn at random."""
        centers = self.rng.uniform(-1.0, 1.0, size=len(states))
        widths = np.exp(self.rng.uniform(np.log(NEAR), np.log(FAR), size=len(states)))
        precisions = torch.from_numpy(np.stack([centers, np.ones_like(centers)], axis=1))
        precisions = precisions / torch.from_numpy(widths[:, None]) ** 2
        pushed = states + self.pointer(precisions.float())
        stated = functional.log_softmax(self.model.lm_head(pushed), dim=-1)[:, ids]
        wanted = bells(places.double(), centers, widths).float()
        return functional.kl_div(stated, wanted, reduction="batchmean", log_target=True)

    def _spell(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids[:LONGEST], int(self.tokenizer.eos_token_id)]

    def _targets(self, places: Sequence[tuple[list[int], int]]) -> Tensor:
        """What may come next: all that any answer says there, or the token that was drawn."""
        if self.next:
            rows = [self.next[tuple(said[:t])] for said, t in places]
            return torch.from_numpy(np.stack(rows).astype(np.float32))
        tokens = torch.tensor([said[t] for said, t in places])
        return functional.one_hot(tokens, self.model.config.vocab_size).float()


def number_line(tokenizer: Any, phrases: Phrases) -> tuple[Tensor, Tensor] | None:
    """The tokens of answers that are numbers, and where each lies between the smallest and the largest.

    Args:
        tokenizer: a tokenizer.
        phrases: what is practiced.

    Returns:
        (K,) token ids and (K,) places from -1 to 1; None where the answers are no numbers with an order,
        where one is more than a token, or all are the same.
    """
    if not phrases.numeric:
        return None
    spelled = tokenizer(list(phrases.answers), add_special_tokens=False)["input_ids"]
    if any(len(ids) != 1 for ids in spelled):
        return None
    values = torch.tensor([float(answer) for answer in phrases.answers])
    low, high = values.min(), values.max()
    if low == high:
        return None
    return torch.tensor([ids[0] for ids in spelled]), 2.0 * (values - low) / (high - low) - 1.0


def bells(places: Tensor, centers: FloatArray, widths: FloatArray) -> Tensor:
    """Log-probabilities of normal densities that are cut off at the places.

    They are an exponential family: `log p(x) = x c/w^2 - x^2/2 1/w^2 - log Z`, linear in (c/w^2, 1/w^2),
    so that two directions of the hidden state reach all of them.

    Args:
        places: (K,) of the answers.
        centers: (N,) in the same unit.
        widths: (N,) > 0.

    Returns:
        (N, K) nats; each row's probabilities add up to 1.
    """
    center, width = torch.from_numpy(centers)[:, None], torch.from_numpy(widths)[:, None]
    return functional.log_softmax(-((places - center) ** 2) / (2.0 * width**2), dim=-1)


def marks(prompts: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Which words, and which pairs of neighbors, stand in each prompt.

    Only those that tell prompts apart, the most even ones first: a mark stands in 2% of the prompts at
    least and in 98% at most.

    Args:
        prompts: N token sequences.

    Returns:
        (N, F) 0 or 1, F at most 512.
    """
    held = [{*ids, *itertools.pairwise(ids)} for ids in prompts]
    counts = Counter(mark for found in held for mark in found)
    low, high = (share * len(prompts) for share in COMMON)
    useful = [mark for mark, n in counts.items() if low <= n <= high and n < len(prompts)]
    useful.sort(key=lambda mark: (abs(2 * counts[mark] - len(prompts)), str(mark)))
    column = {mark: i for i, mark in enumerate(useful[:MARKS])}
    table = np.zeros((len(prompts), len(column)), dtype=np.float32)
    for row, found in zip(table, held, strict=True):
        row[[column[mark] for mark in found if mark in column]] = 1.0
    return table


def well_formed(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], task: Task, longest: int
) -> float:
    """Share of sampled replies in which the task's parser finds a usable confidence.

    Args:
        model: a Hugging Face causal language model.
        tokenizer: its tokenizer, which pads on the left.
        prompts: the tokens of the prompts; 256 of them, evenly spread, are answered.
        task: how replies are read.
        longest: tokens of a reply at most.

    Returns:
        In [0, 1].

    Properties: the same on every call; the global random state is left as it was.
    """
    places: IntArray = np.linspace(0, len(prompts) - 1, CHECKED).astype(np.int64)
    batch = tokenizer.pad({"input_ids": [prompts[i] for i in places]}, return_tensors="pt")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        done = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=longest)
    replies = done[:, batch["input_ids"].shape[1] :]
    texts = cast(list[str], tokenizer.batch_decode(replies, skip_special_tokens=True))
    return float(np.mean([task.elicit(text).status == "ok" for text in texts]))


def _continuations(spelled: list[list[int]], size: int) -> dict[tuple[int, ...], FloatArray]:
    """Of each beginning, the distribution of the next token where all phrases are equally likely."""
    found: dict[tuple[int, ...], FloatArray] = {}
    for phrase in spelled:
        for t, token in enumerate(phrase):
            found.setdefault(tuple(phrase[:t]), np.zeros(size))[token] += 1.0
    return {beginning: counts / counts.sum() for beginning, counts in found.items()}
