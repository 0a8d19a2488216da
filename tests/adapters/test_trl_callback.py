"""The callback for TRL: what it samples, logs and writes, and that training does not notice it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from levelhead import readers
from levelhead.adapters import trl_callback
from levelhead.adapters._trl_columns import Truth
from levelhead.adapters.trl_callback import CalibrationCallback
from levelhead.adapters.trl_rewards import log_reward
from levelhead.errors import DataWarning, InvalidInputError, MissingDependencyError, RecordError
from levelhead.records import Predictions
from levelhead.tasks import OracleOptions, Task, make_task
from levelhead.train.calibration_guard import CalibrationGuard

INSTALLED = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(
    not INSTALLED, reason="TRL is not installed here; `make test-peers` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL's dependencies warn about is theirs

Make = Callable[..., Any]
ROWS = [
    {"prompt": f"{a} {b}", "outcome": i % 2, "id": f"{a}-{b}", "season": a}
    for i, (a, b) in enumerate((a, b) for a in ("wet", "dry") for b in ("sun", "rain", "dry"))
]


def stock() -> Any:
    return importlib.import_module("trl").GRPOTrainer


def gap(confidence: np.ndarray, correct: np.ndarray) -> float:
    """ECE of 10 bins (lower, upper], by a loop."""
    total = 0.0
    for k in range(10):
        low, high = k / 10, (k + 1) / 10
        rows = [
            (c, y)
            for c, y in zip(confidence, correct, strict=True)
            if low < c <= high or (k == 0 and c == 0.0)
        ]
        if rows:
            total += abs(sum(c for c, _ in rows) - sum(y for _, y in rows))
    return total / len(confidence)


@needs_trl
def test_stock_trl_with_rewards_and_callback(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(stock(), log_reward(), max_steps=3)
    callback = CalibrationCallback(trainer, ROWS, prompt_id="id", every=2, samples=5, batch_size=4)
    trainer.add_callback(callback)
    hub: Any = importlib.import_module("transformers")
    assert isinstance(callback, hub.TrainerCallback)
    assert isinstance(callback, CalibrationCallback)
    trainer.train()
    folder = tmp_path / "run" / "calibration"
    assert sorted(path.name for path in folder.iterdir()) == [
        "predictions.parquet",
        *(f"step-{step:08d}.parquet" for step in (0, 2, 3)),
    ]
    lines = [line for line in trainer.state.log_history if "eval_calibration/ece" in line]
    assert [line["step"] for line in lines] == [0, 2, 3]
    assert [step for step, _ in callback.history] == [0, 2, 3]
    for line in lines:
        (found,) = readers.read([folder / f"step-{line['step']:08d}.parquet"])
        assert len(found) == 30
        assert found.kind == "event"
        ok = found.status == 0
        assert line["eval_calibration/format_rate"] == pytest.approx(ok.mean())
        assert 0.0 < ok.mean() < 1.0
        # A missing confidence is a claim of certainty in what did not happen.
        stated = np.where(ok, found.confidence, np.where(found.label == 1.0, 0.01, 0.99))
        assert line["eval_calibration/ece"] == pytest.approx(gap(stated, found.label))
        ids = [] if found.prompt_id is None else found.prompt_id.to_pylist()
        assert ids == [row["id"] for row in ROWS for _ in range(5)]
        assert found.columns["season"].to_pylist() == [
            row["season"] for row in ROWS for _ in "12345"
        ]
        texts = found.columns["text"].to_pylist()
        assert len(set(texts)) > 10
        assert not any("<eos>" in text for text in texts)
        assert max(len(text.split()) for text in texts) <= 5


@needs_trl
def test_every_completion_stays_with_its_prompt(make_trainer: Make) -> None:
    """What is "generated" names its prompt, step and process."""
    trainer = make_trainer(stock(), log_reward())
    callback = CalibrationCallback(trainer, ROWS, samples=2, batch_size=4)
    callback._generated = lambda prompts, step, rank: [f"{p}|{step}|{rank}" for p in prompts]
    trainer.add_callback(callback)
    trainer.train()
    (found,) = readers.read([callback._folder / "step-00000001.parquet"])
    asked = found.columns["prompt"].to_pylist()
    assert asked == [row["prompt"] for row in ROWS for _ in "12"]
    assert found.columns["text"].to_pylist() == [f"{prompt}|1|0" for prompt in asked]


@needs_trl
def test_the_file_is_one_that_audit_reads(make_trainer: Make, tmp_path: Path) -> None:
    trainer = make_trainer(stock(), log_reward())
    trainer.add_callback(CalibrationCallback(trainer, ROWS, samples=2, folder=tmp_path / "held"))
    trainer.train()
    cli = importlib.import_module("levelhead.cli").cli
    path = tmp_path / "held" / "predictions.parquet"
    done = CliRunner().invoke(cli, ["audit", str(path), "--json", "-"])
    assert done.exit_code == 0, done.output
    assert "step 1" in done.output


@needs_trl
@pytest.mark.parametrize("lora", [False, True])
def test_training_does_not_notice_it(lora: bool, make_trainer: Make) -> None:
    """The same weights and the same log lines, bit by bit, with it and without; LoRA as well."""
    peft: Any = importlib.import_module("peft")
    seen: list[tuple[list[Any], list[dict[str, Any]]]] = []
    for with_callback in (False, True):
        more = {}
        if lora:
            options = {"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
            more = {"peft_config": peft.LoraConfig(**options)}
        trainer = make_trainer(
            stock(), log_reward(), more, max_steps=4, gradient_checkpointing=True, num_iterations=2
        )
        if with_callback:
            trainer.add_callback(CalibrationCallback(trainer, ROWS, every=1, samples=2))
        trainer.train()
        assert trainer.model.is_gradient_checkpointing
        lines = [
            {k: v for k, v in line.items() if "time" not in k and "per_second" not in k}
            for line in trainer.state.log_history
            if "eval_calibration/ece" not in line
        ]
        seen.append(([p.detach().clone() for p in trainer.model.parameters()], lines))
    (weights, lines), (again, lines_again) = seen
    assert all(p.equal(q) for p, q in zip(weights, again, strict=True))
    assert lines == lines_again
    assert len(lines) == 5


@needs_trl
def test_conversations_with_answers(make_trainer: Make) -> None:
    """The prompt goes through the chat template, and a row's answer decides."""
    datasets: Any = importlib.import_module("datasets")
    rows = [{"prompt": [{"role": "user", "content": "wet sun"}], "gold": ["90", "x"]}] * 3
    data = {"train_dataset": datasets.Dataset.from_list([{**row, "outcome": 1} for row in rows])}
    trainer = make_trainer(stock(), log_reward(), data)
    asked: list[Any] = []
    original = trainer.processing_class.apply_chat_template

    def template(**options: Any) -> Any:
        asked.append(options["conversation"])
        return original(**options)

    callback = CalibrationCallback(
        trainer, rows, answer="gold", elicitation="answer_confidence_tags_rlcr", samples=8
    )
    trainer.add_callback(callback)
    trainer.processing_class.apply_chat_template = template
    trainer.train()
    assert rows[0]["prompt"] in asked[0]
    metrics = callback.history[0][1]
    (found,) = readers.read([callback._folder / "step-00000000.parquet"])
    answers = found.columns["answer"].to_pylist()
    assert found.label.tolist() == [float(answer == "90") for answer in answers]
    assert 0.0 < metrics["accuracy"] < 1.0
    assert metrics["samples"] == 24


@needs_trl
def test_how_it_samples(make_trainer: Make) -> None:
    """What `generate` gets, and what state the model is in, at every look."""
    torch: Any = importlib.import_module("torch")
    sampled = {
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "temperature": 0.7,
        "max_completion_length": 5,
    }
    trainer = make_trainer(stock(), log_reward(), max_steps=2, **sampled)
    seen: list[tuple[dict[str, Any], bool, int]] = []
    real = trainer.model.generate
    trainer.add_callback(
        CalibrationCallback(trainer, ROWS, every=1, temperature=0.25, max_new_tokens=3, seed=4)
    )

    def generate(*given: Any, generation_config: Any, **options: Any) -> Any:
        if generation_config.max_new_tokens != 3:  # the trainer's own
            return real(*given, generation_config=generation_config, **options)
        model = trainer.model
        seen.append((generation_config.to_dict(), model.training, torch.initial_seed()))
        ids = options["input_ids"]
        return torch.cat([ids, torch.full((len(ids), 3), 3)], dim=1)

    trainer.model.generate = generate
    trainer.model.train()
    trainer.train()
    steps = [seen[k] for k in range(len(seen)) if k == 0 or seen[k][2] != seen[k - 1][2]]
    assert len({seed for _, _, seed in steps}) == 3  # other draws at every step
    wanted = {**sampled, "max_new_tokens": 3, "temperature": 0.25, "do_sample": True}
    wanted |= {"pad_token_id": 0, "eos_token_id": 1}
    del wanted["max_completion_length"]
    for options, training, _ in seen:
        assert {name: options[name] for name in wanted} == wanted | {
            "eos_token_id": options["eos_token_id"]
        }
        assert options["eos_token_id"] in (1, [1])
        assert not training
    assert trainer.model.training


@needs_trl
def test_prompts_end_where_completions_begin(make_trainer: Make) -> None:
    trainer = make_trainer(stock(), log_reward())
    callback = CalibrationCallback(trainer, ROWS)
    batch = callback._tokenized(["rain", "wet sun dry"])
    assert batch["input_ids"].tolist() == [[0, 0, 9], [6, 8, 7]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    trainer.processing_class.chat_template = (
        "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
        "{% if add_generation_prompt %}sun {% endif %}{{ mood }}"
    )
    trainer.chat_template = None
    trainer.chat_template_kwargs = {"mood": "dry"}
    said = [{"role": "user", "content": "wet"}]
    assert callback._tokenized([said])["input_ids"].tolist() == [[6, 8, 7]]


@needs_trl
def test_a_batch_says_what_its_prompts_say_alone(make_trainer: Make) -> None:
    """Of the likeliest tokens nothing is left to chance, so that padding has no excuse."""
    prompts = ["wet", "sun dry rain", "rain sun", "dry dry sun wet", "rain", "sun wet"]
    texts: list[list[str]] = []
    trainer = make_trainer(stock(), log_reward())
    trainer.model.model.embed_tokens.weight.data.mul_(40.0)  # so that texts depend on prompts
    for size in (1, 4):
        rows = [{"prompt": prompt, "outcome": 1} for prompt in prompts]
        callback = CalibrationCallback(trainer, rows, temperature=0, batch_size=size)
        texts.append(callback._generated(prompts, 0, 0))
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 2


class _Halt:
    """What ends a run before its last step."""

    def __new__(cls, step: int) -> Any:
        base: Any = importlib.import_module("transformers").TrainerCallback

        class Halt(base):
            def on_evaluate(self, args: Any, state: Any, control: Any, **options: Any) -> None:
                control.should_training_stop = state.global_step >= step

        return Halt()


@needs_trl
@pytest.mark.parametrize(("halt", "steps"), [(None, [0, 2, 3]), (2, [0, 1])])
def test_a_look_is_at_the_model_of_its_step(
    halt: int | None, steps: list[int], make_trainer: Make
) -> None:
    """The best checkpoint, the first, is loaded at the end of a run."""
    datasets: Any = importlib.import_module("datasets")
    data = datasets.Dataset.from_dict({"prompt": ["wet sun", "dry"], "outcome": [1, 0]})
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    trainer = make_trainer(
        stock(),
        lambda prompts, completions, **columns: [float(len(c)) for c in completions],
        {"eval_dataset": data},
        max_steps=3,
        load_best_model_at_end=True,
        metric_for_best_model="eval_step",
        greater_is_better=False,
        per_device_eval_batch_size=3,
        **options,
    )
    evaluate = trainer.evaluate
    trainer.evaluate = lambda *given, **named: {
        **evaluate(*given, **named),
        "eval_step": trainer.state.global_step,
    }
    if halt is not None:
        trainer.add_callback(_Halt(halt))
    callback = CalibrationCallback(trainer, ROWS, every=2 if halt is None else 9)
    weights: dict[int, Any] = {}
    looked: dict[int, Any] = {}

    def now() -> Any:
        return [p.detach().clone() for p in trainer.model.parameters()]

    judge = callback._judge

    def judged(step: int, texts: list[str]) -> bool:
        looked[step] = now()
        return judge(step, texts)

    step_end = callback.on_step_end

    def on_step_end(args: Any, state: Any, control: Any, **named: Any) -> None:
        weights[state.global_step] = now()
        step_end(args, state, control, **named)

    callback._judge, callback.on_step_end = judged, on_step_end
    trainer.add_callback(callback)
    trainer.train()
    assert trainer.state.best_global_step == 1
    assert [step for step, _ in callback.history] == steps
    for step in steps[1:]:
        assert all(p.equal(q) for p, q in zip(looked[step], weights[step], strict=True)), step


@needs_trl
def test_temperature_0_is_the_likeliest_text_and_rloo_is_watched_too(make_trainer: Make) -> None:
    rloo = importlib.import_module("trl").RLOOTrainer
    trainer = make_trainer(rloo, log_reward(), kind="RLOO")
    callback = CalibrationCallback(trainer, ROWS[:1], samples=3, temperature=0, max_new_tokens=3)
    trainer.add_callback(callback)
    trainer.train()
    (found,) = readers.read([callback._folder / "step-00000000.parquet"])
    texts = found.columns["text"].to_pylist()
    assert len(set(texts)) == 1
    assert len(texts) == 3


@needs_trl
def test_the_guard_ends_a_run_and_goes_on_after_a_resumption(
    make_trainer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The baseline said 0.5 of fair coins; the untrained model claims all sorts of things."""
    rows = [{"prompt": "wet sun", "outcome": i % 2} for i in range(60)]
    baseline = Predictions.from_arrays(
        "event", [0.5] * 60, [row["outcome"] for row in rows], prompt_id=list(map(str, range(60)))
    )
    trainer = make_trainer(stock(), log_reward(), max_steps=5, save_strategy="steps", save_steps=1)
    guard = CalibrationGuard("stop", baseline=baseline, looks=2)
    callback = CalibrationCallback(trainer, rows, every=2, guard=guard)
    trainer.add_callback(callback)
    logger: Any = importlib.import_module("transformers.utils.logging").get_logger("transformers")
    logger.addHandler(caplog.handler)
    trainer.train()
    logger.removeHandler(caplog.handler)
    assert trainer.state.global_step == 1
    assert callback.alarms[0].step == 0
    assert callback.alarms[0].stop
    assert "levelhead: step 0: the calibration error has risen from 0.000 to" in caplog.text

    resumed = make_trainer(stock(), log_reward(), max_steps=2)
    again = CalibrationCallback(resumed, rows, every=1, guard="warn")
    resumed.add_callback(again)
    resumed.train(resume_from_checkpoint=str(callback._folder.parent / "checkpoint-1"))
    assert [step for step, _ in again.history] == [2]
    assert again._guard is not None
    assert again._guard.looks_done == guard.looks_done + 1
    assert [alarm.step for alarm in again.alarms] == [2]
    assert not again.alarms[0].stop


@needs_trl
@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, r"^prompts: expected at least one held-out prompt, got none$"),
        (ROWS, {"every": 0}, r"^every: expected at least 1, got 0$"),
        (ROWS, {"samples": 0}, r"^samples: expected at least 1, got 0$"),
        (ROWS, {"temperature": -1.0}, r"^temperature: expected a number >= 0, got -1\.0$"),
        (ROWS, {"guard": "halt"}, r"^guard\.action: expected one of off, stop, warn, got 'halt'"),
        (
            ROWS,
            {"answer": "gold"},
            r"^prompts: expected a column 'gold', got 'prompt', 'outcome', ",
        ),
        (
            [{"prompt": "a", "gold": "4"}, {"prompt": "b", "gold": "five"}],
            {"answer": "gold", "verifier": "number"},
            r"judge by, 1\.0 or 0\.0, got None for 'five' of prompt '1'; remove it, or choose",
        ),
        (
            [{"prompt": "a", "gold": "4"}],
            {"answer": "gold", "verifier": lambda answer, right: 0.5},
            r"judge by, 1\.0 or 0\.0, got 0\.5 for '4' of prompt '0'",
        ),
        (
            [{"prompt": "a", "gold": float("nan")}],
            {"answer": "gold"},
            r"^prompt '0': expected at least one right answer, got none$",
        ),
        (ROWS, {"verifier": ["x"]}, r"verifier: expected one of choice, .*, got \['x'\]$"),
        (ROWS, {"elicitation": ["x"]}, r"elicitation: expected one of .*, got \['x'\]$"),
    ],
)
def test_wrong_options(rows: Any, options: dict[str, Any], said: str, make_trainer: Make) -> None:
    trainer = make_trainer(stock(), log_reward())
    with pytest.raises(InvalidInputError, match=said):
        CalibrationCallback(trainer, rows, **options)


@needs_trl
def test_a_guard_that_can_never_alarm_is_warned_about_at_once(make_trainer: Make) -> None:
    trainer = make_trainer(stock(), log_reward())
    said = "the calibration guard has 6 prompts and needs 30; it will not alarm"
    with pytest.warns(DataWarning, match=said):
        CalibrationCallback(trainer, ROWS, guard="warn")
    many = [{"prompt": "wet", "outcome": 1, "id": i} for i in range(30)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CalibrationCallback(trainer, ROWS, guard=None)
        CalibrationCallback(trainer, ROWS, guard="off")
        CalibrationCallback(trainer, many, guard="warn", prompt_id="id")


@needs_trl
def test_a_task_is_asked_in_its_own_words(make_trainer: Make) -> None:
    task = make_task(OracleOptions(train=4, evaluation=3))
    trainer = make_trainer(stock(), log_reward())
    callback = CalibrationCallback(trainer, task)
    assert isinstance(callback._task, Task)
    assert len(callback._asked) == 3
    assert callback._asked[0] == list(task.evaluation[0].messages)


@pytest.mark.skipif(INSTALLED, reason="TRL is installed here")
def test_without_trl_the_file_can_be_imported_and_says_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[trl\]'"):
        CalibrationCallback(None, ROWS)


# ---- the parts, which need no TRL


EVENTS = Truth.of("CalibrationCallback", "outcome", None, "exact", None)
ANSWERS = Truth.of("CalibrationCallback", "", "gold", "exact", None)


def test_rows_become_a_task() -> None:
    asked, task = trl_callback._task(EVENTS, ROWS, "id")
    assert asked[0] == "wet sun"
    assert task.kind == "event"
    assert task.elicitation == "percent_tag"
    assert task.evaluation[1].prompt_id == "wet-rain"
    assert task.evaluation[1].outcome == 1.0
    assert task.evaluation[0].columns == {"season": "wet"}
    chat = [{"role": "user", "content": "2 + 2?"}]
    rows = [{"prompt": chat, "gold": 4, "extra": [1]}]
    asked, task = trl_callback._task(ANSWERS, rows, None)
    prompt = task.evaluation[0]
    assert asked == [chat]
    assert (prompt.prompt_id, prompt.targets) == ("0", ("4",))
    assert prompt.columns == {}
    assert prompt.messages == tuple(chat)
    said = task.elicit("<answer>4</answer><confidence>1</confidence>")
    assert task.correct(said, prompt) == 1.0
    assert task.correct(task.elicit("4"), prompt) == 0.0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "a", "outcome": 3}], r"^CalibrationCallback: .* got 3 in row 0$"),
        (
            [{"prompt": "a", "outcome": None}],
            r"^prompt '0': expected an outcome of 0 or 1, got None$",
        ),
        ([{"prompt": "a"}], r"^prompts: expected a column 'outcome', got 'prompt' in row 0; name"),
        ([{"prompt": 3, "outcome": 1}], r"^prompts: expected a text, .* got int '3' in row 0$"),
        (
            [{"prompt": [{"role": "user"}], "outcome": 1}],
            r"^prompts: expected a text, or a list of me",
        ),
        ([{"outcome": 1}], r"^prompts: expected a column 'prompt', got 'outcome' in row 0;"),
        ([{"prompt": " ", "outcome": 1}], r"^prompt '0': expected a message with text, got none$"),
    ],
)
def test_wrong_rows(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        trl_callback._task(EVENTS, rows, None)


def test_a_guard_that_left_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    with pytest.raises(
        RecordError, match=r"guard\.json: expected the state of the calibration guard"
    ):
        trl_callback._read(path)
    path.write_text(json.dumps({"looks_done": 1}))
    assert trl_callback._read(path) == {"looks_done": 1}
