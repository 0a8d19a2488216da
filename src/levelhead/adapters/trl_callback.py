"""Watches calibration while TRL trains: a callback that samples held-out prompts and judges what is said.

    from levelhead.adapters.trl_callback import CalibrationCallback

    trainer = GRPOTrainer(...)
    trainer.add_callback(CalibrationCallback(trainer, held_out, answer="solution", every=50))

TRL's own evaluation averages metrics batch by batch, which is wrong for a calibration error and for the
AUROC, and keeps only the last completions. Here all completions of an evaluation are collected first.
This file can be imported without TRL.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from levelhead._optional import optional_import
from levelhead._text import plural
from levelhead._write import plain, write_text
from levelhead.adapters._late_base import on_top_of
from levelhead.adapters._trl_columns import Truth, Verify
from levelhead.errors import DataWarning, InvalidInputError, RecordError
from levelhead.records import Predictions
from levelhead.tasks import Prompt, Task
from levelhead.train.calibration_guard import LEAST_ITEMS, Alarm, CalibrationGuard
from levelhead.train.evaluation import evaluate, write

__all__ = ["CalibrationCallback"]

FEATURE = "the callback for TRL"

PREFIX = "eval_calibration/"
"""Of the names in the trainer's log; what begins with `eval_` is drawn apart from the training."""

GUARD_FILE = "guard.json"


class CalibrationCallback:
    """A `transformers.TrainerCallback` that evaluates calibration on held-out prompts.

    It generates with the trainer's model, in evaluation mode and with random numbers of its own, so that
    a run is the same with it and without. Before the first step, after every `every` steps and after the
    last, it logs the numbers of `levelhead.train.evaluation.METRICS` as `eval_calibration/ece` and so on,
    and writes predictions that `levelhead audit` reads: `step-00000050.parquet` of each evaluation and
    `predictions.parquet` of the last.

    Every process generates its share, in equally many batches; the main one judges, logs and writes.

    Args:
        trainer: a `GRPOTrainer`, an `RLOOTrainer` or `CalibratedGRPOTrainer`; add the callback to it.
        prompts: rows as in TRL's data sets, with `prompt` (a text, or a conversation) and a column that
            holds the truth; or a `levelhead.tasks.Task`, whose evaluation prompts are asked.
        outcome: the column with outcomes 0 or 1, where rows ask for the probability of an event.
        answer: the column with right answers, where rows ask for an answer and a confidence; None:
            they ask for events.
        verifier: `exact`, `number`, `math`, `choice`, or a function (answer, right answers) -> 1.0,
            0.0, or None.
        elicitation: a format of `levelhead.elicitation.TABLE`; None is `percent_tag` for events and
            `answer_confidence_tags` for answers.
        prompt_id: the column with names of prompts; None numbers the rows.
        every: steps from one evaluation to the next, at least 1.
        samples: completions of each prompt, at least 1.
        max_new_tokens: of a completion; None is the trainer's `max_completion_length`.
        temperature: of sampling, 0 takes the likeliest token; None is the trainer's.
        batch_size: completions at a time in each process; None is `per_device_eval_batch_size`.
        guard: `warn` or `stop`, or a `CalibrationGuard`: says so, or ends the run, where the
            calibration error has risen above that of the first evaluation.
        folder: where files go; None is `calibration` in the trainer's `output_dir`.
        seed: of the sampling, with the step and the process.

    Attributes:
        history: (step, metrics) of every evaluation; on the main process only.
        alarms: what the guard said, likewise.

    Raises:
        MissingDependencyError: TRL is not installed.
        InvalidInputError: no prompts, a number out of its range, a name or column that is not there, or
            a row that nothing said could be judged by: without an outcome of 0 or 1, or a right answer.
        RecordError: a file cannot be written.

    Edge cases: with vLLM the trainer's model generates by transformers, not by vLLM. A resumed run goes
        on with its guard from `guard.json`. Undefined numbers are not logged. With
        `load_best_model_at_end` the last evaluation is of the last step, and where something else ended
        the run it is of the best checkpoint, under that step's name. FSDP1, images and tools are not
        supported. A guard of fewer than 30 prompts is warned about.
    Reference: `levelhead.train.evaluation`, `levelhead.train.calibration_guard`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> CalibrationCallback:
        """An instance of this class and of transformers' callback, which is not looked for before."""
        optional_import("trl", FEATURE, "trl")
        base = optional_import("transformers", FEATURE, "trl").TrainerCallback
        return object.__new__(on_top_of(base, cls))

    def __init__(
        self,
        trainer: Any,
        prompts: Task | Iterable[Mapping[str, Any]],
        *,
        outcome: str = "outcome",
        answer: str | None = None,
        verifier: str | Verify = "exact",
        elicitation: str | None = None,
        prompt_id: str | None = None,
        every: int = 100,
        samples: int = 1,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        batch_size: int | None = None,
        guard: str | CalibrationGuard | None = None,
        folder: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.trainer = trainer
        if isinstance(prompts, Task):
            self._task = prompts
            self._asked: list[Any] = [list(prompt.messages) for prompt in prompts.evaluation]
        else:
            truth = Truth.of("CalibrationCallback", outcome, answer, verifier, elicitation)
            self._asked, self._task = _task(truth, list(prompts), prompt_id)
        if not self._asked:
            raise InvalidInputError("prompts: expected at least one held-out prompt, got none")
        _check_judged(self._task)
        args = trainer.args
        self._max_new_tokens = (
            args.max_completion_length if max_new_tokens is None else max_new_tokens
        )
        self._batch_size = args.per_device_eval_batch_size if batch_size is None else batch_size
        self._every, self._samples, self._seed = every, samples, seed
        for name, value in (
            ("every", every),
            ("samples", samples),
            ("max_new_tokens", self._max_new_tokens),
            ("batch_size", self._batch_size),
        ):
            if not value or value < 1:
                raise InvalidInputError(f"{name}: expected at least 1, got {value}")
        self._temperature = float(args.temperature if temperature is None else temperature)
        if not 0.0 <= self._temperature < math.inf:
            raise InvalidInputError(f"temperature: expected a number >= 0, got {temperature}")
        self._guard = CalibrationGuard(guard) if isinstance(guard, str) else guard
        _check_enough(self._guard, self._task)
        self._folder = Path(args.output_dir) / "calibration" if folder is None else Path(folder)
        self._last = -1
        self.history: list[tuple[int, dict[str, float]]] = []
        self.alarms: list[Alarm] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first evaluation, or the guard of the run that is resumed."""
        if state.global_step == 0:
            self._look(state, control)
        elif self._guard is not None and state.is_world_process_zero:
            self._guard.restore(_read(self._folder / GUARD_FILE))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An evaluation, where it is time."""
        # Once training has ended the model may be that of another checkpoint.
        if state.global_step % self._every == 0 or state.global_step >= state.max_steps:
            self._look(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last evaluation, where a run ended before its last step."""
        if state.global_step == self._last:
            return
        loaded = args.load_best_model_at_end and state.best_model_checkpoint is not None
        self._look(state, control, state.best_global_step if loaded else None)

    def _look(self, state: Any, control: Any, step: int | None = None) -> None:
        """One evaluation of the model of a step: sample, judge, log, write, warn."""
        self._last = state.global_step if step is None else step
        log_too = control.should_log  # logging unsets it, and the step's own log is still to come
        texts = self._collected(self._last)
        stop = self._judge(self._last, texts) if texts is not None else False
        control.should_log = log_too
        if _told_by_main(stop):
            control.should_training_stop = True

    def _judge(self, step: int, texts: list[str]) -> bool:
        """What the completions are worth; whether the run shall end."""
        prompts = self._task.evaluation
        found = evaluate(
            self._task,
            prompts,
            texts,
            model_name=self._model_name(step),
            group=[i // self._samples for i in range(len(texts))],
        )
        self.history.append((step, found.metrics))
        logged = {
            PREFIX + name: value for name, value in found.metrics.items() if not math.isnan(value)
        }
        # TRL's own `log` would take the metrics of the unfinished step along.
        base = optional_import("transformers", FEATURE, "trl").Trainer
        base.log(self.trainer, logged)
        write(found, self._folder / f"step-{step:08d}.parquet")
        write(found, self._folder / "predictions.parquet")
        return self._guarded(step, found.predictions)

    def _guarded(self, step: int, predictions: Predictions) -> bool:
        if self._guard is None:
            return False
        alarm = self._guard.check(step, predictions)
        write_text(self._folder / GUARD_FILE, json.dumps(plain(self._guard.state())) + "\n")
        if alarm is None:
            return False
        self.alarms.append(alarm)
        logging = optional_import("transformers.utils.logging", FEATURE, "trl")
        logging.get_logger(__name__).warning(f"levelhead: {alarm.sentence}")
        return alarm.stop

    def _model_name(self, step: int) -> str:
        return f"{Path(self.trainer.args.output_dir).resolve().name} step {step}"

    def _collected(self, step: int) -> list[str] | None:
        """The completions in the order of the prompts; on the main process only."""
        accelerator = self.trainer.accelerator
        world, rank = accelerator.num_processes, accelerator.process_index
        total = len(self._asked) * self._samples
        # As many in each process, the last one again where they run out: processes that share a model
        # have to generate together.
        mine = [min(rank + world * i, total - 1) for i in range(math.ceil(total / world))]
        said = self._generated([self._asked[i // self._samples] for i in mine], step, rank)
        every = _gathered(list(zip(mine, said, strict=True)))
        if rank != 0:
            return None
        by_place = dict(pair for part in every for pair in part)
        return [by_place[i] for i in range(total)]

    def _generated(self, prompts: list[Any], step: int, rank: int) -> list[str]:
        """One completion of each prompt by the trainer's model, which is left as it was."""
        trainer, args = self.trainer, self.trainer.args
        torch = optional_import("torch", FEATURE, "trl")
        models = optional_import("trl.models", FEATURE, "trl")
        model, accelerator = trainer.model, trainer.accelerator
        training = model.training
        device = accelerator.device
        own = [device] if device.type == "cuda" else []
        options = self._generation_options()
        texts: list[str] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=own))
            torch.manual_seed(hash((self._seed, step, rank)) % 2**63)
            stack.callback(model.train, training)
            unwrapped = stack.enter_context(
                models.unwrap_model_for_generation(
                    trainer.model_wrapped,
                    accelerator,
                    gather_deepspeed3_params=getattr(args, "ds3_gather_for_generation", True),
                    generation_kwargs=options,
                    gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs,
                )
            )
            stack.enter_context(torch.no_grad())
            model.eval()
            hub = optional_import("transformers", FEATURE, "trl")
            config = hub.GenerationConfig(**options, disable_compile=True)
            for start in range(0, len(prompts), self._batch_size):
                batch = self._tokenized(prompts[start : start + self._batch_size])
                ids = unwrapped.generate(**batch, generation_config=config)
                new = ids[:, batch["input_ids"].shape[1] :]
                texts += trainer.processing_class.batch_decode(new, skip_special_tokens=True)
        return texts

    def _generation_options(self) -> dict[str, Any]:
        """How the trainer samples, with the callback's own temperature and length."""
        trainer, tokenizer = self.trainer, self.trainer.processing_class
        options: dict[str, Any] = {
            "max_new_tokens": self._max_new_tokens,
            "do_sample": self._temperature > 0.0,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": getattr(trainer, "eos_token_ids", tokenizer.eos_token_id),
            "repetition_penalty": getattr(trainer.args, "repetition_penalty", 1.0),
        }
        if self._temperature > 0.0:
            options["temperature"] = self._temperature
            for name in ("top_p", "top_k", "min_p"):
                options[name] = getattr(trainer.args, name, None)
        return options

    def _tokenized(self, prompts: list[Any]) -> dict[str, Any]:
        """Padded prompts; a conversation goes through the chat template as the trainer's own does."""
        tokenizer = self.trainer.processing_class
        if isinstance(prompts[0], str):
            ids = tokenizer(text=prompts)["input_ids"]
        else:
            ids = tokenizer.apply_chat_template(
                conversation=prompts,
                chat_template=getattr(self.trainer, "chat_template", None),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                **(getattr(self.trainer, "chat_template_kwargs", None) or {}),
            )["input_ids"]
        torch = optional_import("torch", FEATURE, "trl")
        width = max(len(row) for row in ids)
        padded = torch.full((len(ids), width), tokenizer.pad_token_id, dtype=torch.int64)
        mask = torch.zeros_like(padded)
        for i, row in enumerate(ids):
            padded[i, width - len(row) :] = torch.tensor(row)
            mask[i, width - len(row) :] = 1
        device = self.trainer.accelerator.device
        return {"input_ids": padded.to(device), "attention_mask": mask.to(device)}


def _task(
    truth: Truth, rows: Sequence[Mapping[str, Any]], prompt_id: str | None
) -> tuple[list[Any], Task]:
    """The prompts as they are asked, and the task that judges what is said to them."""
    asked: list[Any] = []
    prompts: list[Prompt] = []
    needed = ["prompt", truth.column, *([] if prompt_id is None else [prompt_id])]
    for i, row in enumerate(rows):
        for name in needed:
            if name not in row:
                raise InvalidInputError(
                    f"prompts: expected a column {name!r}, got {', '.join(map(repr, row))} in row {i}; "
                    "name the column that holds the truth with outcome=... or answer=..."
                )
        prompt: Any = row["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if not isinstance(messages, list) or not all(_is_message(one) for one in messages):
            raise InvalidInputError(
                "prompts: expected a text, or a list of messages with texts as role and content, in the "
                f"column 'prompt', got {type(prompt).__name__} {str(prompt)[:60]!r} in row {i}"
            )
        asked.append(prompt)
        event = truth.answer is None
        prompts.append(
            Prompt(
                prompt_id=str(i if prompt_id is None else row[prompt_id]),
                messages=tuple({k: m[k] for k in ("role", "content")} for m in messages),
                outcome=truth.outcome_of(row[truth.outcome], i) if event else None,
                targets=() if event else truth.targets_of(row[truth.column], i),
                columns={k: v for k, v in row.items() if k not in needed and _is_plain(v)},
            )
        )
    if not prompts:
        raise InvalidInputError("prompts: expected at least one held-out prompt, got none")
    task = Task(
        name="held-out",
        kind="event" if truth.answer is None else "answer",
        elicitation=truth.elicitation,
        train=prompts[:1],  # a task has some; nothing is trained on here
        evaluation=prompts,
        verify=None if truth.answer is None else truth.verify_prompt,
    )
    return asked, task


def _check_judged(task: Task) -> None:
    """Whether every right answer can be judged by: a whole evaluation would be sampled before."""
    for prompt in task.evaluation if task.verify is not None else ():
        found = cast(Any, task.verify)(prompt.targets[0], prompt)
        if found not in (0.0, 1.0):
            raise InvalidInputError(
                f"prompts: expected a right answer that the verifier can judge by, 1.0 or 0.0, got "
                f"{found} for {prompt.targets[0][:60]!r} of prompt {prompt.prompt_id!r}; remove it, or "
                "choose another verifier"
            )


def _check_enough(guard: CalibrationGuard | None, task: Task) -> None:
    """A guard that can never alarm is told about now, not after the run."""
    count = len({prompt.prompt_id for prompt in task.evaluation})
    if guard is not None and guard.action != "off" and count < LEAST_ITEMS:
        warnings.warn(
            f"the calibration guard has {plural(count, 'prompt')} and needs {LEAST_ITEMS}; it will not "
            "alarm, so give the callback more prompts",
            DataWarning,
            stacklevel=3,
        )


def _is_message(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    message = cast(Mapping[str, Any], value)
    return all(isinstance(message.get(key), str) for key in ("role", "content"))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _gathered(mine: list[Any]) -> list[list[Any]]:
    """The lists of all processes."""
    torch = optional_import("torch", FEATURE, "trl")
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    every: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(every, mine)
    return cast(list[list[Any]], every)


def _told_by_main(value: bool) -> bool:
    """What the main process says."""
    return bool(_gathered([value])[0][0])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(
            f"expected the state of the calibration guard to go on with, got {error}; give a guard with "
            "a baseline and begin a new folder",
            str(path),
        ) from error
