"""Wrong versions of the diagnosis of formats."""

from __future__ import annotations

from mutant import Mutant

MEASURES = "levelhead.diagnose.formats._measures"
DRIFT = "levelhead.diagnose.formats._drift"
COMPARE = "levelhead.diagnose.formats._compare"
WORDS = "levelhead.diagnose.formats._words"
RULES = "levelhead.diagnose.formats._rules"

MUTANTS = [
    Mutant(
        target=MEASURES,
        old="bias = (np.count_nonzero(c, axis=-1) - 1) / (2.0 * n)",
        new="bias = np.count_nonzero(c, axis=-1) / (2.0 * n)",
        why="corrects one format's entropy of 0 upward",
        tests=["tests/diagnose/formats/test_measures.py"],
    ),
    Mutant(
        target=MEASURES,
        old="np.where(seen & (c0 == 0.0), 0.5, c0)",
        new="c0 + 0.5",
        why="smooths every format of the start",
        tests=["tests/diagnose/formats/test_measures.py"],
    ),
    Mutant(
        target=MEASURES,
        old="return int(t[i - IN_A_ROW + 1])",
        new="return int(t[i])",
        why="tells the third evaluation of a collapse for its first",
        tests=["tests/diagnose/formats/test_measures.py"],
    ),
    Mutant(
        target=DRIFT,
        old="eta * math.sqrt(right * (1.0 - right) * (1.0 - 1.0 / group_size) / batch_size)",
        new="eta * math.sqrt(right * (1.0 - right) / batch_size)",
        why="forgets what the group's own mean takes out of the noise",
        tests=["tests/diagnose/formats/test_drift.py::test_noise_of_a_step_by_enumeration"],
    ),
    Mutant(
        target=COMPARE,
        old="swap = rng.binomial(times, 0.5, size=(min(CHUNK, draws - done), times.size))",
        new="swap = times * rng.binomial(1, 0.5, size=(min(CHUNK, draws - done), times.size))",
        why="swaps prompts of like counts together",
        tests=["tests/diagnose/formats/test_compare.py::test_swaps_of_pairs_are_enumerated"],
    ),
    Mutant(
        target=COMPARE,
        old="weight = 2.0 * n * m / (n + m)",
        new="weight = 1.0 * (n + m)",
        why="a prompt with many samples in one set alone weighs the most",
        tests=[
            "tests/diagnose/formats/test_compare.py::test_swaps_of_pairs_with_other_numbers_of_samples_are_enumerated"
        ],
    ),
    Mutant(
        target=COMPARE,
        old="off = (share - share_2) ** 2 / (noise + noise_2)",
        new="off = (share - share_2) ** 2",
        why="takes a set with more samples of its prompts for another set",
        tests=[
            "tests/diagnose/formats/test_compare.py::test_a_set_with_more_samples_is_no_other_set"
        ],
    ),
    Mutant(
        target=DRIFT,
        old="kept = momentum ** (gaps[t - 1] / parts)",
        new="kept = momentum",
        why="noise lasts for ever longer where steps are put together",
        tests=[
            "tests/diagnose/formats/test_drift.py::test_steps_put_together_keep_as_much_of_the_noise_as_they_are_long"
        ],
    ),
    Mutant(
        target=DRIFT,
        old="n, gaps, rng, momentum, tick",
        new="n, gaps, rng, momentum if rate is None else 0.0, tick",
        why="simulates a given rate without the run's momentum",
        tests=[
            "tests/diagnose/formats/test_drift.py::test_a_given_rate_keeps_its_level_under_momentum"
        ],
    ),
    Mutant(
        target=WORDS,
        old="if drift is None or drift.possible >= ENOUGH:",
        new="if drift is None or drift.changes < ENOUGH:",
        why="asks for more logged steps where the rise was too short for them",
        tests=["tests/diagnose/formats/test_words.py::test_every_verdict_says_what_to_do"],
    ),
    Mutant(
        target=DRIFT,
        old="rise = means[-1] - means[0]",
        new="rise = np.abs(means[-1] - means[0])",
        why="a winner that fell steadily is called a steady rise",
        tests=["tests/diagnose/formats/test_drift.py::test_a_winner_that_fell_was_not_steady"],
    ),
    Mutant(
        target=RULES,
        old="not any(word in folded",
        new="not all(word in folded",
        why="a block needs all the words that may begin one",
        tests=["tests/diagnose/formats/test_rules.py"],
    ),
    Mutant(
        target=COMPARE,
        old="step = np.zeros((int(steps.max()) + 1, size))\n    np.add.at(step, (steps, formats), 1.0)",
        new="step = np.zeros((1, size))\n    np.add.at(step, (0 * steps, formats), 1.0)",
        why="takes the change of shares over the steps for a likeness of prompts",
        tests=[
            "tests/diagnose/formats/test_compare.py::test_steps_that_differ_are_no_likeness_of_prompts"
        ],
    ),
    Mutant(
        target=RULES,
        old="if found.start() < best:",
        new="if name == OTHER:",
        why="the order of the table decides between blocks, not which comes first in the text",
        tests=["tests/diagnose/formats/test_rules.py"],
    ),
]
