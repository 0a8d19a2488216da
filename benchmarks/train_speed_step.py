"""One contender of `train_speed.py`, in a process of its own: a whole optimizer step at each request.

Every contender gets the same model, prompts, lengths and reward. Tokens are drawn from the model by
each one's own sampler; only the end of a completion is decided beforehand. Ours is told through its
random numbers (the stop token is the last of the vocabulary, so the largest number draws it and no
other one does), TRL through a logits processor that touches one column.

On standard input each line asks for a step; the answer is a line of JSON with its CPU seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

VOCABULARY = 2048
PROMPTS, GROUP, PROMPT_TOKENS = 8, 8, 64
LONGEST, SHORTEST, MEAN = 64, 2, 28
STOP = VOCABULARY - 1
TAGS = ("<answer>", "</answer>")
SEED = 5
LEARNING_RATE = 1e-5
STEPS = 1000
"""More than anybody asks for."""

Work = Callable[[], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the model, which is untrained and of Qwen3's architecture."""

    layers: int = 6
    hidden: int = 384


def make_model(size: Size) -> Any:
    """The same weights in every process."""
    transformers.set_seed(SEED)
    heads = max(2, size.hidden // 64)
    config = transformers.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        head_dim=64,
        intermediate_size=8 * size.hidden // 3,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=STOP,
        pad_token_id=0,
    )
    return transformers.Qwen3ForCausalLM(config)


def make_tokenizer() -> Any:
    """A word for every number but the first, which are tags; `<eos>` is the last one."""
    words = ["<pad>", *TAGS, *(f"w{i}" for i in range(1 + len(TAGS), STOP)), "<eos>"]
    plain = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>")
    )
    plain.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", model_max_length=512
    )


def make_prompts() -> np.ndarray:
    """(PROMPTS, PROMPT_TOKENS) token ids."""
    return np.random.default_rng(SEED).integers(1, STOP, (PROMPTS, PROMPT_TOKENS))


def lengths_of(step: int, full: bool) -> np.ndarray:
    """(PROMPTS * GROUP,) tokens of each completion of a step, the stop token included."""
    if full:
        return np.full(PROMPTS * GROUP, LONGEST)
    drawn = np.random.default_rng([SEED, step]).gamma(4.0, MEAN / 4.0, PROMPTS * GROUP)
    return np.clip(np.rint(drawn), SHORTEST, LONGEST).astype(np.int64)


def score(texts: Sequence[str]) -> list[float]:
    """Share of words with an odd number."""
    words = [text.split() for text in texts]
    odd = [sum(word[-1] in "13579" for word in one) for one in words]
    return [n / max(1, len(one)) for n, one in zip(odd, words, strict=True)]


class ScoredRewarder:
    """Our rewarder, which reads every text for a stated probability; then `score` counts instead."""

    floor = 0.0

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, prompts: Sequence[Any], texts: Sequence[str]) -> Any:
        return dataclasses.replace(self.inner(prompts, texts), rewards=np.array(score(texts)))


class Clock:
    """CPU seconds of this process, by phase."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to a phase."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - start

        return run

    def taken(self) -> dict[str, float]:
        """What was spent since the last call."""
        spent, self.spent = self.spent, {}
        return spent


class PlannedSampler:
    """Our sampler, given random numbers at which completions end where they should."""

    def __init__(self, inner: Any, full: bool) -> None:
        self.inner, self.full, self.step = inner, full, 0

    def sample(self, prompts: Any, *, group_size: int, sampling: Any, uniforms: Any) -> Any:
        lengths = lengths_of(self.step, self.full)
        self.step += 1
        numbers = 0.9 * uniforms  # the stop token has far less than a tenth of the mass
        numbers[np.arange(len(numbers)), lengths - 1] = np.nextafter(1.0, 0.0)
        found = self.inner.sample(
            prompts, group_size=group_size, sampling=sampling, uniforms=numbers
        )
        got = [len(completion) for completion in found.completions]
        if got != lengths.tolist():
            raise RuntimeError(f"completions of {got} tokens instead of {lengths.tolist()}")
        return found


def our_trainer(size: Size, full: bool = False, *settings: str) -> Any:
    """levelhead's trainer as a recipe makes it, with TRL's GRPO loss; the rest is the default."""
    from levelhead.train.build import build
    from levelhead.train.config import load

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = make_tokenizer()
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        tokenizer.save_pretrained(folder / "model")
        make_model(size).save_pretrained(folder / "model")
        rows = [{"text": tokenizer.decode(row), "outcome": 0} for row in make_prompts()]
        lines = [json.dumps(row) for row in rows]
        (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "held_out.jsonl").write_text(json.dumps({"text": "w1", "outcome": 0}) + "\n")
        recipe = load(
            None,
            [
                f"task={{kind: probability, path: {folder}/train.jsonl, "
                f"evaluation: {folder}/held_out.jsonl, messages: text}}",
                f"model.path={folder}/model",
                "model.device=cpu",
                f"rollout.prompts={PROMPTS}",
                f"rollout.group_size={GROUP}",
                f"rollout.max_new_tokens={LONGEST}",
                "algorithm.estimator=grpo",
                "algorithm.estimator_options={eps: 1e-4}",
                "algorithm.aggregation=seq-mean-token-mean",
                f"optimizer.lr={LEARNING_RATE}",
                *settings,
            ],
        )
        built = build(recipe)
    trainer = built.trainer
    trainer.parts.sampler = PlannedSampler(trainer.parts.sampler, full)
    trainer.parts.rewarder = ScoredRewarder(trainer.parts.rewarder)
    return trainer


def run_ours(
    size: Size,
    full: bool,
    wait: Callable[[dict[str, float]], None],
    *,
    settings: Sequence[str] = (),
) -> None:
    """Steps of our trainer, one at each request."""
    trainer, clock, step = our_trainer(size, full, *settings), Clock(), 0
    sampler = trainer.parts.sampler
    sampler.inner.sample = clock.timed("generate", sampler.inner.sample)
    trainer.loss = clock.timed("forward", trainer.loss)
    while True:
        wait(clock.taken())
        trainer.step(step)
        step += 1


class _Plan(transformers.LogitsProcessor):
    """Ends completions of a batch where they should; one column of the scores is written."""

    def __init__(self, full: bool) -> None:
        self.full, self.step, self.ends = full, -1, {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        t = input_ids.shape[1] - PROMPT_TOKENS
        if t == 0:
            self.step += 1
            lengths = lengths_of(self.step, self.full)
            self.ends = {n: np.flatnonzero(lengths == n) for n in set(lengths.tolist())}
        scores[:, STOP] = -torch.inf
        if t + 1 in self.ends:
            scores[self.ends[t + 1], STOP] = 1e9
        return scores


def compact_head() -> None:
    """Let TRL score completion tokens only, as it does on CUDA, with its function for the CPU."""
    from trl.trainer import utils

    utils._use_triton = lambda device: True


def trl_trainer(size: Size, full: bool = False, **settings: Any) -> Any:
    """TRL's GRPOTrainer; what is set is the work, float32, and that nothing is logged or saved."""
    import datasets
    import trl

    tokenizer = make_tokenizer()
    texts = [tokenizer.decode(row) for row in make_prompts()]
    # Every epoch is one step, or all are one: the data set is long enough for the latter.
    rows = datasets.Dataset.from_dict({"prompt": texts * STEPS})
    options: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "shuffle_dataset": False,
        "max_steps": STEPS,
        "per_device_train_batch_size": PROMPTS * GROUP,
        "num_generations": GROUP,
        "max_completion_length": LONGEST,
        "learning_rate": LEARNING_RATE,
        "loss_type": "grpo",
        "beta": 0.0,
        **settings,
    }
    trainer = trl.GRPOTrainer(
        model=make_model(size),
        reward_funcs=lambda completions, **columns: score(completions),
        args=trl.GRPOConfig(**options),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    plan = transformers.LogitsProcessorList([_Plan(full)])
    trainer.model.generate = functools.partial(trainer.model.generate, logits_processor=plan)
    return trainer


def run_trl(
    size: Size, full: bool, wait: Callable[[dict[str, float]], None], **settings: Any
) -> None:
    """Steps of TRL's trainer, one at each request."""
    trainer, clock = trl_trainer(size, full, **settings), Clock()
    trainer._generate_single_turn = clock.timed("generate", trainer._generate_single_turn)
    trainer.compute_loss = clock.timed("forward", trainer.compute_loss)

    class Waits(transformers.TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            wait(clock.taken())

    trainer.add_callback(Waits())
    trainer.train()


def gradients(size: Size) -> dict[str, float]:
    """One batch that TRL samples and judges, through its loss and through ours; float32."""
    from levelhead.train.experience import Experience

    trainer = trl_trainer(size, max_steps=1, learning_rate=0.0, gradient_checkpointing=False)
    batches: list[Any] = []
    original = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda x: batches.append(original(x)) or batches[-1]
    trainer.train()
    batch = batches[0]
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    theirs = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}

    ours = our_trainer(size, False, "optimizer.max_grad_norm=null")
    data = ours.parts.data
    asked = [tuple(row.tolist()) for row in data.tokens]
    index = np.array([asked.index(tuple(row.tolist())) for row in batch["prompt_ids"][::GROUP]])
    lengths = batch["completion_mask"].sum(dim=1).tolist()
    completions = [row[:n].numpy() for row, n in zip(batch["completion_ids"], lengths, strict=True)]
    texts = trainer.processing_class.batch_decode(completions, skip_special_tokens=True)
    prompts = [data.prompts[i] for i in np.repeat(index, GROUP)]
    experience = Experience(
        index=index,
        place=np.arange(PROMPTS),
        prompts=[data.tokens[i] for i in index],
        completions=completions,
        logprobs=[np.zeros(n) for n in lengths],
        finished=np.ones(len(lengths), dtype=bool),
        judged=ours.parts.rewarder(prompts, texts),
        answer_rewards=None,
        group_size=GROUP,
    )
    tables, _ = ours.prepare(experience)
    ours.parts.optimizer.step = lambda: None  # only the gradients are wanted
    sums = ours.update(experience, tables, np.arange(PROMPTS))
    mine = {n: p.grad for n, p in ours.parts.policy.model.named_parameters() if p.grad is not None}
    if mine.keys() != theirs.keys():
        raise RuntimeError(f"gradients of different weights: {mine.keys() ^ theirs.keys()}")
    largest = max(float(grad.abs().max()) for grad in theirs.values())
    difference = max(float((mine[name] - theirs[name]).abs().max()) for name in theirs)
    advantage = batch["advantages"]
    return {
        "largest": largest,
        "difference": difference,
        "relative": difference / largest,
        "advantages": float((tables.advantages - advantage).abs().max()),
        "largest_advantage": float(advantage.abs().max()),
        "loss": sums["loss"],
        "loss_trl": float(loss),
        "tokens": float(sum(lengths)),
    }


CONTENDERS: dict[str, Callable[..., None]] = {
    "levelhead": run_ours,
    "trl": functools.partial(run_trl, gradient_checkpointing=False),
    "trl_compact": functools.partial(run_trl, gradient_checkpointing=False),
    "trl_default": run_trl,
    "levelhead_small": functools.partial(run_ours, settings=("compute.micro_tokens=300",)),
    "trl_small": functools.partial(
        run_trl,
        gradient_checkpointing=False,
        per_device_train_batch_size=GROUP,
        gradient_accumulation_steps=PROMPTS,
    ),
}
"""TRL checkpoints activations unless told not to, which costs a second forward pass: `trl_default`."""


def main() -> None:
    """Serve requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=[*CONTENDERS, "gradients"])
    parser.add_argument("--layers", type=int, default=Size.layers)
    parser.add_argument("--hidden", type=int, default=Size.hidden)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    size = Size(arguments.layers, arguments.hidden)
    if arguments.contender == "gradients":
        print(json.dumps(gradients(size)), file=answers)
        return
    if arguments.contender == "trl_compact":
        compact_head()
    last = None

    def wait(phases: dict[str, float]) -> None:
        nonlocal last
        now = time.process_time()
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"peak_mb": usage, **phases}
        if last is not None:
            answer["step"] = now - last
        print(json.dumps(answer), file=answers)
        if not sys.stdin.readline():
            os._exit(0)
        last = time.process_time()

    CONTENDERS[arguments.contender](size, arguments.full, wait)


if __name__ == "__main__":
    main()
