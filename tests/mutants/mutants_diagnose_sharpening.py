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
FEW = ["tests/diagnose/sharpening/test_diagnose.py::test_five_new_ones_are_not_enough_either"]
UNSEEN = [
    "tests/diagnose/sharpening/test_result.py::test_what_no_problem_shows_is_taken_for_as_large_as_what_one_does"
]
INTERVAL = ["tests/diagnose/sharpening/test_interval.py"]
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
        target=FOLDER + "_nulls",
        old="rng.integers(2, size",
        new="rng.integers(1, size",
        why="the sign of a difference that no other problem has is never swapped",
        tests=NULLS,
    ),
    Mutant(
        target=FOLDER + "_interval",
        old="np.append(times, 1)",
        new="np.append(times, 0.01)",
        why="the unseen problem hardly counts: what none of the seen ones shows is impossible",
        tests=INTERVAL,
    ),
    Mutant(
        target=FOLDER + "_interval",
        old="grows |= (np.diff",
        new="grows &= (np.diff",
        why="a line bent to where the integrand grows: an end that is off by more than the interval",
        tests=INTERVAL,
    ),
    Mutant(
        target=FOLDER + "_interval",
        old="np.append(-seen, unseen)",
        new="np.append(-seen, 0.0)",
        why="the upper end reckons with an unseen problem that did not change",
        tests=INTERVAL,
    ),
    Mutant(
        target=FOLDER + "_interval",
        old="min(worst, -high)",
        new="min(1.0, -high)",
        why="a change of more than 1, as of an entropy, is cut off",
        tests=INTERVAL,
    ),
    Mutant(
        target=FOLDER + "_interval",
        old="worst = float(np.abs(values).max())",
        new="worst = 1.0",
        why="every interval reckons with a problem that falls from 1 to 0: rises on few are not seen",
        tests=["tests/diagnose/sharpening/test_diagnose.py::test_a_rise_on_a_few_problems_is_seen"],
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="solved[1], level, seed, worst=1.0)",
        new="solved[1], level, seed)",
        why="that no problem was lost or won is taken for a law",
        tests=[
            "tests/diagnose/sharpening/test_diagnose.py::test_no_change_of_pass_n_is_no_certainty"
        ],
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="reached[1], level, seed, worst=1.0)",
        new="reached[1], level, seed)",
        why="no change of Cover@tau has no interval at all",
        tests=[
            "tests/diagnose/sharpening/test_diagnose.py::test_no_change_of_pass_n_is_no_certainty"
        ],
    ),
    Mutant(
        target=FOLDER + "_counts",
        old="if count.min() == 0 and count.max() == n and not ((count > 0) & (count < n)).any():",
        new="if False:",
        why="copies of one answer pass for samples: a greedy model that did not change expands",
        tests=COUNTS,
    ),
    Mutant(
        target=FOLDER + "_counts",
        old="-ALIKE * (math.sqrt(variance) + 1.0)",
        new="-ALIKE * math.sqrt(variance)",
        why="two right ones side by side among thousands of wrong ones are called copies",
        tests=COUNTS,
    ),
    Mutant(
        target=FOLDER + "_diagnose",
        old="1.0 if alike else unlucky.p",
        new="unlucky.p",
        why="copies of samples make a base model unluckier than independent ones, which is not seen",
        tests=[
            "tests/diagnose/sharpening/test_diagnose.py::test_copies_of_samples_are_no_expansion"
        ],
    ),
    Mutant(
        target=FOLDER + "_counts",
        old="(pairs * (pairs - n)).sum()",
        new="(pairs * pairs).sum()",
        why="the order of samples varies less than that",
        tests=COUNTS,
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
        old="d.low > 0.0 and d.p_up <= tail",
        new="d.p_up <= tail",
        why="what all problems seen show is believed of those unseen",
        tests=UNSEEN,
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
        target=FOLDER + "_phrases",
        old="if rose(d, tail):",
        new="if False:",
        why="a rise far beyond chance is called noise where there is no verdict",
        tests=["tests/diagnose/sharpening/test_phrases.py::test_clauses"],
    ),
    Mutant(
        target="levelhead._text",
        old="if abs(value) < ROUNDING:",
        new="if abs(value) < 0.05:",
        why="an end of an interval beside 0 reads as 0",
        tests=["tests/test_text.py::test_points_are_of_a_percentage"],
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
