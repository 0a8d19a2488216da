"""A step's rollouts: which prompts, which draws, which advantages, and the sums that are told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from levelhead import advantages
from levelhead._arrays import FloatArray, IntArray
from levelhead.tasks import OracleOptions, make_task
from levelhead.train.config import load
from levelhead.train.distributed import Ranks
from levelhead.train.experience import (
    EVALUATION,
    Estimate,
    Experience,
    PromptSet,
    collect,
    drawn,
    group_sums,
    text_of,
)
from levelhead.train.reward import Judged, Reading, Rewarder
from levelhead.train.sampling import Rollouts, Sampling, uniforms

NAN = np.nan
TASK = make_task(OracleOptions(train=10, evaluation=0))
DATA = PromptSet(TASK.train, [np.array([i]) for i in range(10)], seed=3)


def estimate(name: str, **options: Any) -> Estimate:
    overrides = [f"algorithm.estimator={name}", f"algorithm.estimator_options={options}"]
    return Estimate(load(None, overrides).algorithm)


def experience_of(rewards: list[float], index: list[int], **changes: Any) -> Experience:
    n, p = len(rewards), len(index)
    nan = np.full(n, NAN)
    confidence = np.array(changes.get("confidence", nan), dtype=np.float64)
    correct = np.array(changes.get("correct", nan), dtype=np.float64)
    reading = Reading((), confidence, correct, ["ok"] * n, ~np.isnan(confidence))
    return Experience(
        index=np.array(index),
        place=np.array(changes.get("place", range(p))),
        prompts=[DATA.tokens[i] for i in index],
        completions=[
            np.zeros(length, dtype=np.int64) for length in changes.get("lengths", [1] * n)
        ],
        logprobs=[np.zeros(1, dtype=np.float32)] * n,
        finished=np.array(changes.get("finished", [True] * n)),
        judged=Judged(np.array(rewards), confidence, correct, ["ok"] * n, {}, reading),
        answer_rewards=None,
        group_size=n // p,
    )


def test_every_epoch_asks_every_prompt_once() -> None:
    asked = np.concatenate([DATA.chosen(step, 4) for step in range(5)])
    assert Counter(asked[:10].tolist()) == Counter(asked[10:].tolist()) == Counter(range(10))
    assert asked[:10].tolist() != asked[10:].tolist() != sorted(asked[10:])
    assert DATA.chosen(3, 4).tolist() == asked[12:16].tolist()
    other = PromptSet(DATA.prompts, DATA.tokens, seed=4)
    assert other.chosen(0, 10).tolist() != DATA.chosen(0, 10).tolist()
    assert Counter(DATA.chosen(0, 25).tolist()).most_common(1)[0][1] == 3


@pytest.mark.parametrize("n", [1, 2, 5, 7, 12])
def test_no_step_asks_a_prompt_twice(n: int) -> None:
    """Also across epochs, each of which still asks every prompt once; a step knows no other step."""
    data = PromptSet([TASK.train[0]] * n, [np.array([0])] * n, seed=1)
    for size in range(1, n + 1):
        steps = [data.chosen(step, size) for step in range(6 * n)]
        assert all(len(set(step.tolist())) == size for step in steps)
        asked = np.concatenate(steps)
        for epoch in range(asked.size // n):
            assert sorted(asked[epoch * n : (epoch + 1) * n]) == list(range(n))
        if n > 2:
            assert len({tuple(asked[i * n : (i + 1) * n]) for i in range(6)}) > 2


def test_draws_belong_to_a_place_and_not_to_a_process() -> None:
    whole = drawn(3, 8, np.arange(4), 2, 5)
    assert whole.shape == (8, 5)
    mine = drawn(3, 8, np.array([1, 3]), 2, 5)
    assert np.array_equal(mine, whole[[2, 3, 6, 7]])
    assert np.array_equal(whole, uniforms(3, 8, 8, 5))
    assert len({drawn(3, key, np.arange(1), 1, 1).item() for key in (0, EVALUATION, 2, 4)}) == 4
    assert drawn(3, 8, np.arange(0), 2, 5).shape == (0, 5)


class Parrot:
    """Says the number of a prompt and its draw."""

    def sample(self, prompts: Any, *, group_size: int, sampling: Any, uniforms: Any) -> Rollouts:
        said = [
            np.array([int(p[0]), int(1e6 * u[0])])
            for p, u in zip([p for p in prompts for _ in range(group_size)], uniforms, strict=True)
        ]
        n = len(said)
        logprobs = [np.zeros(2, dtype=np.float32)] * n
        group = np.repeat(np.arange(len(prompts)), group_size)
        return Rollouts(said, logprobs, np.ones(n, dtype=np.bool_), group)


def collected(ranks: Ranks) -> Experience:
    return collect(
        2,
        np.array([7, 1, 4]),
        data=DATA,
        sampler=Parrot(),
        sampling=Sampling(max_new_tokens=2),
        group_size=2,
        rewarder=Rewarder("log", task=TASK),
        decode=lambda ids: f"<answer>{10 * ids[0] + 5}</answer>",
        ranks=ranks,
        every_answer=True,
    )


def test_a_share_of_a_step_is_what_one_process_would_have() -> None:
    whole, share = collected(Ranks()), collected(Ranks(0, 2))
    assert whole.index.tolist() == [7, 1, 4]
    assert (share.index.tolist(), share.place.tolist()) == ([7, 4], [0, 2])
    assert whole.group.tolist() == [0, 0, 1, 1, 2, 2]
    kept = [0, 1, 4, 5]
    for mine, theirs in zip(share.completions, [whole.completions[i] for i in kept], strict=True):
        assert mine.tolist() == theirs.tolist()
    assert share.judged.rewards.tolist() == whole.judged.rewards[kept].tolist()
    outcomes = np.array([TASK.train[i].outcome for i in (7, 7, 1, 1, 4, 4)])
    stated = np.array([0.75, 0.75, 0.15, 0.15, 0.45, 0.45])
    expected = np.log(np.where(outcomes == 1.0, stated, 1.0 - stated))
    np.testing.assert_allclose(whole.judged.rewards, expected)
    assert whole.answer_rewards is not None
    np.testing.assert_allclose(whole.answer_rewards[range(6), [74, 74, 14, 14, 44, 44]], expected)


def test_built_in_estimators_see_groups() -> None:
    rewards = [1.0, 0.0, 3.0, 5.0]
    found = estimate("rloo")(np.array(rewards), experience_of(rewards, [4, 4]), Ranks())
    assert found.tolist() == [1.0, -1.0, -2.0, 2.0]  # a prompt that is asked twice is two groups
    found = estimate("grpo", eps=1.0, ddof=0)(
        np.array(rewards), experience_of(rewards, [4, 5]), Ranks()
    )
    np.testing.assert_allclose(found, [0.5 / 1.5, -0.5 / 1.5, -0.5, 0.5])
    unscorable = [1.0, NAN, 3.0, 5.0]
    found = estimate("rloo")(np.array(unscorable), experience_of(unscorable, [4, 5]), Ranks())
    assert found.tolist() == [0.0, 0.0, -2.0, 2.0]
    for name in ("rb_exact", "gae"):
        extra = ["algorithm.critic={kind: head}"] if name == "gae" else []
        made = Estimate(load(None, [f"algorithm.estimator={name}", *extra]).algorithm)
        assert (
            made(np.array(rewards), experience_of(rewards, [4, 5]), Ranks()).tolist() == [0.0] * 4
        )


def test_a_memory_is_by_prompt_and_plain() -> None:
    rewards = [1.0, 0.0, 3.0, 5.0]
    mine, reference = estimate("ema_std", decay=0.5), advantages.EmaStd(decay=0.5)
    for index in ([8, 2], [2, 8], [2, 2]):
        experience = experience_of(rewards, index)
        found = mine(np.array(rewards), experience, Ranks())
        expected = reference(rewards, np.repeat(index, 2))
        np.testing.assert_allclose(found, expected)
    state = mine.state
    assert set(state["scales"]) == {2, 8}
    assert {type(value) for pair in state["scales"].items() for value in pair} == {int, float}
    again = estimate("ema_std", decay=0.5)
    again.restore(state)
    experience = experience_of(rewards, [2, 8])
    expected = mine(np.array(rewards), experience, Ranks())
    assert again(np.array(rewards), experience, Ranks()).tolist() == expected.tolist()
    assert estimate("rloo").state == {}
    estimate("rloo").restore({})


def test_a_function_of_ones_own_with_options(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def scaled(rewards, groups, *, by): return by * rewards + groups\n")
    name = f"{file}:scaled"
    rewards = [1.0, 0.0, 3.0, 5.0]
    found = estimate(name, by=2)(np.array(rewards), experience_of(rewards, [4, 5]), Ranks())
    assert found.tolist() == [2.0, 0.0, 7.0, 11.0]


def test_sums_by_hand() -> None:
    rewards = [1.0, 1.0, NAN, 1.0, 2.0, 1.0, NAN, NAN, 4.0]
    experience = experience_of(
        rewards,
        [0, 1, 2],
        confidence=[0.5, NAN, 0.25, *[NAN] * 6],
        correct=[1.0, 0.0, 1.0, *[NAN] * 6],
        lengths=[1, 2, 3, 0, 1, 2, 3, 0, 1],
        finished=[True] * 4 + [False] * 5,
    )
    assert group_sums(experience, np.array(rewards)) == {
        "sequences": 9.0,
        "scored": 6.0,
        "reward": 10.0,
        "formed": 2.0,
        "stated": 2.0,
        "confidence": 0.75,
        "judged": 3.0,
        "correct": 2.0,
        "groups": 2.0,  # the third has a single reward, which no group can compare
        "constant_groups": 1.0,
        "finished": 4.0,
        "completion_tokens": 13.0,
    }


def test_marks_of_the_chat_are_not_read(tiny_model: Path) -> None:

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    ids: IntArray = np.array(tokenizer.encode("<answer>42</answer><|im_end|>"))
    assert text_of(tokenizer)(ids) == "<answer>42</answer>"
    empty: FloatArray = np.empty(0)
    assert text_of(tokenizer)(empty.astype(np.int64)) == ""
