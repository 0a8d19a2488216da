"""Whole runs: an interruption at any moment changes nothing, and what cannot go on says why."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from levelhead import readers
from levelhead.cli import main
from levelhead.errors import ConfigError, DataWarning, LevelheadError, RecordError
from levelhead.tasks import Task, make_task
from levelhead.train import evaluation as evaluations
from levelhead.train.checkpoint import Checkpoints, History
from levelhead.train.config import Recipe, load
from levelhead.train.run import Result, train

STEPS = 4
SMALL = (
    "task.kind=oracle",
    "task.train=40",
    "task.evaluation=6",
    "model.device=cpu",
    f"steps={STEPS}",
    "rollout.prompts=2",
    "rollout.group_size=3",
    "rollout.max_new_tokens=6",
    "optimizer.lr=0.003",
    "checkpoint.every=1",
    "evaluation.every=3",
    "guard.action=off",
)
GAE = ("algorithm.estimator=gae", "algorithm.aggregation=token-mean")
VARIANTS: dict[str, Sequence[str]] = {
    "rb_exact": ("algorithm.estimator=rb_exact", "optimizer.schedule=cosine"),
    "value_head": (*GAE, "algorithm.critic={kind: head, lr: 0.01, clip: 0.2}"),
    "critic": (
        *GAE,
        "algorithm.critic={kind: separate, lr: 0.01}",
        "algorithm.kl={coef: 0.5, estimator: k1, place: reward}",
    ),
    "reference": ("algorithm.kl={coef: 0.5, estimator: k3}", "algorithm.entropy_coef=0.01"),
    "memory": ("algorithm.estimator=ema_std", "rollout.prompts=20", "rollout.group_size=2"),
    "mini_batches": (
        "algorithm.updates_per_rollout=2",
        "algorithm.epochs=2",
        "optimizer.warmup_steps=9",
    ),
    "adapters": (
        "model.lora={rank: 2, dropout: 0.3}",
        "algorithm.kl={coef: 0.5, reference: adapter_off}",
    ),
    "transformers": ("rollout.backend=transformers", "algorithm.updates_per_rollout=2"),
    "mixed": ("model.dtype=mixed", "model.gradient_checkpointing=true"),
}


class Crash(Exception):
    """The process ends here."""


class Stopper:
    """Does something at a step, and keeps what it was told."""

    def __init__(self, step: int = -1, act: Callable[[], None] | None = None) -> None:
        self.step, self.act = step, act
        self.told: list[tuple[str, dict[str, Any]]] = []

    def event(self, kind: str, values: dict[str, Any]) -> None:
        self.told.append((kind, values))
        if kind == "step" and values["step"] == self.step and self.act is not None:
            self.act()


def crash() -> None:
    raise Crash


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(tiny_model: Path, *overrides: str) -> Recipe:
    return load(None, [*SMALL, f"model.path={tiny_model}", *overrides])


def outcome(out: Path) -> dict[str, bytes]:
    """Everything that a run leaves, apart from what tells when it ran."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name != "run.json"]
    return {
        str(p.relative_to(out)): p.read_bytes() for p in files if "checkpoints" not in p.parts
    } | {"weights": b"".join(newest(out))}


def newest(out: Path) -> list[bytes]:
    """The state of the last checkpoint: of the optimizer, the estimator, the random numbers."""
    checkpoints = Checkpoints(out / "checkpoints")
    found = checkpoints.latest()
    assert found is not None
    tensors, state = checkpoints.load(found)
    return list(flat({"tensors": tensors, "state": state}))


def flat(value: Any, name: str = "") -> Iterator[bytes]:
    """A nest of tensors and plain values, leaf by leaf, bit by bit."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from flat(value[key], f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{name}.{i}")
    else:
        is_tensor = isinstance(value, torch.Tensor)
        bits = value.contiguous().numpy().tobytes() if is_tensor else repr(value).encode()
        yield name.encode() + b"=" + bits


@pytest.fixture(scope="module")
def whole_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(small(tiny_model), out)
    return out


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_run_ends_as_if_nothing_had_been(
    variant: str, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = small(tiny_model, *VARIANTS[variant])
    train(recipe, tmp_path / "whole")
    with pytest.raises(Crash):
        train(recipe, tmp_path / "again", observer=Stopper(3, crash))
    assert len(History(tmp_path / "again" / "metrics.jsonl").read()) == 4  # one of them is cut off
    for name in (
        ".unfinished-model/config.json",
        ".a.tmp",
        "evaluations/.step-00000003.parquet.1.tmp",
    ):
        half = tmp_path / "again" / name
        half.parent.mkdir(exist_ok=True)
        half.write_text("half of it")
    result = train(recipe, tmp_path / "again", resume=True)
    assert (result.steps, result.stopped) == (STEPS, None)
    assert outcome(tmp_path / "again") == outcome(tmp_path / "whole")
    assert len(History(tmp_path / "again" / "metrics.jsonl").read()) == STEPS + 3


def test_killed_at_random_moments(tiny_model: Path, whole_run: Path, tmp_path: Path) -> None:
    """SIGKILL, four times in a row in one run: when it has just begun, then at random times."""
    if torch.cuda.is_available():
        pytest.skip("a fork of a process that has used a GPU cannot train")
    recipe, out = small(tiny_model), tmp_path / "killed"
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    kills = 0
    for attempt in range(20):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                warnings.simplefilter("ignore")  # a fork from a process with threads
                train(recipe, out, resume=(out / "run.json").exists())
                code = 0
            finally:
                os._exit(code)
        if attempt == 0:  # however fast the machine is, this one is not over yet
            while not (out / "run.json").exists():
                time.sleep(0.001)
        elif attempt < 4:
            time.sleep(float(rng.uniform(0.02, 0.4)))
        if attempt < 4:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            kills += 1
        else:
            assert status == 0
            break
    assert outcome(out) == outcome(whole_run)
    assert kills >= 1


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_checkpoints_are_passed_over(
    tiny_model: Path, whole_run: Path, tmp_path: Path
) -> None:
    recipe, out = small(tiny_model, "checkpoint.keep=5"), tmp_path / "run"
    with pytest.raises(Crash):
        train(recipe, out, observer=Stopper(4, crash))
    folders = [out / "checkpoints" / f"step-{step:08d}" for step in (2, 3)]
    damage(folders[0] / "state.pt")
    half = folders[1] / "model.safetensors"
    half.write_bytes(half.read_bytes()[:1000])
    observer = Stopper()
    with pytest.warns(DataWarning) as caught:
        train(recipe, out, resume=True, observer=observer)
    said = [str(one.message) for one in caught]
    assert len(said) == 2
    assert "step-00000003: model.safetensors has 1,000 bytes in place of" in said[0]
    assert "step-00000002: state.pt has changed since it was written" in said[1]
    assert all("it is skipped, and the one before it is used" in one for one in said)
    assert dict(observer.told)["start"]["done"] == 1
    assert outcome(out) | {"recipe.yaml": b""} == outcome(whole_run) | {"recipe.yaml": b""}


def test_an_interruption_lets_the_step_finish(
    tiny_model: Path, whole_run: Path, tmp_path: Path
) -> None:
    recipe, out = small(tiny_model, "checkpoint.every=0"), tmp_path / "run"
    before = signal.getsignal(
        signal.SIGINT
    )  # a job in the background may have been told to ignore it
    observer = Stopper(2, lambda: signal.raise_signal(signal.SIGINT))
    result = train(recipe, out, observer=observer)
    assert (result.steps, result.stopped) == (2, "interrupted")
    assert [kind for kind, _ in observer.told][-3:] == ["interrupt", "checkpoint", "end"]
    assert json.loads((out / "run.json").read_text())["result"]["stopped"] == "interrupted"
    train(small(tiny_model, "checkpoint.every=1"), out, resume=True)
    assert outcome(out) == outcome(whole_run)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_model_is_one_that_transformers_reads(whole_run: Path, tiny_model: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(whole_run / "model")
    checkpoints = Checkpoints(whole_run / "checkpoints")
    newest_one = checkpoints.latest()
    assert newest_one is not None
    saved, _ = checkpoints.load(newest_one)
    before = load_file(tiny_model / "model.safetensors")
    moved = 0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, saved[f"policy.model.{name}"], rtol=0, atol=0)
        moved += name in before and not torch.equal(value, before[name])
    assert moved > 5
    assert AutoTokenizer.from_pretrained(whole_run / "model").chat_template
    (predictions,) = readers.load(whole_run / "predictions.parquet").values()
    assert predictions.confidence.size == 6


def test_the_log_says_what_was_done(whole_run: Path) -> None:
    records = History(whole_run / "metrics.jsonl").read()
    kinds = [(record["step"], record["kind"]) for record in records]
    steps = [(step, "step") for step in range(1, STEPS + 1)]
    evaluated = [(step, "evaluation") for step in (0, 3, 4)]
    assert sorted(kinds) == sorted([*steps, *evaluated])
    last = records[-1]
    assert last["rollouts"] == STEPS * 2 * 3
    assert set(last) > {"ece", "ece_null", "trust", "overconfidence", "format_rate"}
    shown = next(record for record in records if record["kind"] == "step")
    assert set(shown) > {"reward", "frac_zero_std", "format_rate", "clip_fraction", "entropy"}


@pytest.mark.parametrize(
    ("overrides", "resume", "message"),
    [
        ((), False, r"there is a run already; go on with it \(--resume\), or choose another --out"),
        (
            ("optimizer.lr=0.02", "algorithm.kl.coef=0.1"),
            True,
            r"step-00000004: the run was begun with other values of algorithm.kl.coef, optimizer.lr; "
            "resume it with the recipe.yaml in its folder, or begin another run with --out",
        ),
    ],
)
def test_two_runs_are_not_mixed(
    overrides: Sequence[str], resume: bool, message: str, whole_run: Path, tiny_model: Path
) -> None:
    before = {p: p.read_bytes() for p in whole_run.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=message):
        train(small(tiny_model, *overrides), whole_run, resume=resume)
    assert {p: p.read_bytes() for p in whole_run.rglob("*") if p.is_file()} == before


def test_a_run_that_failed_before_its_first_step_is_in_nobodys_way(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text("def broken(prompts, texts, elicited):\n    return 1 / 0\n")
    broken = f"reward.rule={tmp_path}/own.py:broken"
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        train(small(tiny_model, broken), tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left == {"recipe.yaml", "metrics.jsonl"}
    with pytest.raises(ConfigError, match="no run to resume; leave out --resume"):
        train(small(tiny_model), tmp_path / "run", resume=True)
    assert train(small(tiny_model), tmp_path / "run").steps == STEPS
    records = History(tmp_path / "run" / "metrics.jsonl").read()
    assert sum(record["kind"] == "step" for record in records) == STEPS


def test_a_run_that_has_only_begun_is_in_the_way_of_another(
    tiny_model: Path, tmp_path: Path
) -> None:
    refused: list[str] = []

    class Second:
        def event(self, kind: str, values: dict[str, Any]) -> None:
            if kind == "start":
                with pytest.raises(ConfigError, match="there is a run already"):
                    train(small(tiny_model, "seed=9"), tmp_path / "run")
                refused.append(kind)

    train(small(tiny_model), tmp_path / "run", observer=Second())
    assert refused == ["start"]
    assert (tmp_path / "run" / "run.json").exists()
    assert (tmp_path / "run" / "predictions.parquet").exists()


def content(out: Path) -> dict[Path, bytes]:
    return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_run_whose_checkpoints_are_all_damaged_is_left_alone(
    tiny_model: Path, whole_run: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    for path in (out / "checkpoints").glob("step-*/state.pt"):
        damage(path)
    before = content(out)
    message = "run/checkpoints: there are checkpoints, but none of them is whole; put one back"
    with pytest.raises(RecordError, match=message), pytest.warns(DataWarning):
        train(small(tiny_model), out, resume=True)
    assert content(out) == before


def test_a_run_without_a_checkpoint_is_not_begun_again_as_another(
    tiny_model: Path, whole_run: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    shutil.rmtree(out / "checkpoints")
    before = content(out)
    message = "run/recipe.yaml: the run was begun with other values of optimizer.lr; resume it"
    with pytest.raises(ConfigError, match=message):
        train(small(tiny_model, "optimizer.lr=0.02"), out, resume=True)
    assert content(out) == before


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_a_run_is_not_resumed_on_other_data(
    split: str, tiny_model: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(options: Any) -> Task:
        task = make_task(options)
        first, *rest = getattr(task, split)
        first = dataclasses.replace(first, outcome=1.0 - first.outcome)
        return dataclasses.replace(task, **{split: [first, *rest]})

    monkeypatch.setattr("levelhead.train.build.make_task", other)
    before = content(whole_run)
    name = {"train": "training", "evaluation": "evaluation"}[split]
    message = (
        f"step-00000004: the run was begun with other {name} prompts than the task has now; put"
    )
    with pytest.raises(ConfigError, match=message):
        train(small(tiny_model), whole_run, resume=True)
    assert content(whole_run) == before


def test_the_model_alone_needs_no_optimizer(
    tiny_model: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed at its very end, only the model is written."""
    out = Path(shutil.copytree(whole_run, tmp_path / "run"))
    shutil.rmtree(out / "model")
    monkeypatch.setattr("levelhead.train.distributed.get_optimizer_state_dict", crash)
    train(small(tiny_model), out, resume=True)
    assert outcome(out) == outcome(whole_run)


def test_where_a_run_cannot_be(tiny_model: Path, tmp_path: Path) -> None:
    recipe = small(tiny_model)
    with pytest.raises(ConfigError, match="there is no run to resume; leave out --resume"):
        train(recipe, tmp_path / "nothing", resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="file: expected a folder for the run, got a file"):
        train(recipe, tmp_path / "file")
    with pytest.raises(RecordError, match=r"below: cannot make the folder of the run: Not a dir"):
        train(recipe, tmp_path / "file" / "below")


def full_disk(size: int) -> Callable[[], None]:
    """From now on no file of this process may become longer."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize(
    ("step", "size", "message"),
    [
        (1, 0, "metrics.jsonl: cannot write the log: File too large; free some space and resume"),
        (3, 50_000, "checkpoints: cannot save the checkpoint: .*File too large.*free some space"),
        (4, 3_000, "step-00000004.parquet: cannot be written: .*File too large.*check the disk"),
    ],
)
def test_a_full_disk_loses_nothing(
    step: int, size: int, message: str, tiny_model: Path, whole_run: Path, tmp_path: Path
) -> None:
    recipe, out = small(tiny_model, f"checkpoint.every={1 if step > 1 else 2}"), tmp_path / "run"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(RecordError, match=message):
            train(recipe, out, observer=Stopper(step, full_disk(size)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert not [p for p in out.rglob("*") if "unfinished" in p.name or "tmp" in p.name]
    train(small(tiny_model), out, resume=True)
    assert outcome(out) == outcome(whole_run)


def test_no_disk_for_the_model(tiny_model: Path, whole_run: Path, tmp_path: Path) -> None:
    """Resumed at its very end, with room for nothing that is large."""
    recipe, out = small(tiny_model), tmp_path / "run"

    class AtTheEnd(Stopper):
        def event(self, kind: str, values: dict[str, Any]) -> None:
            if kind == "checkpoint" and values["step"] == STEPS:
                full_disk(20_000)()

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(RecordError, match="model: cannot write the model: .*free some space"):
            train(recipe, out, observer=AtTheEnd())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert not (out / "model").exists()
    result = train(recipe, out, resume=True)
    assert result.metrics
    assert outcome(out) == outcome(whole_run)


ANSWERS_NOTHING = ("rollout.max_new_tokens=1", f"steps={2}", "evaluation.at_start=false")


@pytest.mark.parametrize(
    "overrides",
    [
        *[(f"algorithm.estimator={name}",) for name in ("rloo", "grpo", "ema_std", "rb_exact")],
        (*GAE, "algorithm.critic={kind: head}"),
    ],
    ids=["rloo", "grpo", "ema_std", "rb_exact", "gae"],
)
def test_a_batch_without_an_answer_is_said_and_survived(
    overrides: Sequence[str], tiny_model: Path, tmp_path: Path
) -> None:
    recipe = small(tiny_model, *ANSWERS_NOTHING, *overrides)
    with pytest.warns(
        DataWarning, match="none of .* states an answer.*raise rollout.max_new_tokens"
    ):
        result = train(recipe, tmp_path / "run")
    assert result.metrics["format_rate"] == 0.0
    record = History(tmp_path / "run" / "metrics.jsonl").read()[0]
    assert (record["format_rate"], record["frac_zero_std"]) == (0.0, 1.0)
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
    if "gae" not in overrides[0]:  # equal rewards teach a policy nothing; a critic learns them
        before = load_file(tiny_model / "model.safetensors")
        assert all(torch.equal(value, before[name]) for name, value in weights.items())


FUNCTIONS = """
import numpy as np

def same(prompts, texts, elicited): return [0.25] * len(texts)
def none(prompts, texts, elicited): return [None if i % 2 else 0.1 * i for i in range(len(texts))]
def raises(prompts, texts, elicited): return {}["score"]
def short(prompts, texts, elicited): return [1.0]
def infinite(prompts, texts, elicited): return [float("inf")] * len(texts)
def text(prompts, texts, elicited): return ["good"] * len(texts)

def plain(rewards, groups): return rewards - rewards.mean()
def careful(rewards, groups): return rewards - np.nanmean(rewards)
def breaks(rewards, groups): raise ZeroDivisionError("no spread")
def nan(rewards, groups): return np.full(rewards.shape, np.nan)
def wide(rewards, groups): return np.ones((rewards.size, 2))
def words(rewards, groups): return ["up"] * rewards.size
"""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "reward.rule={file}:raises",
            r"raises: the function raised KeyError: 'score' at .*:6, given 6",
        ),
        ("reward.rule={file}:short", "short: expected 6 rewards, one for each completion, got 1"),
        ("reward.rule={file}:infinite", "expected a finite number, .* got inf at index 0"),
        ("reward.rule={file}:text", "returned no number at index 0, which raised ValueError"),
        ("reward.rule={file}:missing", r"own.py.*'missing'"),
        (
            "algorithm.estimator={file}:breaks",
            r"breaks: the function raised ZeroDivisionError: no "
            r"spread at .*own.py:13, given 6 rewards; try it alone with `levelhead probe",
        ),
        (
            "algorithm.estimator={file}:plain reward.rule={file}:none",
            "got nan at index 0, where the reward is 0; 3 of 6 rewards are NaN, which stands for a "
            "completion that could not be scored: leave them out of every mean",
        ),
        (
            "algorithm.estimator={file}:nan",
            "nan: expected finite advantages, got nan at index 0, where",
        ),
        ("algorithm.estimator={file}:wide", r"each of 6 rewards, shape \(6,\), got shape \(6, 2\)"),
        (
            "algorithm.estimator={file}:words",
            "returned no array of numbers, which raised ValueError",
        ),
    ],
)
def test_functions_of_ones_own_that_fail(
    override: str, message: str, tiny_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(FUNCTIONS)
    recipe = small(tiny_model, *override.format(file=file).split(), "evaluation.at_start=false")
    with pytest.raises(LevelheadError, match=message) as caught:
        train(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_functions_of_ones_own_that_work(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(FUNCTIONS)
    overrides = [f"reward.rule={file}:none", f"algorithm.estimator={file}:careful", "steps=1"]
    train(small(tiny_model, *overrides), tmp_path / "some")
    record = History(tmp_path / "some" / "metrics.jsonl").read()[1]
    assert record["unscorable"] == 0.5
    assert record["reward"] == pytest.approx((0.0 + 0.2 + 0.4) / 3)
    assert record["grad_norm"] > 0.0
    train(small(tiny_model, f"reward.rule={file}:same", "steps=1"), tmp_path / "same")
    record = History(tmp_path / "same" / "metrics.jsonl").read()[1]
    assert (record["reward"], record["frac_zero_std"], record["grad_norm"]) == (0.25, 1.0, 0.0)


@pytest.mark.parametrize(
    "overrides",
    [
        ("reward.rule={own}:raises",),
        ("algorithm.estimator={own}:nan",),
        ("rollout.max_prompt_tokens=3",),
        ("model.path={folder}/nothing",),
        ("optimizer.rate=1",),
    ],
)
def test_the_command_says_it_in_one_line(
    overrides: Sequence[str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own.py"
    own.write_text(FUNCTIONS)
    settings = [*SMALL, f"model.path={tiny_model}", "evaluation.at_start=false"]
    settings += [text.format(own=own, folder=tmp_path) for text in overrides]
    changes = [part for text in settings for part in ("--set", text)]
    monkeypatch.setattr(
        "sys.argv", ["levelhead", "train", "--out", str(tmp_path / "run"), *changes]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("levelhead: ")]
    assert "Traceback" not in line


def test_a_constant_rate_lets_a_run_go_on_for_longer(tiny_model: Path, tmp_path: Path) -> None:
    first = train(small(tiny_model, "steps=1"), tmp_path / "run")
    assert isinstance(first, Result)
    longer = train(small(tiny_model, "steps=2"), tmp_path / "run", resume=True)
    assert (first.steps, longer.steps) == (1, 2)


@pytest.mark.parametrize("at_start", [False, True])
def test_the_guard_stops_a_run(at_start: bool, tiny_model: Path, tmp_path: Path) -> None:
    """The baseline knows the truth; the model knows nothing."""
    recipe = small(tiny_model, "task.evaluation=300", "evaluation.every=1")
    task = make_task(recipe.task)
    texts = [f"<answer>{100 * p.columns['probability']:.0f}</answer>" for p in task.evaluation]
    group = np.arange(len(texts))
    truth = evaluations.evaluate(task, task.evaluation, texts, model_name="truth", group=group)
    baseline = evaluations.write(truth, tmp_path / "truth.parquet")
    first = f"evaluation.at_start={'true' if at_start else 'false'}"
    overrides = ("guard.action=stop", f"guard.baseline={baseline}", first)
    recipe = small(tiny_model, "task.evaluation=300", "evaluation.every=1", *overrides)
    observer = Stopper()
    result = train(recipe, tmp_path / "run", observer=observer)
    done = 0 if at_start else 1
    assert result.steps == done
    told = dict(observer.told)["alarm"]
    assert told == {"step": done, "sentence": result.stopped, "stop": True}
    records = History(tmp_path / "run" / "metrics.jsonl").read()
    assert {"step": done, "kind": "alarm", "sentence": result.stopped} in records
    assert [r for r in records if r["kind"] == "step"] == [] or not at_start
    assert at_start or (tmp_path / "run" / "checkpoints" / "step-00000001").is_dir()


def test_a_baseline_of_several_models_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    rows = [{"model": m, "confidence": 0.5, "correct": 1, "prompt_id": "a"} for m in ("a", "b")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = small(tiny_model, "guard.action=warn", f"guard.baseline={file}")
    with pytest.raises(
        ConfigError, match="guard.baseline: expected predictions of one model .*: a, b"
    ):
        train(recipe, tmp_path / "run")


def test_filters_by_difficulty_train(tiny_model: Path, tmp_path: Path) -> None:
    """A gate in the reward and an estimator with filters, from the recipe to the weights."""
    file = tmp_path / "own.py"
    file.write_text(
        "import numpy as np\n"
        "from levelhead.diagnose.difficulty import rare_success_gate\n"
        "def gated(prompts, texts, elicited):\n"
        "    place, groups = np.arange(len(texts)) % 6, np.arange(len(texts)) // 6\n"
        "    right = place < groups + 1\n"
        "    return np.where(rare_success_gate(right, groups, np.zeros(len(texts))), right, np.nan)\n"
    )
    recipe = small(
        tiny_model,
        f"reward.rule={file}:gated",
        "algorithm.estimator=levelhead.diagnose.difficulty:filtered_advantages",
        "algorithm.estimator_options={estimator: grpo, dynamic: true, limit: 0.5}",
        "rollout.group_size=6",
        "steps=1",
        "evaluation.at_start=false",
    )
    train(recipe, tmp_path / "run")
    record = History(tmp_path / "run" / "metrics.jsonl").read()[0]
    assert record["unscorable"] == 0.5  # the group with a lone success, which was not clean
    assert record["reward"] == pytest.approx(2 / 6)
    assert record["grad_norm"] > 0.0
