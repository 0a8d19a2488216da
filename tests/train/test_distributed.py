"""Two processes against one: the same losses, the same weights, the same texts."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from levelhead._arrays import FloatArray
from levelhead.errors import ConfigError
from levelhead.train.config import Recipe, load
from levelhead.train.distributed import FOREIGN, Ranks, Weights, shard, whole
from levelhead.train.experience import Estimate, Experience, drawn
from levelhead.train.reward import Judged, Reading
from levelhead.train.run import train

STEPS = 5
LOSS_TOLERANCE = 1e-6
WEIGHT_TOLERANCE = 2e-5
"""Of weights after AdamW updates of 1e-3: a rounding in a gradient near 0 can flip its sign, which
AdamW's first step turns into a whole step; at 2e-5 of 5e-3 nothing of the kind has happened."""

BASE = (
    "task.kind=oracle",
    "task.train=60",
    "task.evaluation=20",
    f"steps={STEPS}",
    "rollout.group_size=3",
    "rollout.max_new_tokens=8",
    "optimizer.lr=1e-3",
    "evaluation.every=0",
    "checkpoint.every=0",
    "guard.action=off",
)
CASES: dict[str, tuple[str, ...]] = {
    # Three mini-batches of one prompt: one of the ranks has none of it.
    "gae": (
        "algorithm.estimator=gae",
        "algorithm.critic={kind: head, lr: 1e-3}",
        "algorithm.kl.coef=0.5",
        "algorithm.updates_per_rollout=3",
        "rollout.prompts=3",
    ),
    # Advantages look at all ranks, and the ranks have unlike numbers of micro-batches.
    "batch": (
        "algorithm.estimator=batch_std",
        "algorithm.aggregation=token-mean",
        "rollout.prompts=5",
        "compute.micro_tokens=60",
    ),
    # Every step, one of the ranks has no prompt at all.
    "exact": ("algorithm.estimator=rb_exact", "rollout.prompts=1", "steps=2"),
}
PAIRS = [("gae", "ddp"), ("gae", "fsdp"), ("batch", "ddp"), ("batch", "fsdp"), ("exact", "fsdp")]
"""benchmarks/train_distributed.py has the rest."""

WORKER = """
import json, os, sys
from pathlib import Path
import torch
from levelhead.errors import LevelheadError
from levelhead.train.config import load
from levelhead.train.distributed import Ranks
from levelhead.train.run import train

torch.set_num_threads(1)
ranks = Ranks.join(torch.device("cpu"))
for out, overrides, resume in json.loads(sys.argv[1]):
    train(load(None, overrides), Path(out), resume=resume)
ranks.wait()
if ranks.rank == 1:
    os._exit(3)
try:
    ranks.gathered("anybody there?")
except LevelheadError as error:
    Path(sys.argv[2]).write_text(str(error))
"""


def together(plan: list[tuple[str, list[str], bool]], told: Path) -> None:
    """Runs in two processes, one after the other, started as `torchrun` does; then the second dies.

    Args:
        plan: folder, overrides, and whether to resume, of each run.
        told: where the first one writes what it is told of that.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    place = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(plan), str(told)],
            env=os.environ
            | place
            | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process, expected in zip(processes, (0, 3), strict=True):
            _, errors = process.communicate(timeout=240)
            assert process.returncode == expected, errors[-2000:]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder of runs: CASE-none by this process, CASE-ddp and CASE-fsdp by two.

    `there` is begun by this process and ended by two, `back` the other way round.
    """
    folder = tmp_path_factory.mktemp("runs")

    def overrides(case: str, sharding: str, *extra: str) -> list[str]:
        own = [f"model.path={tiny_model}", f"compute.sharding={sharding}"]
        return [*BASE, *own, *CASES[case], *extra]

    def alone(name: str, changes: list[str], *, resume: bool = False) -> None:
        train(load(None, changes), folder / name, resume=resume)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for case in CASES:
        alone(f"{case}-none", overrides(case, "none"))
    alone("there", overrides("gae", "none", "steps=2"))
    plan = [
        (str(folder / f"{case}-{sharding}"), overrides(case, sharding), False)
        for case, sharding in PAIRS
    ]
    plan += [
        (str(folder / "there"), overrides("gae", "fsdp"), True),
        (str(folder / "back"), overrides("gae", "fsdp", "steps=2"), False),
    ]
    together(plan, folder / "told")
    alone("back", overrides("gae", "none"), resume=True)
    torch.set_num_threads(threads)
    return folder


def same(one: Path, two: Path) -> None:
    """Losses, weights and what is said of held-out prompts are the same."""
    ours, theirs = ([*map(json.loads, (o / "metrics.jsonl").open())] for o in (one, two))
    losses = [[r["loss"] for r in lines if r["kind"] == "step"] for lines in (ours, theirs)]
    np.testing.assert_allclose(losses[1], losses[0], atol=LOSS_TOLERANCE, rtol=0)
    assert np.abs(losses[0]).max() > 1e-4
    assert ours[0]["reward"] == pytest.approx(theirs[0]["reward"], abs=1e-9)
    assert ours[0]["rollouts"] == theirs[0]["rollouts"]
    mine, other = (load_file(o / "model" / "model.safetensors") for o in (one, two))
    assert mine.keys() == other.keys()
    for name, weight in mine.items():
        assert (weight - other[name]).abs().max() < WEIGHT_TOLERANCE, name
    said = [pq.read_table(o / "predictions.parquet").to_pylist() for o in (one, two)]
    assert said[0] == said[1]
    assert len(said[0]) == 20


@pytest.mark.parametrize(("case", "sharding"), PAIRS)
def test_two_processes_equal_one(case: str, sharding: str, runs: Path) -> None:
    same(runs / f"{case}-none", runs / f"{case}-{sharding}")


@pytest.mark.parametrize("name", ["there", "back"])
def test_a_run_goes_on_in_another_number_of_processes(name: str, runs: Path) -> None:
    same(runs / "gae-none", runs / name)


def test_who_waits_for_a_dead_process_is_told(runs: Path) -> None:
    assert "another of the 2 processes has ended" in (runs / "told").read_text()


class Given(Ranks):
    """Ranks of which the others' values are known."""

    others: tuple[Any, ...] = ()

    def gathered(self, value: Any) -> list[Any]:
        values = list(self.others)
        values.insert(self.rank, value)
        return values


def given(rank: int, *others: Any) -> Ranks:
    ranks = Given(rank, len(others) + 1)
    object.__setattr__(ranks, "others", others)
    return ranks


def test_sums_over_ranks() -> None:
    ranks = given(1, {"a": 1.0}, {"a": 4.0, "b": 0.5})
    assert ranks.added({"a": 2.0, "c": 8.0}) == {"a": 7.0, "b": 0.5, "c": 8.0}


def test_ranks_that_are_not_about_to_do_the_same() -> None:
    given(0, {"recipe": "x", "data": "y"}).agree({"recipe": "x", "data": "y"})
    sentence = r"the same data in all 3 processes, got another in rank 2 than in rank 0"
    with pytest.raises(ConfigError, match=sentence):
        given(1, {"data": "y"}, {"data": "z"}).agree({"data": "y"})
    with pytest.raises(ConfigError, match="the same recipe in all 2 processes"):
        given(0, {}).agree({"recipe": "x"})


def experience_of(place: list[int], rewards: FloatArray) -> Experience:
    """Groups of two at some places of a step; nothing but their rewards counts."""
    n = rewards.size
    nan, words = np.full(n, np.nan), ["ok"] * n
    reading = Reading((), nan, nan, words, np.ones(n, dtype=np.bool_))
    return Experience(
        index=np.array(place) + 10,
        place=np.array(place),
        prompts=[np.array([1])] * len(place),
        completions=[np.array([1])] * n,
        logprobs=[np.zeros(1, dtype=np.float32)] * n,
        finished=np.ones(n, dtype=np.bool_),
        judged=Judged(rewards, nan, nan, words, {}, reading),
        answer_rewards=None,
        group_size=2,
    )


def test_an_estimator_sees_the_rewards_of_all_ranks_as_one_process_would() -> None:
    """The spread over the batch and each group's mean, by hand; places 0 and 2 are elsewhere."""
    recipe: Recipe = load(None, ["algorithm.estimator=rloo"])
    elsewhere = (np.array([0, 2]), np.array([10, 12]), np.array([[0.0, 8.0], [5.0, 6.0]]))
    here = experience_of([1], np.array([1.0, 3.0]))
    found = Estimate(recipe.algorithm)(here.judged.rewards, here, given(1, elsewhere))
    np.testing.assert_allclose(found, [-2.0, 2.0])


def test_draws_belong_to_the_place_in_the_step() -> None:
    everything = drawn(3, 4, np.arange(5), 2, 6)
    for rank in range(2):
        place = np.arange(rank, 5, 2)
        own = drawn(3, 4, place, 2, 6)
        np.testing.assert_array_equal(own, everything.reshape(5, 2, 6)[place].reshape(-1, 6))
    assert len(np.unique(everything)) == everything.size


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no launcher has been."""
    for name in ("WORLD_SIZE", *FOREIGN):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", FOREIGN)
def test_a_launcher_that_does_not_tell_pytorch_is_refused(
    name: str, nobody: pytest.MonkeyPatch
) -> None:
    nobody.setenv(name, "4")
    with pytest.raises(ConfigError, match=r"4 processes were started.*WORLD_SIZE is not set"):
        Ranks.join(torch.device("cpu"))


def test_one_process_of_a_job_that_may_have_more(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("SLURM_NTASKS", "4")
    nobody.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert Ranks.join(torch.device("cpu")) == Ranks()


def test_half_an_environment_is_refused(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("WORLD_SIZE", "2")
    nobody.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="WORLD_SIZE is 2, but the processes did not meet.*RANK"):
        Ranks.join(torch.device("cpu"))


def test_alone_everything_is_local(nobody: pytest.MonkeyPatch) -> None:
    ranks = Ranks.join(torch.device("cpu"))
    assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
    assert ranks.gathered(3) == [3]
    assert ranks.added({"a": 1.5}) == {"a": 1.5}
    ranks.agree({"a": "b"})
    ranks.wait()
    ranks.leave()


def test_several_processes_need_a_sharding() -> None:
    with pytest.raises(ConfigError, match="expected ddp or fsdp with 2 processes, got none"):
        shard(nn.Linear(2, 2), "none", Ranks(0, 2))


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_a_sharding_needs_processes(sharding: Any) -> None:
    """A launcher that starts one process only would else train slower than asked, unnoticed."""
    with pytest.raises(ConfigError, match=f"several processes for {sharding}, got one.*torchrun"):
        shard(nn.Linear(2, 2), sharding, Ranks())


def test_weights_and_optimizer_come_back_bit_by_bit() -> None:
    def make(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        return model, torch.optim.AdamW(model.parameters(), lr=1e-2)

    def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.arange(6.0).view(2, 3)).square().sum().backward()
        optimizer.step()

    first, first_optimizer = make(0)
    for _ in range(3):
        update(first, first_optimizer)
    weights, state = Weights(first, first_optimizer).state()
    weights = {name: w.clone() for name, w in weights.items()}
    second, second_optimizer = make(1)
    Weights(second, second_optimizer).restore(weights, copy.deepcopy(state))
    for model, optimizer in ((first, first_optimizer), (second, second_optimizer)):
        update(model, optimizer)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_not_sharded_is_whole() -> None:
    layer = nn.Linear(2, 2)
    with whole(layer):
        assert layer(torch.zeros(1, 2)).shape == (1, 2)
