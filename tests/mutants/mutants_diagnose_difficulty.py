"""Wrong versions of the diagnosis of difficulty."""

from __future__ import annotations

from mutant import Mutant

PACKAGE = "levelhead.diagnose.difficulty"
TESTS = "tests/diagnose/difficulty/test"

MUTANTS = [
    Mutant(
        target=f"{PACKAGE}._shortcuts",
        old="    usual = np.median(operations[:, :n_base], axis=1)[:, None]",
        new="    usual = np.median(operations[:1, :n_base], axis=1)[:, None]",
        why="keeps the usual work of the real base under every swap: it looks more diligent than it is",
        tests=[f"{TESTS}_shortcuts.py::test_a_model_measured_against_itself_gets_no_credit"],
    ),
    Mutant(
        target=f"{PACKAGE}._shortcuts",
        old="orders = np.argsort(rng.random((part.size, len(traces))), axis=1)",
        new="orders = np.tile(rng.permutation(len(traces)), (part.size, 1))",
        why="one swap for all permutations",
        tests=[f"{TESTS}_shortcuts.py::test_the_p_value_is_the_larger_one_of_two_kinds_of_swaps"],
    ),
    Mutant(
        target=f"{PACKAGE}._shortcuts",
        old="swapped >= difference - 1e-12, axis=1).max())",
        new="swapped >= difference - 1e-12, axis=1)[0])",
        why="takes near copies of one answer for as many pieces of evidence",
        tests=[f"{TESTS}_shortcuts.py::test_near_copies_of_one_answer_are_one_piece_of_evidence"],
    ),
    Mutant(
        target=f"{PACKAGE}._shortcuts",
        old="np.where(swap, as_tuned - as_base, after - base)",
        new="np.where(swap, base - after, after - base)",
        why="swaps whole prompts and keeps the usual work of the real base",
        tests=[
            f"{TESTS}_shortcuts.py"
            "::test_whole_prompts_are_swapped_with_the_usual_work_of_the_other_model"
        ],
    ),
    Mutant(
        target=f"{PACKAGE}._suite",
        old="rng = np.random.default_rng((seed, STREAM))",
        new="rng = np.random.default_rng(seed)",
        why="halves by the numbers that may have decided what is right",
        tests=[
            f"{TESTS}_suite.py::test_the_halves_have_nothing_to_do_with_data_made_with_the_same_seed"
        ],
    ),
    Mutant(
        target=f"{PACKAGE}._suite",
        old="stats.t.ppf((1.0 + level) / 2.0, n - 1)",
        new="stats.norm.ppf((1.0 + level) / 2.0)",
        why="an interval for many prompts where there are few: it misses more than it says",
        tests=[f"{TESTS}_suite.py::test_the_interval_is_students_over_prompts"],
    ),
    Mutant(
        target=f"{PACKAGE}._filters",
        old="    return scalar or ",
        new="    return False and ",
        why="keeps every row of a data set that is filtered row by row",
        tests=[f"{TESTS}_filters.py::test_a_single_row_is_told_from_a_batch"],
    ),
    Mutant(
        target=f"{PACKAGE}._suite",
        old="        base, code_base = base[~first], code_base[~first]\n",
        new="",
        why="compares the base on the samples that chose the suite: it was lucky there",
        tests=[f"{TESTS}_suite.py::test_a_model_that_did_not_change_does_not_seem_to_lose"],
    ),
    Mutant(
        target=f"{PACKAGE}._examples",
        old='        found.append((i, tuple(NUMBER.sub("#", reason) for reason in one.reasons), one))',
        new="        found.append((i, one.reasons, one))",
        why="shows twelve answers that differ in a number",
        tests=[f"{TESTS}_examples.py::test_numbers_make_no_kind_of_their_own"],
    ),
    Mutant(
        target=f"{PACKAGE}._examples",
        old="kinds[kind] < most and one.prompt not in chosen",
        new="kinds[kind] < most",
        why="shows several answers to one prompt",
        tests=[f"{TESTS}_examples.py::test_kinds_are_mixed_and_no_prompt_comes_twice"],
    ),
    Mutant(
        target=f"{PACKAGE}._steps",
        old="((high - difference) / (test.margin - difference)) ** 2",
        new="(high - difference) / (test.margin - difference)",
        why="promises an interval that shrinks as fast as prompts grow",
        tests=[f"{TESTS}_steps.py::test_how_many_prompts_would_rule_out_the_margin"],
    ),
    Mutant(
        target=f"{PACKAGE}._amplify",
        old="gain = float(others @ (by_count.success[1:] - by_count.failure[:-1]))",
        new="gain = float(others @ (by_count.success[1:] - by_count.failure[1:]))",
        why="compares a right and a wrong sample of one group, where the others differ",
        tests=[f"{TESTS}_amplify.py::test_the_flip_is_that_of_all_groups_enumerated"],
    ),
    Mutant(
        target=f"{PACKAGE}._amplify",
        old="            if total >= size",
        new="            if total > size",
        why="gives prompts that were never solved an update from the prior",
        tests=[f"{TESTS}_section.py::test_where_no_group_is_mixed_shares_are_undefined"],
    ),
    Mutant(
        target=f"{PACKAGE}._bands",
        old='        (never, 0, "impossible"),',
        new='        (never, 1, "impossible"),',
        why="a prompt that failed once is impossible",
        tests=[f"{TESTS}_bands.py::test_how_many_failures_make_a_prompt_impossible"],
    ),
    Mutant(
        target=f"{PACKAGE}._text",
        old="        if marks and match.start() < marks[-1].end:",
        new="        if marks and match.start() < marks[-1].start:",
        why="counts a box inside of a sentence as a second answer",
        tests=[f"{TESTS}_text.py::test_answers_are_read_in_one_spelling"],
    ),
    Mutant(
        target=f"{PACKAGE}._filters",
        old="    dirty[g.code[(g.right == 1.0) & ~fine]] = True",
        new="    dirty[g.code[~fine]] = True",
        why="gates a group for the texts of its failures",
        tests=[f"{TESTS}_filters.py::test_a_lone_success_must_be_clean"],
    ),
]
