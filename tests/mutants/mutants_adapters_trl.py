"""Wrong versions of the rewards for TRL, and of those parts of its trainer that need no TRL."""

from __future__ import annotations

from mutant import Mutant

REWARDS = "levelhead.adapters.trl_rewards"
COLUMNS = "levelhead.adapters._trl_columns"
CONTRACT = "levelhead.adapters._trl_contract"
TRAINER = "levelhead.adapters.trl_trainer"
REWARD_TESTS = ["tests/adapters/test_trl_rewards.py"]
TRAINER_TESTS = ["tests/adapters/test_trl_trainer.py"]

MUTANTS = [
    Mutant(
        target=REWARDS,
        old="return [None if math.isnan(value) else value for value in rewards.tolist()]",
        new="return rewards.tolist()",
        why="TRL would take NaN as well, but other trainers would not",
        tests=["tests/adapters/test_trl_rewards.py::test_events"],
    ),
    Mutant(
        target=REWARDS,
        old="rewards = np.where(np.isnan(said.truth), np.nan, bottom)",
        new="rewards = np.where(np.isnan(said.truth) & said.formed, np.nan, bottom)",
        why="punishes malformed output whose outcome nobody knows",
        tests=["tests/adapters/test_trl_rewards.py::test_events"],
    ),
    Mutant(
        target=REWARDS,
        old="if text.count(tag) != 1 or (found := text.find(tag)) < place:",
        new="if (found := text.find(tag)) < 0:",
        why="the tags are there, in whatever order and number",
        tests=REWARD_TESTS,
    ),
    Mutant(
        target=REWARDS,
        old='if said.status != "ok" or said.provenance != "parsed" or not said.answer:',
        new='if said.status != "ok":',
        why="a stand-in for nothing counts as a statement",
        tests=REWARD_TESTS,
    ),
    Mutant(
        target=COLUMNS,
        old="formed=~np.isnan(confidence) & answered,",
        new="formed=~np.isnan(confidence),",
        why="a confidence in no answer is well formed",
        tests=REWARD_TESTS,
    ),
    Mutant(
        target=COLUMNS,
        old='content: Any = cast(Mapping[str, Any], own[-1]).get("content")',
        new='content: Any = cast(Mapping[str, Any], messages[-1]).get("content")',
        why="reads the last message, which may be a tool's",
        tests=REWARD_TESTS,
    ),
    Mutant(
        target=CONTRACT,
        old="means = sums / np.maximum(np.bincount(groups, scored), 1)",
        new="means = sums / np.maximum(np.bincount(groups), 1)",
        why="an unscorable reward counts as 0 in the mean of its group",
        tests=TRAINER_TESTS,
    ),
    Mutant(
        target=CONTRACT,
        old="off = np.abs(advantages - np.maximum(factor, 0.0)[g] * d)",
        new="off = np.abs(advantages - factor[g] * d)",
        why="advantages of the wrong sign are proportional too",
        tests=TRAINER_TESTS,
    ),
    Mutant(
        target=CONTRACT,
        old="allowed += ROUNDING",
        new="allowed += 0.0",
        why="what float32 leaves of equal rewards looks like another order of them",
        tests=TRAINER_TESTS,
    ),
    Mutant(
        target=TRAINER,
        old="return np.where(known.any(axis=1), sums, np.nan)",
        new="return np.where(known.all(axis=1), sums, np.nan)",
        why="one reward function that abstains makes a sample unscorable",
        tests=TRAINER_TESTS,
    ),
    Mutant(
        target=TRAINER,
        old="return np.where(weights != 0.0, rewards, np.nan) if weights.any() else rewards",
        new="return rewards",
        why="a function that does not count for a segment makes an unscorable reward there 0, the best",
        tests=[f"{TRAINER_TESTS[0]}::test_a_segment_is_scored_by_what_counts_for_it"],
    ),
    Mutant(
        target=COLUMNS,
        old="return tuple(str(one) for one in values if not _is_nan(one))",
        new="return tuple(str(one) for one in values)",
        why="a missing right answer is the text nan, so that every answer is wrong",
        tests=[f"{REWARD_TESTS[0]}::test_a_right_answer_that_is_nan_is_unknown"],
    ),
    Mutant(
        target=TRAINER,
        old="start = text.rfind(opening)",
        new="start = text.find(opening)",
        why="takes the first pair of tags, which may be thought aloud",
        tests=TRAINER_TESTS,
    ),
    Mutant(
        target=TRAINER,
        old="int(end > start and end - len(one) < stop)",
        new="int(end - len(one) >= start and end <= stop)",
        why="a token that holds the end of a tag and a word more is left out",
        tests=TRAINER_TESTS,
    ),
]
