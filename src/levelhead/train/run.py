"""A whole training run: steps, evaluations, checkpoints, and what a person is told.

Files of a run, below its folder: `run.json`, `recipe.yaml`, `metrics.jsonl` (one line per step and per
evaluation), `checkpoints/`, `evaluations/`, `predictions.parquet` (the last evaluation) and `model/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from levelhead import readers
from levelhead._write import write_text
from levelhead.errors import ConfigError, RecordError
from levelhead.train import evaluation as evaluations
from levelhead.train._disk import OnDisk
from levelhead.train.build import Run, build
from levelhead.train.calibration_guard import CalibrationGuard
from levelhead.train.checkpoint import Checkpoint, Checkpoints, History
from levelhead.train.config import Recipe, load
from levelhead.train.distributed import whole
from levelhead.train.embedded import quiet
from levelhead.train.experience import EVALUATION, drawn, text_of
from levelhead.train.run_json import data_hash, write_run
from levelhead.train.trackers import Tracker, make_trackers

__all__ = ["Observer", "Result", "train"]

FREE = ("name", "evaluation", "checkpoint", "guard", "compute", "trackers")
"""Sections that may change when a run is resumed; any other change would make it another run."""


class Observer(Protocol):
    """Whoever wants to know how a run goes."""

    def event(self, kind: str, values: dict[str, Any]) -> None:
        """Something happened.

        Args:
            kind: "build", "start", "step", "evaluation", "checkpoint", "alarm", "interrupt" (the step at
                hand is finished first), or "end".
            values: about it, by name.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        out: its folder.
        steps: steps done.
        metrics: of the last evaluation, by name; empty where the task has no evaluation prompts.
        stopped: why it ended before its last step, or None.
        seconds: of this process.
    """

    out: Path
    steps: int
    metrics: dict[str, float]
    stopped: str | None
    seconds: float


def train(
    recipe: Recipe, out: Path, *, resume: bool = False, observer: Observer | None = None
) -> Result:
    """Train as a recipe says.

    An interruption (Ctrl-C) lets the step at hand finish, saves a checkpoint and ends; a second one
    ends at once.

    Args:
        recipe: what to do.
        out: folder of the run; made where it is missing.
        resume: go on from the newest whole checkpoint in `out`; without one from the beginning.
        observer: told of everything that happens; on the first rank only.

    Returns:
        The result.

    Raises:
        ConfigError: something in the recipe does not fit, `out` holds a run that is not to be resumed,
            or one of another recipe or other data, or a gradient is not finite.
        RecordError: data cannot be read, or results not be written; the newest checkpoint stays. Or
            there are checkpoints to resume from, and all of them are damaged.
    """
    started = time.time()
    _check_folder(recipe, out, resume)
    tell = observer.event if observer is not None else lambda kind, values: None
    run = build(recipe, say=lambda text: tell("build", {"doing": text}))
    ranks = run.parts.ranks
    if not ranks.first:
        tell = lambda kind, values: None  # noqa: E731
    session = _Session(run, out, tell)
    fresh = not (out / "run.json").exists()
    try:
        with _interruptible(lambda: tell("interrupt", {})) as interrupted:
            session.begin(resume, started)
            return session.run(interrupted, started)
    finally:
        session.close()
        if fresh:
            session.give_up()
        ranks.leave()


class _Session:
    """One process' work on a run."""

    def __init__(self, run: Run, out: Path, tell: Callable[[str, dict[str, Any]], None]) -> None:
        recipe = run.recipe
        self.built, self.out, self.tell = run, out, tell
        self.recipe, self.ranks = recipe, run.parts.ranks
        self.checkpoints = Checkpoints(out / "checkpoints", recipe.checkpoint.keep)
        self.history = History(out / "metrics.jsonl")
        self.guard = _guard(recipe)
        self.trackers: list[Tracker] = []
        self.done, self.rollouts = 0, 0.0
        self.of_use = False
        self.saved = -1
        self.metrics: dict[str, float] = {}
        self.alarm: str | None = None
        self._digests: dict[str, str] = {}

    def begin(self, resume: bool, started: float) -> None:
        """Open the files, and go to where the run was."""
        if self.ranks.first:
            with OnDisk("cannot make the folder of the run", self.out):
                self.out.mkdir(parents=True, exist_ok=True)
                _clear(self.out)
        self.ranks.wait()
        found = self.checkpoints.latest() if resume else None
        if resume and found is None:
            self._check_beginning()
        if len(set(self.ranks.gathered(None if found is None else found.step))) > 1:
            raise RecordError(
                "the processes see different checkpoints; the folder must be on a disk that they share",
                str(self.checkpoints.folder),
            )
        if found is not None:
            self._restore(found)
        if self.ranks.first:
            self.history.truncate(self.done if found is not None else -1)
            with OnDisk("cannot write the recipe", self.out):
                write_text(self.out / "recipe.yaml", self.recipe.to_yaml())
            self._write_run(started, None, resumed=found is not None)
            self.trackers = make_trackers(
                self.recipe.trackers,
                self.out,
                self.recipe.model_dump(mode="json"),
                resumed=None if found is None else found.step,
            )
        values = {"steps": self.recipe.steps, "done": self.done, "dropped": self.built.dropped}
        self.tell("start", values | {"out": str(self.out), "task": self.built.task.name})

    def run(self, interrupted: Callable[[], bool], started: float) -> Result:
        """Step until the end, an interruption, or an alarm that stops."""
        recipe, trainer = self.recipe, self.built.trainer
        stopped: str | None = None
        if self.done == 0 and recipe.evaluation.at_start and recipe.evaluation.every:
            self.evaluate()
            stopped = self.alarm
        while self.done < recipe.steps and stopped is None:
            began = time.perf_counter()
            values = trainer.step(self.done)
            self.done += 1
            self.of_use = True
            self.rollouts += values["rollouts"]
            self._log({"kind": "step"} | values | {"rollouts": self.rollouts})
            self.tell("step", values | {"step": self.done, "seconds": time.perf_counter() - began})
            last = self.done == recipe.steps
            if last or _due(self.done, recipe.evaluation.every):
                self.evaluate()
                stopped = self.alarm
            if any(self.ranks.gathered(interrupted())):
                stopped = stopped or "interrupted"
            if last or stopped or _due(self.done, recipe.checkpoint.every):
                self.save()
        if self.done == recipe.steps and not self.metrics:  # resumed at its very end
            self.evaluate(logged=False)
        self._write_model()
        ended, self.of_use = time.time(), True
        result = Result(self.out, self.done, self.metrics, stopped, ended - started)
        if self.ranks.first:
            told = {"steps": self.done, "stopped": stopped, "metrics": self.metrics}
            self._write_run(started, ended, resumed=True, result=told)
        self.tell("end", {"steps": self.done, "stopped": stopped, "metrics": self.metrics})
        return result

    def evaluate(self, *, logged: bool = True) -> None:
        """Ask the held-out prompts, write the predictions, and look at the calibration."""
        options, data = self.recipe.evaluation, self.built.evaluation
        if not data.prompts:
            return
        texts = self._answers()
        found = evaluations.evaluate(
            self.built.task,
            data.prompts,
            texts,
            model_name=self.recipe.name,
            group=np.repeat(np.arange(len(data.prompts)), options.samples),
            seed=self.recipe.seed,
        )
        self.metrics = found.metrics
        if self.ranks.first and logged:
            name = f"step-{self.done:08d}.parquet"
            with OnDisk("cannot write the predictions", self.out):
                evaluations.write(found, self.out / "evaluations" / name)
                evaluations.write(found, self.out / "predictions.parquet")
            self._log({"kind": "evaluation", "rollouts": self.rollouts} | found.metrics)
            self.tell("evaluation", found.metrics | {"step": self.done})
        alarm = self.guard.check(self.done, found.predictions)
        if alarm is not None:
            self.tell("alarm", {"step": self.done, "sentence": alarm.sentence, "stop": alarm.stop})
            if self.ranks.first and logged:
                self._log({"kind": "alarm", "sentence": alarm.sentence})
            self.alarm = alarm.sentence if alarm.stop else None

    def _answers(self) -> list[str]:
        """What the model says to the held-out prompts, those of all ranks; a prompt's in a row."""
        options, parts, data = self.recipe.evaluation, self.built.parts, self.built.evaluation
        n, size = len(data.prompts), options.samples
        place = np.arange(self.ranks.rank, n, self.ranks.world)
        sampling = dataclasses.replace(parts.sampling, temperature=options.temperature)
        with whole(parts.policy), parts.arithmetic():
            rollouts = parts.sampler.sample(
                [data.tokens[i] for i in place.tolist()],
                group_size=size,
                sampling=sampling,
                uniforms=drawn(data.seed, EVALUATION, place, size, sampling.max_new_tokens),
            )
        decode = text_of(self.built.loaded.tokenizer)
        own = [decode(completion) for completion in rollouts.completions]
        texts = [""] * (n * size)
        for rank, said in enumerate(self.ranks.gathered(own)):
            for i, first in enumerate(range(rank, n, self.ranks.world)):
                texts[first * size : (first + 1) * size] = said[i * size : (i + 1) * size]
        return texts

    def save(self) -> None:
        """A checkpoint of everything that the next step depends on."""
        if self.saved == self.done:
            return
        weights, optimizer = self.built.weights.state()
        parts = self.built.parts
        state = {
            "recipe": _deciding(self.recipe),
            "data": self._data(),
            "done": self.done,
            "rollouts": self.rollouts,
            "optimizer": optimizer,
            "schedule": parts.schedule.state_dict(),
            "estimator": parts.estimate.state,
            "guard": self.guard.state(),
            "metrics": self.metrics,
            "generator": torch.get_rng_state(),
        }
        if self.ranks.first:
            self.history.sync()
            path = self.checkpoints.save(self.done, tensors=weights, state=state)
            self.tell("checkpoint", {"step": self.done, "path": str(path)})
        self.saved = self.done
        self.ranks.wait()

    def give_up(self) -> None:
        """Where a new run failed before its first step: nothing that would be in the way of another."""
        if self.of_use or not self.ranks.first:
            return
        first = self.out / "evaluations" / "step-00000000.parquet"
        with contextlib.suppress(OSError):  # what went wrong before is what must be told
            for path in (self.out / "run.json", self.out / "predictions.parquet", first):
                path.unlink(missing_ok=True)

    def _check_beginning(self) -> None:
        """Whether a run without a checkpoint that could be used may be begun again in its folder."""
        folder, recipe = self.checkpoints.folder, self.out / "recipe.yaml"
        if any(folder.glob("step-*")):
            raise RecordError(
                "there are checkpoints, but none of them is whole; put one back from a copy, or begin "
                "another run with --out (nothing was changed)",
                str(folder),
            )
        if recipe.exists():
            _check_same(_deciding(load(recipe)), self.recipe, recipe)

    def _data(self) -> dict[str, str]:
        """Digests of what is asked, by what a person would call it."""
        if not self._digests:
            self._digests = {
                "training prompts": data_hash(self.built.parts.data.prompts),
                "evaluation prompts": data_hash(self.built.task.evaluation),
            }
        return self._digests

    def _restore(self, found: Checkpoint) -> None:
        tensors, state = self.checkpoints.load(found)
        _check_same(state["recipe"], self.recipe, found.path)
        ours = self._data()
        theirs = state.get("data", ours)  # earlier versions did not say
        changed = [name for name in ours if theirs.get(name) != ours[name]]
        if changed:
            raise ConfigError(
                f"{found.path}: the run was begun with other {' and '.join(changed)} than the task has "
                "now; put its data back as they were, or begin another run with --out"
            )
        parts = self.built.parts
        self.built.weights.restore(tensors, state["optimizer"])
        parts.schedule.load_state_dict(state["schedule"])
        parts.estimate.restore(state["estimator"])
        self.guard.restore(state["guard"])
        torch.set_rng_state(state["generator"])
        self.done = self.saved = state["done"]
        self.rollouts, self.metrics = state["rollouts"], state["metrics"]

    def _write_model(self) -> None:
        """The weights in the form that `from_pretrained` reads; there whole or not at all."""
        weights = self.built.weights.tensors()
        if self.ranks.first:
            prefix = "policy.model."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            model: Any = self.built.loaded.model
            final = self.out / "model"
            unfinished = self.out / ".unfinished-model"
            with OnDisk("cannot write the model", final), quiet():
                shutil.rmtree(unfinished, ignore_errors=True)
                model.save_pretrained(unfinished, state_dict=own)
                self.built.loaded.tokenizer.save_pretrained(unfinished)
                shutil.rmtree(final, ignore_errors=True)
                unfinished.rename(final)
        self.ranks.wait()

    def _log(self, values: dict[str, Any]) -> None:
        if not self.ranks.first:
            return
        self.history.append(self.done, values)
        numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
        for tracker in self.trackers:
            tracker.log(self.done, {f"{values['kind']}/{k}": v for k, v in numbers.items()})

    def _write_run(
        self, started: float, ended: float | None, *, resumed: bool, result: Any = None
    ) -> None:
        with OnDisk("cannot write run.json", self.out):
            write_run(
                self.out,
                self.recipe.model_dump(mode="json"),
                task=self.built.task,
                device=self.built.parts.device,
                processes=self.ranks.world,
                started=started,
                ended=ended,
                resumed=resumed,
                result=result,
            )

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self.trackers:
            tracker.close()


def _clear(out: Path) -> None:
    """Remove what a kill left half written, under the names of files that are on their way."""
    left = [*out.glob(".unfinished-*"), *out.glob(".*.tmp"), *(out / "evaluations").glob(".*.tmp")]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """What must not change in a resumed run, by dotted key."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = list(value) if isinstance(value, tuple) else value

    content = recipe.model_dump(mode="json")
    # A constant rate does not ask how long the run will be, so such a run can be made longer.
    free = (*FREE, "steps") if recipe.optimizer.schedule == "constant" else FREE
    walk("", {key: value for key, value in content.items() if key not in free})
    return flat


def _check_same(theirs: dict[str, Any], recipe: Recipe, path: Path) -> None:
    ours = _deciding(recipe)
    changed = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
    if changed:
        raise ConfigError(
            f"{path}: the run was begun with other values of {', '.join(changed)}; resume it "
            "with the recipe.yaml in its folder, or begin another run with --out"
        )


def _check_folder(recipe: Recipe, out: Path, resume: bool) -> None:
    """Refuse to mix two runs."""
    if out.exists() and not out.is_dir():
        raise RecordError("expected a folder for the run, got a file", str(out))
    if resume and not (out / "run.json").exists():
        raise ConfigError(f"{out}: there is no run to resume; leave out --resume to begin one")
    if not resume and (out / "run.json").exists():
        raise ConfigError(
            f"{out}: there is a run already; go on with it (--resume), or choose another --out"
        )


def _guard(recipe: Recipe) -> CalibrationGuard:
    options = recipe.guard
    baseline = None
    if options.baseline != "first" and options.action != "off":
        found = readers.load(options.baseline)
        if len(found) != 1:
            raise ConfigError(
                f"guard.baseline: expected predictions of one model in {options.baseline}, got "
                f"{len(found)}: {', '.join(found)}"
            )
        (baseline,) = found.values()
    every = recipe.evaluation.every
    looks = max(1, recipe.steps // every) if every else 1
    return CalibrationGuard(options.action, options.level, baseline, looks=looks)


@contextlib.contextmanager
def _interruptible(say: Callable[[], None]) -> Generator[Callable[[], bool]]:
    """Ctrl-C is remembered the first time, and ends everything the second time."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()
        say()

    signal.signal(signal.SIGINT, handle)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)
