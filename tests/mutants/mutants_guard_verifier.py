"""Wrong versions of the guard: its splits, its verifier and what it may look at."""

from __future__ import annotations

from mutant import Mutant

SPLITS = "levelhead.guard.splits"
VERIFIER = "levelhead.guard.verifier"
LOGISTIC = "levelhead.guard._logistic"
TREES = "levelhead.guard._trees"
ROWS = "levelhead.guard._rows"
GUARD = "levelhead.guard.guard"
EVALUATION = "levelhead.guard.evaluation"

OF_VERIFIER = "tests/guard/test_verifier.py"
OF_GUARD = "tests/guard/test_guard.py"

MUTANTS = [
    Mutant(
        target=SPLITS,
        old='parts = np.searchsorted(edges, hashed(units, seed=seed), side="right")',
        new='parts = np.searchsorted(edges, np.random.default_rng(seed).random(len(units)), "right")',
        why="a random split of the rows: samples of one prompt are in several parts",
        tests=["tests/guard/test_splits.py::test_rows_of_one_unit_are_in_one_part"],
    ),
    Mutant(
        target=LOGISTIC,
        old="    penalty[0] = 0.0\n",
        new="",
        why="penalizes the intercept: the mean verified confidence is pulled to one half",
        tests=[f"{OF_VERIFIER}::test_the_gradient_vanishes_at_the_fit"],
    ),
    Mutant(
        target=VERIFIER,
        old="scale = float(np.sqrt(w @ (raw - center) ** 2 / w.sum()))",
        new="scale = 1.0",
        why="penalizes a feature in seconds harder than the same one in hours",
        tests=[f"{OF_VERIFIER}::test_explain_is_in_standard_deviations"],
    ),
    Mutant(
        target=VERIFIER,
        old="units = [str(code) for code in group.tolist()]",
        new="units = [str(code) for code in range(group.size)]",
        why="folds that split groups choose a penalty for memorizing them",
        tests=[f"{OF_VERIFIER}::test_groups_are_never_split"],
    ),
    Mutant(
        target=TREES,
        old="low = np.ascontiguousarray(x.astype(np.float32))",
        new="low = np.ascontiguousarray(x)",
        why="compares float64 with thresholds between float32: another leaf near an edge",
        tests=[f"{OF_VERIFIER}::test_exported_trees_are_scikit_learns"],
    ),
    Mutant(
        target=ROWS,
        old='among = np.flatnonzero(ranks == 1) if select == "top" else claims',
        new='among = np.flatnonzero(rows.correct == 1.0) if select == "top" else claims',
        why="picks the right answer of a prompt to set the threshold on: the promise is void",
        tests=[f"{OF_GUARD}::test_labels_are_not_looked_at_when_it_is_applied"],
    ),
    Mutant(
        target=GUARD,
        old="    spent = (seen.fitted & ~test) | seen.bound\n",
        new="    spent = np.zeros(test.size, np.bool_)\n",
        why="judges the guard on the rows that it learned from",
        tests=[f"{OF_GUARD}::test_no_row_is_judged_that_was_learned_from"],
    ),
    Mutant(
        target=GUARD,
        old="allowed = ~seen.fitted | (parts_of(rows, guard.seed, guard.shares) == THRESHOLD)",
        new="allowed = np.ones(seen.fitted.size, np.bool_)",
        why="sets the threshold on the rows of the fit, where the verifier looks better than it is",
        tests=[f"{OF_GUARD}::test_files_that_the_fit_has_seen"],
    ),
    Mutant(
        target=GUARD,
        old="per_unit = rows.coarse if per_unit is None else per_unit",
        new="per_unit = bool(per_unit)",
        why="counts the prompts of one gene as independent unless told otherwise",
        tests=[f"{OF_GUARD}::test_a_unit_above_the_prompt"],
    ),
    Mutant(
        target=ROWS,
        old="    return blank & (predictions.status != REFUSAL)\n",
        new="    return blank & False\n",
        why="answers with nothing: a row whose answer is empty",
        tests=["tests/guard/test_rows.py"],
    ),
    Mutant(
        target="levelhead.guard._seen",
        old="        if share >= SAME:\n",
        new="        if share > 1.0:\n",
        why="rows of the fit are declared fresh, and the threshold is set on what was learned from",
        tests=["tests/guard/test_seen.py"],
    ),
    Mutant(
        target="levelhead.guard._seen",
        old='    if seen.same or seen.fresh:\n        return ""\n',
        new='    if seen.same or not seen.fresh:\n        return ""\n',
        why="rows of other prompts with colliding ids are dropped in silence",
        tests=["tests/guard/test_seen.py"],
    ),
    Mutant(
        target=ROWS,
        old="texts[tied] = contents(predictions.take(tied), label=False)",
        new="texts[tied] = contents(predictions.take(tied), label=True)",
        why="the truth helps to choose among samples with one score",
        tests=[f"{OF_GUARD}::test_tied_samples_are_chosen_without_their_truth"],
    ),
    Mutant(
        target=ROWS,
        old="    for name in sorted(set(predictions.columns.column_names) & set(NAMES)):\n",
        new="    for name in sorted(predictions.columns.column_names):\n",
        why="a column of slices makes every row without an id a new one: learned from, and judged",
        tests=[f"{OF_GUARD}::test_a_column_of_slices_is_no_content"],
    ),
    Mutant(
        target=GUARD,
        old="kept = seen.score[seen.chosen[calibrate[seen.chosen]]]",
        new="kept = seen.score[seen.chosen[train[seen.chosen]]]",
        why="compares new scores with those of the rows that the verifier knows by heart",
        tests=[f"{OF_GUARD}::test_the_reference_of_drift_is_the_calibration_part"],
    ),
    Mutant(
        target=GUARD,
        old="sample_weight=None if weight is None else weight[calibrate],",
        new="sample_weight=None,",
        why="the calibrator ignores weights",
        tests=[f"{OF_GUARD}::test_both_fits_are_weighted"],
    ),
    Mutant(
        target=GUARD,
        old="weights=None if weight is None else weight[train],",
        new="weights=None,",
        why="the verifier ignores weights",
        tests=[f"{OF_GUARD}::test_both_fits_are_weighted"],
    ),
    Mutant(
        target="levelhead.cli.guard",
        old="            delta=delta,\n",
        new="            delta=0.05,\n",
        why="promises 95% whatever was asked for",
        tests=["tests/cli/test_guard.py::test_the_json_of_a_threshold"],
    ),
    Mutant(
        target=GUARD,
        old="SKETCH_SIZE = 1_000_000\n",
        new="SKETCH_SIZE = 1 << 14\n",
        why="beyond 16,384 prompts a few of the fit slip into a new file",
        tests=[f"{OF_GUARD}::test_names_are_kept_one_by_one_far_beyond_a_sample"],
    ),
    Mutant(
        target="levelhead.guard._seen",
        old="    bound |= _assumed(in_bound, no_bound, ~fitted, alone=True)\n",
        new="    bound |= _assumed(in_bound, no_bound, fitted | ~fitted, alone=True)\n",
        why="the test part of the fit counts as spent where the threshold keeps a sample of names",
        tests=[
            f"{OF_GUARD}::test_the_test_part_is_not_spent_by_a_threshold_whose_names_are_a_sample"
        ],
    ),
    Mutant(
        target="levelhead.guard._seen",
        old="    bound = in_bound | _assumed(in_bound, no_bound, spared, alone=False)\n",
        new="    bound = in_bound.copy()\n",
        why="judges the guard on fresh rows of its threshold, whose ids a fit happens to have",
        tests=["tests/guard/test_seen.py::test_a_fresh_threshold_spends_what_a_sample_cannot_tell"],
    ),
    Mutant(
        target="levelhead.guard._seen",
        old="    careful = bool(known.any()) or (alone",
        new="    careful = bool(known.any() and False) or (alone",
        why="takes rows for new that it cannot tell from those that it learned from",
        tests=[f"{OF_GUARD}::test_what_cannot_be_told_counts_as_met_beside_what_was_met"],
    ),
    Mutant(
        target=EVALUATION,
        old="return self.n_errors / self.n_judged if self.n_judged else",
        new="return self.n_errors / self.n_prompts if self.n_judged else",
        why="divides the errors among the answered by all prompts",
        tests=["tests/guard/test_evaluation.py::test_counts_by_hand"],
    ),
]
