"""Wrong versions of pass@k and of the verdict on sharpening."""

from __future__ import annotations

from mutant import Mutant

FOLDER = "levelhead.diagnose.sharpening."
CURVES = ["tests/diagnose/sharpening/test_passk.py"]
NULLS = ["tests/diagnose/sharpening/test_nulls.py"]
COUNTS = ["tests/diagnose/sharpening/test_counts.py"]
VERDICTS = [
    "tests/diagnose/sharpening/test_diagnose.py::test_problems_out_of_reach_that_are_solved_are_expansion"
]
UNLUCKY = [
    "tests/diagnose/sharpening/test_diagnose.py::test_a_base_model_that_was_unlucky_is_no_expansion"
]
FEW = [
    "tests/diagnose/sharpening/test_diagnose.py::test_few_losses_are_not_enough_whatever_the_bootstrap_says"
]
MIXED = [
    "tests/diagnose/sharpening/test_diagnose.py::test_raising_some_and_leaving_the_rare_is_no_expansion"
]
LOST = ["tests/diagnose/sharpening/test_diagnose.py::test_losses_do_not_hide_what_is_new"]
HIGH = [
    "tests/diagnose/sharpening/test_diagnose.py::test_a_high_level_needs_more_swaps_and_can_still_be_met"
]

MUTANTS = [
    Mutant(
        target=FOLDER + "_passk",
        old="np.maximum(wrong - j, 0) / np.where(total > j, total - j, np.nan)",
        new="np.where(total > j, wrong / total, np.nan)",
        why="draws with replacement: the plug-in 1 - (1 - c/n)^k, which is biased",
        tests=CURVES,
    ),
    Mutant(
        target=FOLDER + "_passk",
        old="np.where(total > j, total - j, np.nan)",
        new="np.maximum(total - j, 1)",
        why="extrapolates beyond the samples that are there",
        tests=CURVES,
    ),
    Mutant(
        target=FOLDER + "_passk",
        old="above = first > second + TIE",
        new="above = first >= second",
        why="a tie counts as a crossing",
        tests=CURVES,
    ),
    Mutant(
        target=FOLDER + "_passk",
        old="steps = np.diff(np.log(grid))",
        new="steps = np.diff(np.asarray(grid, dtype=float))",
        why="the area over k, which the largest k decide",
        tests=CURVES,
    ),
    Mutant(
        target=FOLDER + "_nulls",
        old="np.cumprod((n - s) / (2.0 * n - s))",
        new="np.cumprod(np.full(s.size, 0.5))",
        why="deals samples with replacement: 2^-s",
        tests=NULLS,
    ),
    Mutant(
        target=FOLDER + "_nulls",
        old="bdtrc(least - 1, coins, chance)",
        new="bdtrc(least, coins, chance)",
        why="more than seen instead of as many or more",
        tests=NULLS,
    ),
    Mutant(
        target=FOLDER + "_nulls",
        old="drawn[:, order]",
        new="drawn",
        why="the counts of the tuned model are added up in the order of the base model's",
        tests=NULLS,
    ),
    Mutant(
        target=FOLDER + "_counts",
        old="rows.append(_Rows(moved[keep], label[keep] == 1.0, answer))",
        new="rows.append(_Rows(moved[keep], label[keep] != 0.0, answer))",
        why="a missing label counts as right",
        tests=COUNTS,
    ),
    Mutant(
        target=FOLDER + "_counts",
        old="limit = np.where(size >= 2, size, 0)",
        new="limit = np.full(problems, 1 << 40)",
        why="the model that answers more often has more answers to spread over",
        tests=COUNTS,
    ),
    Mutant(
        target=FOLDER + "_result",
        old="(p_new, p_unlucky, p_guessed)",
        new="(p_new, p_guessed)",
        why="a base model that was unlucky makes a sharpened one look expanded",
        tests=UNLUCKY,
    ),
    Mutant(
        target=FOLDER + "_result",
        old="d.high < 0.0 and d.p_down <= tail",
        new="d.high < 0.0",
        why="a bootstrap of four changes is believed",
        tests=FEW,
    ),
    Mutant(
        target=FOLDER + "_result",
        old="all(math.isnan(p) or p <= tail for",
        new="all(p <= tail for",
        why="without a guess rate nothing ever expands",
        tests=VERDICTS,
    ),
    Mutant(
        target=FOLDER + "_nulls",
        old="(base == 0) & (tuned > 1)",
        new="(base == 0) & (tuned > 0)",
        why="rare problems that stay as they are look new beside others that were raised",
        tests=MIXED,
    ),
    Mutant(
        target=FOLDER + "_nulls",
        old="(base == 1) & (tuned > 0)",
        new="base == 1",
        why="single hits that were lost hide what is new",
        tests=LOST,
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="swaps = max(SWAPS, math.ceil(FINE / (1.0 - level)))",
        new="swaps = SWAPS",
        why="at a high level no p is ever small enough, and nothing is ever sharpened",
        tests=HIGH,
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="luck, (1.0 - level) / 2.0)",
        new="luck, 1.0 - level)",
        why="each side is tested at twice its level",
        tests=FEW,
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="least == 1",
        new="least == 0",
        why="pass@n and Cover@tau at small tau are one number with two intervals",
        tests=["tests/diagnose/sharpening/test_words.py::test_the_same_number_has_one_interval"],
    ),
    Mutant(
        target=FOLDER + "_phrases",
        old="if rose(d, tail):",
        new="if False:",
        why="a rise far beyond chance is called noise where there is no verdict",
        tests=["tests/diagnose/sharpening/test_phrases.py::test_clauses"],
    ),
    Mutant(
        target=FOLDER + "_phrases",
        old="if abs(value) < ROUNDING:",
        new="if abs(value) < 0.05:",
        why="an end of an interval beside 0 reads as 0",
        tests=["tests/diagnose/sharpening/test_phrases.py::test_points"],
    ),
    Mutant(
        target=FOLDER + "_steps",
        old="math.sqrt(some - change**2)",
        new="change",
        why="too few problems are advised",
        tests=[
            "tests/diagnose/sharpening/test_steps.py::test_so_many_problems_find_it_in_four_of_five"
        ],
    ),
]
