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
        tests=["tests/guard/test_splits.py::test_neither_the_order_nor_other_units_matter"],
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
        old="    spent = (fitted & ~test) | seen_units(rows, guard.threshold_units)\n",
        new="    spent = np.zeros(test.size, np.bool_)\n",
        why="judges the guard on the rows that it learned from",
        tests=[f"{OF_GUARD}::test_no_row_is_judged_that_was_learned_from"],
    ),
    Mutant(
        target=GUARD,
        old="allowed = ~seen | (parts_of(rows, guard.seed, guard.shares) == THRESHOLD)",
        new="allowed = np.ones(seen.size, np.bool_)",
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
        target=EVALUATION,
        old="return self.n_errors / self.n_judged if self.n_judged else",
        new="return self.n_errors / self.n_prompts if self.n_judged else",
        why="divides the errors among the answered by all prompts",
        tests=["tests/guard/test_evaluation.py::test_counts_by_hand"],
    ),
]
