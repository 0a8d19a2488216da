"""Wrong versions of the diagnosis of difficulty."""

from __future__ import annotations

from mutant import Mutant

PACKAGE = "levelhead.diagnose"
TESTS = "tests/diagnose/test_difficulty"

MUTANTS = [
    Mutant(
        target=f"{PACKAGE}._difficulty_shortcuts",
        old="    usual = np.median(operations[:, :n_base], axis=1)[:, None]",
        new="    usual = np.median(operations[:1, :n_base], axis=1)[:, None]",
        why="keeps the usual work of the real base under every swap: it looks more diligent than it is",
        tests=[f"{TESTS}_shortcuts.py::test_a_model_measured_against_itself_gets_no_credit"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_shortcuts",
        old="shuffled = np.argsort(rng.random((n_permutations, rows.size)), axis=1)",
        new="shuffled = np.tile(rng.permutation(rows.size), (n_permutations, 1))",
        why="one swap for all permutations",
        tests=[f"{TESTS}_shortcuts.py::test_the_p_value_is_that_of_all_swaps"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_suite",
        old="np.isin(names_tuned, wanted), np.isin(names_base, wanted) & ~first",
        new="np.isin(names_tuned, wanted), np.isin(names_base, wanted)",
        why="compares the base on the samples that chose the suite: it was lucky there",
        tests=[f"{TESTS}_suite.py::test_a_model_that_did_not_change_does_not_seem_to_lose"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_amplify",
        old="gain = float(others @ (by_count.success[1:] - by_count.failure[:-1]))",
        new="gain = float(others @ (by_count.success[1:] - by_count.failure[1:]))",
        why="compares a right and a wrong sample of one group, where the others differ",
        tests=[f"{TESTS}_amplify.py::test_the_flip_is_that_of_all_groups_enumerated"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_amplify",
        old="            if total >= size",
        new="            if total > size",
        why="gives prompts that were never solved an update from the prior",
        tests=[f"{TESTS}_section.py::test_where_no_group_is_mixed_shares_are_undefined"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_bands",
        old='        (never, 0, "impossible"),',
        new='        (never, 1, "impossible"),',
        why="a prompt that failed once is impossible",
        tests=[f"{TESTS}_bands.py::test_how_many_failures_make_a_prompt_impossible"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_text",
        old="        if marks and match.start() < marks[-1].end:",
        new="        if marks and match.start() < marks[-1].start:",
        why="counts a box inside of a sentence as a second answer",
        tests=[f"{TESTS}_text.py::test_answers_are_read_in_one_spelling"],
    ),
    Mutant(
        target=f"{PACKAGE}._difficulty_filters",
        old="    dirty[g.code[(g.right == 1.0) & ~fine]] = True",
        new="    dirty[g.code[~fine]] = True",
        why="gates a group for the texts of its failures",
        tests=[f"{TESTS}_filters.py::test_a_lone_success_must_be_clean"],
    ),
]
