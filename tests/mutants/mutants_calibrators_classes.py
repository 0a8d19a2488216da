"""Wrong versions of the class scalings."""

from __future__ import annotations

from mutant import Mutant

CLASSES = "levelhead.calibrators.classes"
SHARED = "levelhead.calibrators._class_scaling"
TESTS = "tests/calibrators/test_classes.py"

MUTANTS = [
    Mutant(
        target=CLASSES,
        old="    return pair[0] / (k * (k - 1)), pair[1] / k",
        new="    return pair[0], pair[1]",
        why="takes the weights for those of plain sums, as dirichletcal does",
        tests=[f"{TESTS}::test_the_penalized_objective_is_scipys"],
    ),
    Mutant(
        target=SHARED,
        old="    return z - z.mean(axis=1, keepdims=True)",
        new="    return z - z.mean(axis=0, keepdims=True)",
        why="centers the classes and not the rows",
        tests=[f"{TESTS}::test_a_constant_added_to_a_row_changes_nothing"],
    ),
    Mutant(
        target=CLASSES,
        old="    return columns.total if whole else columns.total**2 / float(np.dot(w, w))",
        new="    return float(w.size)",
        why="counts rows and not what they weigh",
        tests=[f"{TESTS}::test_few_rows_refused_or_not"],
    ),
    Mutant(
        target=SHARED,
        old='            return np.log(np.maximum(class_probabilities("X", z), self.eps))',
        new='            return class_probabilities("X", z)',
        why="scales probabilities as if they were logits",
        tests=[f"{TESTS}::test_probabilities_and_their_logits_are_one_thing"],
    ),
    Mutant(
        target="levelhead.calibrators._penalty",
        old="        if not excess > trial.standard_error(base[2] - best[2]):",
        new="        if not excess > 0.0:",
        why="few rows take whatever won, by however little",
        tests=[
            "tests/calibrators/test_penalty.py::test_few_rows_take_the_temperature_unless_it_loses_clearly"
        ],
    ),
    Mutant(
        target="levelhead.calibrators._newton",
        old="        step, gain, _ = _step(whole - own[i], theta, penalty)",
        new="        step, gain, _ = _step(whole, theta, penalty)",
        why="the fold's own rows stay in its fit, so the richest candidate always wins",
        tests=[
            "tests/calibrators/test_newton.py::test_cross_validation_is_a_full_refit_of_each_fold"
        ],
    ),
    Mutant(
        target="levelhead.calibrators._families",
        old="        curvature[np.arange(k), np.arange(k)] = self._ridge",
        new="        curvature[np.arange(k), np.arange(k)] += 0.0",
        why="penalizes the diagonal, too: an L2 penalty that pulls towards no change",
        tests=[f"{TESTS}::test_an_infinite_penalty_is_vector_scaling"],
    ),
    Mutant(
        target="levelhead.calibrators._folds",
        old="    own[named] = mixed[labels[named], np.flatnonzero(named)]",
        new="    own[named] = labels[named]",
        why="the folds depend on the order in which the classes are listed",
        tests=["tests/calibrators/test_folds.py::test_a_relabeling_of_the_classes_moves_nobody"],
    ),
    Mutant(
        target=CLASSES,
        old="        self.intercept_ -= offset * (sums - sums[0])",
        new="        self.intercept_ -= 0.0 * (sums - sums[0])",
        why="the intercepts stay those of the shifted scores",
        tests=[f"{TESTS}::test_uncentered_it_is_scikit_learns_regression_on_the_scores"],
    ),
    Mutant(
        target=CLASSES,
        old="        return 0.0 if self.center else about_mean(columns)",
        new="        return 0.0",
        why="fits the scores with their offset, which the penalty of the intercepts then weighs",
        tests=[f"{TESTS}::test_the_uncentered_penalty_weighs_intercepts_beside_scores_of_mean_0"],
    ),
    Mutant(
        target=CLASSES,
        old="        return super()._features(z) if self.center else classes_first(self.logits_of(z))",
        new="        return super()._features(z)",
        why="centers whatever the option says",
        tests=[f"{TESTS}::test_the_row_mean_is_news_where_it_is_kept"],
    ),
    Mutant(
        target=SHARED,
        old="    mean = float(np.average(rows, weights=columns.weights))",
        new="    mean = float(rows.mean())",
        why="the scores' mean does not see what the rows weigh",
        tests=[
            "tests/calibrators/test_class_scaling.py::test_about_the_mean_is_one_number_however_it_is_summed"
        ],
    ),
]
