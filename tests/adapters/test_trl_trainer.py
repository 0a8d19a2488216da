"""The trainer for TRL: what the loss gets, recomputed from what the reward functions saw.

Most tests train a tiny model with TRL; those of the parts that need no TRL run everywhere.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead import advantages as estimators
from levelhead.adapters import _trl_contract, trl_trainer
from levelhead.adapters.trl_trainer import CalibratedGRPOTrainer, tag_segments
from levelhead.advantages import TABLE
from levelhead.diagnose.difficulty import filtered_advantages, rare_success_gate
from levelhead.errors import ConfigError, InvalidInputError, MissingDependencyError

INSTALLED = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(
    not INSTALLED, reason="TRL is not installed here; `make test-peers` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL's dependencies warn about is theirs

SAME = 1e-6
NAN = float("nan")
Make = Callable[..., Any]
Key = tuple[str, tuple[int, ...]]


class Scores:
    """A reward that depends on prompt and completion alone, and remembers each; some are None."""

    __name__ = "scores"

    def __init__(self, factor: int = 7, unscorable: bool = True) -> None:
        self.factor, self.unscorable = factor, unscorable
        self.seen: dict[Key, float] = {}

    def __call__(
        self, prompts: list[str], completion_ids: list[list[int]], **columns: Any
    ) -> list[float | None]:
        out: list[float | None] = []
        for prompt, ids in zip(prompts, completion_ids, strict=True):
            value = (self.factor * sum(ids) + len(prompt)) % 11 / 10
            lost = self.unscorable and sum(ids) % 5 == 0
            self.seen[prompt, tuple(ids)] = NAN if lost else float(np.float32(value))
            out.append(None if lost else value)
        return out


def keys(batch: dict[str, Any], tokenizer: Any) -> list[Key]:
    """The prompt and the completion of each row of a batch."""
    found = []
    for prompt, there, ids, mask in zip(
        *(batch[k] for k in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")),
        strict=True,
    ):
        text = tokenizer.decode(prompt[there.bool()])
        found.append((text, tuple(ids[mask.bool()].tolist())))
    return found


def watched(trainer: Any) -> list[tuple[list[Key], np.ndarray]]:
    """What every call of the loss gets: its rows, and their advantages."""
    calls: list[tuple[list[Key], np.ndarray]] = []
    original = trainer._compute_loss

    def compute(model: Any, inputs: dict[str, Any]) -> Any:
        rows = keys(inputs, trainer.processing_class)
        calls.append((rows, inputs["advantages"].double().numpy().copy()))
        return original(model, inputs)

    trainer._compute_loss = compute
    return calls


def by_prompt(rows: Sequence[Key], rewards: dict[Key, float]) -> tuple[np.ndarray, np.ndarray]:
    """Rewards, and the number of each row's prompt in order of appearance."""
    prompts: list[str] = []
    for prompt, _ in rows:
        if prompt not in prompts:
            prompts.append(prompt)
    return (
        np.array([rewards[row] for row in rows]),
        np.array([prompts.index(prompt) for prompt, _ in rows]),
    )


def rest(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Reward minus the mean of the others that count, by a loop."""
    out = np.zeros(len(rewards))
    for i, (r, g) in enumerate(zip(rewards, groups, strict=True)):
        others = [
            s
            for j, (s, h) in enumerate(zip(rewards, groups, strict=True))
            if h == g and j != i and not np.isnan(s)
        ]
        if others and not np.isnan(r):
            out[i] = r - sum(others) / len(others)
    return out


REUSED: dict[str, Any] = {
    "per_device_train_batch_size": 3,
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 4,
    "num_iterations": 2,
    "max_steps": 8,
}
"""12 completions in 4 pieces, shuffled, each used twice, and two rollouts."""


@needs_trl
@pytest.mark.parametrize("name", ["rloo", "grpo_no_std", "batch_std", "pl_softmax", "grpo"])
def test_the_loss_gets_our_advantages(name: str, make_trainer: Make) -> None:
    scores = Scores()
    trainer = make_trainer(CalibratedGRPOTrainer, scores, {"advantage": name}, **REUSED)
    calls = watched(trainer)
    trainer.train()
    assert len(calls) == 16
    for start in (0, 8):
        first, again = calls[start : start + 4], calls[start + 4 : start + 8]
        assert [rows for rows, _ in first] == [rows for rows, _ in again]
        rows = [row for part, _ in first for row in part]
        assert [prompt for prompt, _ in rows] != sorted(prompt for prompt, _ in rows)  # shuffled
        rewards, groups = by_prompt(rows, scores.seen)
        assert np.bincount(groups).tolist() == [3, 3, 3, 3]
        expected = TABLE[name].function(rewards, groups)
        if name == "rloo":
            np.testing.assert_allclose(expected, rest(rewards, groups), atol=1e-12)
        assert np.abs(expected).max() > 0.1
        for part in (first, again):
            got = np.concatenate([values for _, values in part])
            np.testing.assert_allclose(got, expected, rtol=SAME, atol=SAME)
    assert np.isnan(list(scores.seen.values())).any()


@needs_trl
def test_two_reward_functions_count_with_their_weights(make_trainer: Make) -> None:
    one, other = Scores(), Scores(3, unscorable=False)
    trainer = make_trainer(
        CalibratedGRPOTrainer,
        [one, other],
        {"advantage": lambda rewards, groups: 2.0 * np.nan_to_num(rewards)},
        reward_weights=[1.0, 0.5],
    )
    calls = watched(trainer)
    trainer.train()
    rows, got = calls[0]
    sums = [np.nansum([one.seen[row], 0.5 * other.seen[row]]) for row in rows]
    np.testing.assert_allclose(got, 2.0 * np.array(sums), rtol=SAME, atol=SAME)
    assert list(trainer._logs["advantages"]) == pytest.approx(sorted_as_logged(trainer, got, rows))


def sorted_as_logged(trainer: Any, got: np.ndarray, rows: list[Key]) -> list[float]:
    """The advantages in the order of TRL's table of completions."""
    by_text: dict[tuple[str, str], float] = {}
    for (prompt, ids), value in zip(rows, got.tolist(), strict=True):
        text = trainer.processing_class.decode(list(ids), skip_special_tokens=True)
        by_text[prompt, text] = value
    return [
        by_text[key]
        for key in zip(trainer._logs["prompt"], trainer._logs["completion"], strict=True)
    ]


@needs_trl
@pytest.mark.parametrize("loss", ["dapo", "grpo"])
def test_segments_have_advantages_of_their_own(loss: str, make_trainer: Make) -> None:
    """Tokens below 5 get the sum of both rewards, the others the second one alone."""
    one, other = Scores(unscorable=False), Scores(3)
    more = {
        "advantage": "rloo",
        "segments": lambda ids: [int(token >= 5) for token in ids],
        "segment_weights": [[1.0, 1.0], [0.0, 2.0]],
    }
    trainer = make_trainer(CalibratedGRPOTrainer, [one, other], more, loss_type=loss, **REUSED)
    calls = watched(trainer)
    trainer.train()
    rows = [row for part, _ in calls[:4] for row in part]
    first, groups = by_prompt(rows, one.seen)
    second, _ = by_prompt(rows, other.seen)
    of = [rest(np.nansum([first, second], axis=0), groups), rest(2.0 * second, groups)]
    place, seen = 0, set()
    for part, got in calls[:4]:
        assert got.ndim == 2
        for (_, ids), values in zip(part, got, strict=True):
            expected = np.zeros(len(values))
            for t, token in enumerate(ids):
                expected[t] = of[int(token >= 5)][place]
                seen.add(token >= 5)
            np.testing.assert_allclose(values, expected, rtol=SAME, atol=SAME)
            place += 1
    assert seen == {True, False}
    assert 0 < np.isnan(second).sum() < len(second)


@needs_trl
def test_it_trains_a_lora(make_trainer: Make) -> None:
    peft: Any = importlib.import_module("peft")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    scores = Scores()
    trainer = make_trainer(
        CalibratedGRPOTrainer, scores, {"peft_config": lora}, max_steps=2, beta=0.1
    )
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    calls = watched(trainer)
    trainer.train()
    changed = {n for n, p in trainer.model.named_parameters() if not p.equal(before[n])}
    assert changed
    assert all("lora" in name for name in changed)
    for rows, got in calls:
        expected = rest(*by_prompt(rows, scores.seen))
        np.testing.assert_allclose(got, expected, rtol=SAME, atol=SAME)


@needs_trl
def test_an_estimator_with_a_memory_knows_its_prompts(make_trainer: Make) -> None:
    """Of the 4 prompts 2 are in each step, so after 4 steps each was seen twice."""
    scores = Scores(unscorable=False)
    options = {"advantage": "ema_std", "advantage_options": {"decay": 0.5}}
    trainer = make_trainer(CalibratedGRPOTrainer, scores, options, max_steps=4)
    calls = watched(trainer)
    trainer.train()
    scale: dict[str, float] = {}
    for rows, got in calls:
        rewards, groups = by_prompt(rows, scores.seen)
        expected = np.zeros(len(rows))
        for g in range(groups.max() + 1):
            mine = groups == g
            prompt = next(p for (p, _), own in zip(rows, mine, strict=True) if own)
            now = scale.get(prompt, 1.0)
            expected[mine] = (rewards[mine] - rewards[mine].mean()) / (now + 1e-6)
            spread = float(rewards[mine].std(ddof=1))
            if spread > 1e-6:
                scale[prompt] = 0.5 * now + 0.5 * spread
        np.testing.assert_allclose(got, expected, rtol=SAME, atol=SAME)
    assert len(scale) == 4
    assert sum(value != 1.0 for value in scale.values()) >= 3


@needs_trl
def test_checkpoints_and_tables_of_completions(make_trainer: Make, tmp_path: Path) -> None:
    """A run saves, resumes and shows its completions as TRL's own does; everything unscorable is 0."""
    settings = {"save_strategy": "steps", "save_steps": 1, "log_completions": True}
    make_trainer(CalibratedGRPOTrainer, Scores(), **settings).train()
    nothing = make_trainer(
        CalibratedGRPOTrainer,
        lambda prompts, **columns: [None] * len(prompts),
        max_steps=2,
        **settings,
    )
    calls = watched(nothing)
    nothing.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))
    assert nothing.state.global_step == 2
    assert [values.tolist() for _, values in calls] == [[0.0] * 6]
    tables = sorted((tmp_path / "run" / "completions").glob("*.parquet"))
    assert [path.stem for path in tables] == ["completions_00001", "completions_00002"]


@needs_trl
def test_evaluation_keeps_the_advantages_of_trl(make_trainer: Make) -> None:
    datasets: Any = importlib.import_module("datasets")
    called: list[int] = []

    def advantage(rewards: np.ndarray, groups: np.ndarray) -> np.ndarray:
        called.append(len(rewards))
        return np.nan_to_num(rewards)

    data = datasets.Dataset.from_dict({"prompt": ["wet", "dry"]})
    more = {"advantage": advantage, "eval_dataset": data}
    trainer = make_trainer(
        CalibratedGRPOTrainer, Scores(), more, per_device_eval_batch_size=6, eval_strategy="steps"
    )
    trainer.train()
    assert called == [6]
    assert any("eval_loss" in line for line in trainer.state.log_history)


SCRIPT = """
import json, os, sys
import datasets, numpy as np, torch, trl
import trl.trainer.base_trainer as base
from levelhead.adapters.trl_callback import CalibrationCallback
from levelhead.adapters.trl_trainer import CalibratedGRPOTrainer

torch.set_num_threads(1)
base.send_telemetry = lambda *a, **k: None
model, folder, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
prompts = ["wet sun", "dry", "rain rain sun", "sun dry dry wet"]


def rollout(asked, trainer):
    # Sampling differs between processes; completions by their place in the whole batch do not.
    step, rank = trainer.state.global_step, trainer.accelerator.process_index
    ids = []
    for i in range(len(asked)):
        rng = np.random.default_rng([step, rank * len(asked) + i])
        ids.append([*rng.integers(2, 10, rng.integers(1, 5)).tolist(), 1])
    tokenizer = trainer.processing_class
    return {
        "prompt_ids": tokenizer(asked)["input_ids"],
        "completion_ids": ids,
        "logprobs": [[0.0] * len(one) for one in ids],
    }


def score(prompts, completion_ids, **columns):
    return [(7 * sum(ids) + len(p)) % 11 / 10 for p, ids in zip(prompts, completion_ids)]


found = {}
for name in ("rloo", "batch_std", "ema_std", "pl_softmax"):
    trainer = CalibratedGRPOTrainer(
        model=model,
        reward_funcs=score,
        args=trl.GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
            disable_tqdm=True, max_steps=3, per_device_train_batch_size=size, num_generations=2,
            max_completion_length=5, beta=0.0, learning_rate=1e-2, gradient_checkpointing=False,
            logging_strategy="no",
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
        rollout_func=rollout,
        advantage=name,
    )
    rows = [{"prompt": p, "outcome": 1} for p in prompts[:3]]
    callback = CalibrationCallback(trainer, rows, every=2, samples=3, batch_size=2, folder=folder)
    if name == "rloo":
        trainer.add_callback(callback)
    calls = found.setdefault(name, [])
    original = trainer._compute_loss

    def compute(model, inputs):
        there = [inputs[k] for k in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")]
        rows = []
        for ids, mask, said, of_it, advantage in zip(*there, inputs["advantages"].tolist()):
            prompt = trainer.processing_class.decode(ids[mask.bool()])
            said = said[of_it.bool()].tolist()
            rows.append([trainer.state.global_step, prompt, said, advantage])
        calls.append(rows)
        return original(model, inputs)

    trainer._compute_loss = compute
    trainer.train()
    if name == "rloo":
        callback._generated = lambda prompts, step, rank: [f"{p}|{step}" for p in prompts]
        found["texts"] = callback._collected(7)
        found["evaluations"] = [[step, m["samples"]] for step, m in callback.history]
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    found[name + " weights"] = weights.tolist()
rank = os.environ.get("RANK", "0")
json.dump(found, open(f"{folder}/rank{rank}.json", "w"))
"""


@needs_trl
def test_two_processes_are_one(trl_model: Path, tmp_path: Path) -> None:
    """Groups of 2 in batches of 3 for each process: one group is split between them."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        **dict.fromkeys(("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "OMP_NUM_THREADS"), "1"),
        "ACCELERATE_USE_CPU": "true",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    results: list[dict[str, Any]] = []
    for start, size, ranks in (([], 6, 1), (torchrun, 3, 2)):
        folder = tmp_path / f"{ranks}"
        folder.mkdir()
        command = [sys.executable, *start, str(script), str(trl_model), str(folder), str(size)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(together(folder, ranks))
    one, two = results
    assert one["evaluations"] == two["evaluations"] == [[0, 9.0], [2, 9.0], [3, 9.0]]
    prompts = ("wet sun", "dry", "rain rain sun")
    assert one["texts"] == two["texts"] == [f"{p}|7" for p in prompts for _ in range(3)]
    for name in ("rloo", "batch_std", "ema_std", "pl_softmax"):
        assert len(one[name]) == 18
        assert [row[:3] for row in one[name]] == [row[:3] for row in two[name]]
        first, second = ([row[3] for row in found[name]] for found in (one, two))
        np.testing.assert_allclose(first, second, rtol=SAME, atol=SAME)
        assert max(map(abs, first)) > 0.1
        np.testing.assert_allclose(one[f"{name} weights"], two[f"{name} weights"], atol=2e-4)


def together(folder: Path, ranks: int) -> dict[str, Any]:
    """What all processes saw, sorted."""
    parts = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(ranks)]
    found = dict(parts[0])
    for name in ("rloo", "batch_std", "ema_std", "pl_softmax"):
        found[name] = sorted(row for part in parts for batch in part[name] for row in batch)
    return found


@needs_trl
def test_the_page_works(
    trl_model: Path, make_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Python block of docs/trl.md, one after the other, with the tiny model."""
    page = (Path(__file__).parents[2] / "docs" / "trl.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    small = (
        "use_cpu=True, bf16=False, report_to=[], save_strategy='no', disable_tqdm=True, max_steps=1, "
        "per_device_train_batch_size=4, num_generations=2, max_completion_length=5, "
    )
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    trained = []
    for block in blocks:
        code = block.replace("Qwen/Qwen3-0.6B", str(trl_model))
        exec(code.replace("GRPOConfig(", f"GRPOConfig({small}"), names)
        if "trainer.train()" not in block:
            names["trainer"].train()
        trained.append(names["trainer"].state.global_step)
    assert trained == [1, 1, 1, 1]
    assert (tmp_path / "run" / "calibration" / "predictions.parquet").is_file()


# ---- what goes wrong


@needs_trl
def test_a_function_of_the_wrong_shape_or_with_nan(make_trainer: Make) -> None:
    trainer = make_trainer(CalibratedGRPOTrainer, Scores(), {"advantage": lambda r, g: r[:2]})
    with pytest.raises(
        ConfigError,
        match=r"^advantage <lambda>: expected one advantage for each of 6 rewards, shape \(6,\), got "
        r"shape \(2,\); try it alone with `levelhead probe`$",
    ):
        trainer.train()
    trainer = make_trainer(
        CalibratedGRPOTrainer, Scores(unscorable=False), {"advantage": lambda r, g: r * NAN}
    )
    with pytest.raises(ConfigError, match=r"expected finite advantages, got nan at index 0, where"):
        trainer.train()


@needs_trl
def test_normalize_then_sum_is_refused(make_trainer: Make) -> None:
    with pytest.raises(ConfigError, match=r"expected 'sum_then_normalize' .*, got 'normalize_then"):
        make_trainer(
            CalibratedGRPOTrainer, Scores(), multi_objective_aggregation="normalize_then_sum"
        )


@needs_trl
def test_a_trl_whose_methods_have_moved(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = importlib.import_module("trl").GRPOTrainer
    version = importlib.import_module("importlib.metadata").version("trl")
    original = real._calculate_rewards
    monkeypatch.delattr(real, "_calculate_rewards")
    with pytest.raises(
        ConfigError,
        match=rf"^CalibratedGRPOTrainer cannot put its advantages into trl {version}: GRPOTrainer has no "
        r"method _calculate_rewards; install trl==1\.16\.0, .* or a newer levelhead$",
    ):
        make_trainer(CalibratedGRPOTrainer, Scores())
    monkeypatch.setattr(real, "_calculate_rewards", lambda self, inputs: None, raising=False)
    with pytest.raises(
        ConfigError, match=r"_calculate_rewards takes \(self, inputs\), not \(self, "
    ):
        make_trainer(CalibratedGRPOTrainer, Scores())
    monkeypatch.setattr(real, "_calculate_rewards", original)

    def compute(self: Any, model: Any, inputs: Any) -> None: ...

    monkeypatch.setattr(real, "_compute_loss", compute)
    with pytest.raises(ConfigError, match=r"GRPOTrainer\._compute_loss no longer reads advantages"):
        make_trainer(CalibratedGRPOTrainer, Scores())


@needs_trl
def test_a_trl_whose_rewards_are_in_another_order(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The methods are the same, the numbers do not fit: advantages belong to reversed rewards."""
    real: Any = importlib.import_module("trl").GRPOTrainer
    original = real._generate_and_score_completions

    def generate(self: Any, inputs: Any) -> Any:
        _ = (self._calculate_rewards, self.num_generations)
        out = original(self, inputs)
        out["advantages"] = out["advantages"].flip(0)
        return out

    monkeypatch.setattr(real, "_generate_and_score_completions", generate)
    trainer = make_trainer(CalibratedGRPOTrainer, Scores(unscorable=False))
    with pytest.raises(ConfigError, match=r"do not follow the rewards of their groups"):
        trainer.train()


@pytest.mark.skipif(INSTALLED, reason="TRL is installed here")
def test_without_trl_the_file_can_be_imported_and_says_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[trl\]'"):
        CalibratedGRPOTrainer(advantage="rloo")


# ---- the parts, which need no TRL


@pytest.mark.parametrize(
    ("advantage", "options", "said"),
    [
        ("rlo", {}, r"^advantage: expected one of .*, got 'rlo'; did you mean 'rloo'\?$"),
        ("rloo", {"eps": 1}, r"^advantage_options: expected options of rloo \(none\), got eps$"),
        ("grpo", {"epz": 1}, r"^advantage_options: .*, got epz; did you mean 'eps'\?$"),
        ("grpo", {"eps": -1.0}, r"^eps: expected a finite number >= 0, got -1\.0$"),
        ("ema_std", {"decay": 2}, r"^decay: expected a number in \[0, 1\), got 2$"),
        (3, {}, r"^advantage: expected a name or a function, got int$"),
        (np.add, {"a": 1}, r"^advantage_options: expected none with the function add, got a; use"),
    ],
)
def test_wrong_estimators(advantage: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        trl_trainer._Estimate(advantage, options)


def test_an_unscorable_reward_has_the_advantage_0() -> None:
    estimate = trl_trainer._Estimate(lambda r, g: np.where(np.isnan(r), 9.0, r + 1.0), {})
    assert estimate(np.array([1.0, NAN]), np.array([0, 0])).tolist() == [2.0, 0.0]


def test_options_reach_the_estimator() -> None:
    """std of (0, 1) with ddof 1 is 1 / sqrt 2."""
    estimate = trl_trainer._Estimate("grpo", {"eps": 0.5})
    got = estimate(np.array([1.0, 0.0]), np.array([4, 4]))
    np.testing.assert_allclose(got, np.array([0.5, -0.5]) / (0.5**0.5 + 0.5))


def test_a_sum_leaves_out_what_has_no_reward() -> None:
    rewards = np.array([[1.0, 2.0], [NAN, 2.0], [NAN, NAN]])
    got = trl_trainer._summed(rewards, np.array([10.0, 0.5]))
    np.testing.assert_array_equal(got, [11.0, 1.0, NAN])


def test_a_segment_is_scored_by_what_counts_for_it() -> None:
    """One function abstains: the segment that it alone is judged by has no reward there."""
    rewards = np.array([[1.0, NAN], [NAN, -0.25], [NAN, NAN], [0.5, -0.04]])
    counted = trl_trainer._counted(rewards, np.array([0.0, 2.0]))
    got = trl_trainer._summed(counted, np.array([0.0, 2.0]))
    np.testing.assert_array_equal(got, [NAN, -0.5, NAN, -0.08])
    got = trl_trainer._summed(trl_trainer._counted(rewards, np.ones(2)), np.ones(2))
    np.testing.assert_array_equal(got, [1.0, -0.25, NAN, 0.46])
    nothing = trl_trainer._counted(rewards, np.zeros(2))  # no reward is not an unknown one
    np.testing.assert_array_equal(trl_trainer._summed(nothing, np.zeros(2)), [0.0, 0.0, NAN, 0.0])


class Words:
    """A tokenizer of one text per id."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pieces[i] for i in ids)


def test_tag_segments_take_the_last_pair_with_its_tags() -> None:
    words = Words(
        "<conf", "idence>", "0.9", "</", "confidence> so", "<confidence>1</confidence>", "x"
    )
    segments = tag_segments(words)
    assert list(segments([6, 0, 1, 2, 3, 4, 6])) == [0, 1, 1, 1, 1, 1, 0]
    assert list(segments([5, 6, 0, 1, 2])) == [0, 0, 1, 1, 1]  # not closed: to the end
    assert list(segments([0, 1, 2, 3, 4, 5, 6])) == [0, 0, 0, 0, 0, 1, 0]
    assert list(segments([6, 6])) == [0, 0]
    assert list(segments([])) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            [0],
            r"^segments: expected 2 whole numbers, one for each token, got int64 of shape \(1,\)$",
        ),
        ([0.5, 0.0], r"^segments: expected 2 whole numbers, .*, got float64 of shape \(2,\)$"),
        ([0, 2], r"^segments: expected values below 2, the rows of segment_weights, got 2$"),
        ([0, -1], r"^segments: expected values below 2, the rows of segment_weights, got -1$"),
    ],
)
def test_wrong_segments(found: list[float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        trl_trainer._segments_of(lambda ids: found, [3, 4], 2)  # pyright: ignore


@pytest.mark.parametrize(
    ("segments", "weights", "said"),
    [
        (None, [[1.0]], r"^segments: expected beside segment_weights, got None; segments say"),
        (len, None, r"^segment_weights: expected beside segments, got None; segments say"),
        (len, [[1.0, 2.0]], r"^segment_weights: expected shape \(S, 1\), .*, got \(1, 2\)$"),
        (len, [[NAN]], r"^segment_weights: expected finite numbers, got NaN or infinity$"),
    ],
)
def test_wrong_segment_weights(segments: Any, weights: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        trl_trainer._segment_weights(segments, weights, 1)


GROUPS = np.array([0, 0, 0, 1, 1, 1])
REWARDS = np.array([1.0, 0.0, 0.5, 2.0, NAN, 0.0])


@pytest.mark.parametrize("first", [0, 2])
def test_numbers_that_fit(first: int) -> None:
    """Deviations (0.5, -0.5, 0; 1, none, -1), each group with a factor of its own; any part of them."""
    theirs = np.array([5.0, -5.0, 0.0, 0.1, 0.0, -0.1])[first:]
    _trl_contract.check_numbers(REWARDS, GROUPS, theirs, first)


@pytest.mark.parametrize("reward", [1e-3, 1 / 3, 700.1, 1e5 / 3])
def test_what_rounding_leaves_of_equal_rewards_is_no_alarm(reward: float) -> None:
    """TRL's formula in float32, where the mean of equal numbers is not always the number."""
    rewards = np.full(7, reward, dtype=np.float32)
    mean = rewards[0]
    for r in rewards[1:]:
        mean += r
    theirs = (rewards - mean / np.float32(7)) / np.float32(1e-4)
    _trl_contract.check_numbers(
        rewards.astype(np.float64), np.zeros(7, dtype=np.int64), theirs.astype(np.float64), 0
    )


@pytest.mark.parametrize(
    "theirs",
    [
        [0.5, -0.5, 0.0, 1.0, -1.0, 0.0],  # the place of the unscorable one
        [-0.5, 0.5, 0.0, 1.0, 0.0, -1.0],  # the sign
        [1.5, 0.5, 1.0, 1.0, 0.0, -1.0],  # not centered
        [0.0, -0.5, 0.5, 1.0, 0.0, -1.0],  # rotated
    ],
)
def test_numbers_that_do_not_fit(theirs: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"do not follow the rewards of their groups"):
        _trl_contract.check_numbers(REWARDS, GROUPS, np.array(theirs), 0)


@needs_trl
def test_filters_by_difficulty_reach_the_loss(make_trainer: Make) -> None:
    """The gate in the reward, dynamic sampling and the cap in the advantage, as the loss gets them."""
    scores: list[list[float]] = []

    def gated(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        right = [float(sum(ids) % 3 == 0) for ids in completion_ids]
        groups, clean = np.arange(len(prompts)) // 6, [ids[0] % 2 == 0 for ids in completion_ids]
        kept = rare_success_gate(right, groups, clean)
        scores.append([one if keep else NAN for one, keep in zip(right, kept, strict=True)])
        return [one if keep else None for one, keep in zip(right, kept, strict=True)]

    advantage = functools.partial(filtered_advantages, dynamic=True, limit=1.0)
    sizes = {"per_device_train_batch_size": 12, "num_generations": 6, "max_steps": 6}
    trainer = make_trainer(CalibratedGRPOTrainer, gated, {"advantage": advantage}, **sizes)
    calls = watched(trainer)
    trainer.train()
    assert len(calls) == len(scores) == 6
    for (_, found), rewards in zip(calls, scores, strict=True):
        expected = np.clip(estimators.grpo(rewards, np.arange(12) // 6), -1.0, 1.0)
        np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=SAME)
    seen = np.array(scores).reshape(-1, 6)
    assert np.isnan(seen).all(axis=1).any()  # a lone success that was not clean
    assert (np.nansum(seen, axis=1) == 1).any()  # and one that was
