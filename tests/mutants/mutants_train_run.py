"""Wrong versions of rollouts, of what is prepared from them, and of what goes wrong on the way."""

from __future__ import annotations

from mutant import Mutant

EXPERIENCE = "levelhead.train.experience"
PREPARING = "levelhead.train.preparing"
IN = "tests/train/test_experience.py::"
BEFORE = "tests/train/test_preparing.py::"
CHECKS = "levelhead.train._estimator_checks"
CHECKED = ["tests/train/test_estimator_checks.py"]

MUTANTS = [
    Mutant(
        target=EXPERIENCE,
        old="draws = drawn(data.seed, 2 * step, place, group_size, sampling.max_new_tokens)",
        new="draws = drawn(\n        data.seed, 2 * step, np.arange(place.size), group_size, "
        "sampling.max_new_tokens\n    )",
        why="every process draws the same numbers, whichever prompts it has",
        tests=[IN + "test_a_share_of_a_step_is_what_one_process_would_have"],
    ),
    Mutant(
        target=EXPERIENCE,
        old="labels = np.repeat(index if self._by_prompt else np.arange(index.size), size)",
        new="labels = np.repeat(index, size)",
        why="a prompt that a step asks twice becomes one group",
        tests=[IN + "test_built_in_estimators_see_groups"],
    ),
    Mutant(
        target=EXPERIENCE,
        old="labels = np.repeat(index if self._by_prompt else np.arange(index.size), size)",
        new="labels = np.repeat(np.arange(index.size), size)",
        why="the memory of an estimator is by place in the step, not by prompt",
        tests=[IN + "test_a_memory_is_by_prompt_and_plain"],
    ),
    Mutant(
        target=PREPARING,
        old="earned[some, last[some]] += rewards[some]",
        new="earned[some, last[some]] = rewards[some]",
        why="the last token's share of the penalty is lost",
        tests=[BEFORE + "test_advantages_and_returns_with_a_critic"],
    ),
    Mutant(
        target=PREPARING,
        old="tables.returns = _tensor(np.where(mask, found + values, 0.0), parts.device)",
        new="tables.returns = _tensor(np.where(mask, found, 0.0), parts.device)",
        why="the critic learns advantages in place of returns",
        tests=[BEFORE + "test_advantages_and_returns_with_a_critic"],
    ),
    Mutant(
        target=PREPARING,
        old="assumed[i] = table[i, k]",
        new="assumed[i] = rewards[i]",
        why="an answer that is cut off is rewarded by the sum, and nothing takes that back",
        tests=[BEFORE + "test_what_the_sum_over_answers_leaves_out"],
    ),
    Mutant(
        target=PREPARING,
        old="again = again and tables.old_logprobs is not None",
        new="again = False",
        why="what an inexact sampler wrote down counts as the old policy",
        tests=[BEFORE + "test_old_logprobs", BEFORE + "test_bfloat16_arithmetic_is_scored_again"],
    ),
    Mutant(
        target="levelhead.train.loop",
        old="if not math.isfinite(found):",
        new="if math.isinf(found):",
        why="weights take a step that is not a number",
        tests=["tests/train/test_loop.py::test_no_weight_takes_a_step_that_is_not_finite"],
    ),
    Mutant(
        target=CHECKS,
        old="out = np.where(unknown, 0.0, out)",
        new="out = np.nan_to_num(out)",
        why="an estimator that gives NaN trains on zeros without a word",
        tests=CHECKED,
    ),
    Mutant(
        target=CHECKS,
        old="if out.shape != rewards.shape:",
        new="if out.size != rewards.size:",
        why="a column is broadcast with the rewards to a table",
        tests=CHECKED,
    ),
    Mutant(
        target=CHECKS,
        old="inspect.signature(row.new or row.function)",
        new="inspect.signature(row.function)",
        why="an estimator with a memory has no options, as its first visit has none",
        tests=CHECKED,
    ),
    Mutant(
        target=EXPERIENCE,
        old="waits = np.isin(order, orders[-1][n - old :])",
        new="waits = np.zeros(n, dtype=np.bool_)",
        why="a step that ends one epoch and begins the next asks a prompt twice",
        tests=[IN + "test_no_step_asks_a_prompt_twice"],
    ),
    Mutant(
        target=EXPERIENCE,
        old="not (begin < epochs.start and n >= 2 * size)",
        new="not (begin < epochs.start)",
        why="the order of a short epoch forgets the epochs before the last",
        tests=[IN + "test_no_step_asks_a_prompt_twice"],
    ),
    Mutant(
        target="levelhead.train._disk",
        old="while cause is not None and not isinstance(cause, OSError):",
        new="while cause is not None and False:",
        why="a full disk is told as what the library stumbled over afterwards",
        tests=["tests/train/test_disk.py::test_the_reason_is_told"],
    ),
    Mutant(
        target=PREPARING,
        old="others = np.bincount(batch, known)[batch] - known",
        new="others = np.bincount(batch, known)[batch]",
        why="the mean of the other prompts is too small by (P - 1) / P",
        tests=[
            "tests/train/test_preparing.py::test_single_completions_are_compared_with_other_prompts"
        ],
    ),
    Mutant(
        target=PREPARING,
        old="total = np.bincount(batch, worth)[batch] - worth",
        new="total = np.bincount(batch, worth)[batch]",
        why="a completion is in its own baseline, which then depends on what it earned",
        tests=[
            "tests/train/test_preparing.py::test_single_completions_are_compared_with_other_prompts"
        ],
    ),
]
