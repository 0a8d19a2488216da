"""Wrong versions of the choice between calibrators, of their files, and of what seals them."""

from __future__ import annotations

from mutant import Mutant

CHOOSING = "levelhead.calibrators.choosing"
CROSS = "levelhead.calibrators._cross"
DOCUMENTS = "levelhead.calibrators.documents"
TESTS = "tests/calibrators/test_choosing.py::"
FILES = "tests/calibrators/test_documents.py::"

MUTANTS = [
    Mutant(
        target=CHOOSING,
        old="difference, spread = clustered_mean(paired, rows.weights, rows.groups)",
        new="difference, spread = mean - means[best][0], se",
        why="compares with the error of the loss itself, which is far wider than the paired one",
        tests=[
            TESTS + "test_losses_and_their_errors_by_a_loop",
            TESTS + "test_the_simplest_within_one_standard_error_wins",
        ],
    ),
    Mutant(
        target=CHOOSING,
        old="key=lambda place: (candidates[place].simplicity, place),",
        new="key=lambda place: (place, candidates[place].simplicity),",
        why="takes the best of those within one standard error, so always the best",
        tests=[TESTS + "test_the_simplest_within_one_standard_error_wins"],
    ),
    Mutant(
        target=CHOOSING,
        old="fitted = _chosen(rest, inputs, n_folds, seed, _prefixed(on_step, step))",
        new="fitted = _chosen(rows, inputs, n_folds, seed, _prefixed(on_step, step))",
        why="chooses and fits on all rows, and calls the values honest",
        tests=[TESTS + "test_cross_fitting_equals_a_loop"],
    ),
    Mutant(
        target=CROSS,
        old="parts = np.bincount(used, weights=parts)",
        new="parts = np.bincount(used, weights=parts) / np.bincount(used)",
        why="means of the groups in the place of their sums",
        tests=[TESTS + "test_losses_and_their_errors_by_a_loop"],
    ),
    Mutant(
        target=CROSS,
        old="fitted = fit_rows(clone(calibrator), rows.take(~inside))",
        new="fitted = fit_rows(clone(calibrator), rows)",
        why="predicts rows that it was fitted on",
        tests=[TESTS + "test_a_candidate_that_fails_in_a_fold_is_kept_and_cannot_win"],
    ),
    Mutant(
        target=CHOOSING,
        old='if difference <= (spread if rule == "one_se" else 0.0) + ROUNDING:',
        new='if difference <= (1.5 * spread if rule == "one_se" else 0.0) + ROUNDING:',
        why="one and a half standard errors",
        tests=[TESTS + "test_the_margin_is_one_standard_error"],
    ),
    Mutant(
        target=CHOOSING,
        old="methods = [one for one in AUTO[rows.input] if one not in out]",
        new="methods = AUTO[rows.input]",
        why="the slow one is called left out, and takes its time",
        tests=[TESTS + "test_a_slow_method_is_left_out_beyond_its_limit"],
    ),
    Mutant(
        target=CROSS,
        old='named["groups"] = rows.groups',
        new='named["groups"] = None',
        why="a calibrator with folds of its own splits the groups there",
        tests=[TESTS + "test_a_calibrator_with_folds_of_its_own_is_handed_the_groups"],
    ),
    Mutant(
        target=CROSS,
        old="else weights / weights.max()",
        new="else weights",
        why="squares of large weights overflow, those of small ones vanish",
        tests=[TESTS + "test_the_scale_of_the_weights_changes_nothing"],
    ),
    Mutant(
        target=CROSS,
        old="units[order] = np.append(0, np.cumsum(new))",
        new="units[order] = np.arange(rows.size)",
        why="copies of held-out rows are among those of the fit",
        tests=[TESTS + "test_copies_of_a_row_of_class_scores_share_a_fold_and_move_nobody"],
    ),
    Mutant(
        target=CROSS,
        old="np.minimum.at(stratum, units, strata)",
        new="stratum[units] = strata",
        why="the last copy decides whether a row counts",
        tests=[TESTS + "test_a_copy_without_weight_does_not_hide_the_class_of_the_others"],
    ),
    Mutant(
        target="levelhead.cli.calibrate",
        old="groups=rows.groups,",
        new="groups=None,",
        why="samples of one prompt are compared as if they were independent",
        tests=["tests/cli/test_calibrate.py::test_the_command_compares_as_python_does"],
    ),
    Mutant(
        target="levelhead.cli.calibrate",
        old="sample_weight=rows.weights,",
        new="sample_weight=None,",
        why="every record counts the same, whatever its weight",
        tests=["tests/cli/test_calibrate.py::test_the_command_compares_as_python_does"],
    ),
    Mutant(
        target=CROSS,
        old='dealt = shuffled[np.argsort(stratum[shuffled], kind="stable")]',
        new="dealt = shuffled",
        why="folds without regard to the classes: a rare one is missing in some",
        tests=[TESTS + "test_classes_are_spread_evenly"],
    ),
    Mutant(
        target=CROSS,
        old='return log_loss(predicted, y, eta=0.0) if score == "log"',
        new='return log_loss(predicted, y) if score == "log"',
        why="clips at 0.01, which forgives a wrong certainty",
        tests=[TESTS + "test_a_wrong_certainty_is_infinite_and_noted"],
    ),
    Mutant(
        target="levelhead._sealed",
        old="text = json.dumps([kind, version, content], sort_keys=True, allow_nan=False)",
        new="text = json.dumps([kind, version, sorted(content)], sort_keys=True, allow_nan=False)",
        why="a digest of the names of the entries only",
        tests=["tests/test_sealed.py::test_another_text_is_refused_in_one_sentence"],
    ),
    Mutant(
        target="levelhead._sketch",
        old="return hashes[hashes <= self.hashes[-1]] if self.hashes.size else hashes[:0]",
        new="return hashes",
        why="counts keys that the sample cannot tell as never seen",
        tests=["tests/test_sketch.py::test_beyond_its_size_it_estimates"],
    ),
    Mutant(
        target=DOCUMENTS,
        old="name: tuple(cast(list[Any], value)) if isinstance(value, list) else value",
        new="name: value",
        why="a pair of penalties comes back as a list",
        tests=[FILES + "test_a_round_trip_is_exact_to_the_bit"],
    ),
    Mutant(
        target="levelhead.testing._calibrator",
        old='case.expect("JSON gives back the same predictions bit for bit", wanted, again, 0.0)',
        new='case.expect("JSON gives back the same predictions bit for bit", wanted, again, EXACT)',
        why="a round trip that is nearly exact",
        tests=["tests/testing/test_calibrator.py"],
    ),
    Mutant(
        target="levelhead.calibrators._foreign",
        old="return simplicity if isinstance(simplicity, int) else MOST_COMPLEX",
        new="return simplicity if isinstance(simplicity, int) else 0",
        why="a calibrator that declares nothing counts as the identity and wins every tie",
        tests=["tests/calibrators/test_foreign.py"],
    ),
    Mutant(
        target=DOCUMENTS,
        old="missing=None if missing is None else float(missing),",
        new="missing=None,",
        why="forgets what a row without a confidence is worth",
        tests=[FILES + "test_the_share_of_missing_ones_comes_back_and_older_files_have_none"],
    ),
    Mutant(
        target="levelhead.calibrators._missing",
        old="rate = (right.sum() - right + 1.0) / (count.sum() - count + 2.0)",
        new="rate = np.full(n_folds, (right.sum() + 1.0) / (count.sum() + 2.0))",
        why="a row without a confidence counts for itself, in values that are called out of fold",
        tests=["tests/recalibration/test_through.py"],
    ),
    Mutant(
        target="levelhead.recalibration.through",
        old="return (predictions.status != 0) & (predictions.status != _REFUSAL)",
        new="return predictions.status != 0",
        why="a refusal claims nothing, and is given a confidence",
        tests=["tests/recalibration/test_through.py"],
    ),
    Mutant(
        target="levelhead.calibrators.checks",
        old="counted = right if weights is None else right[weights > 0.0]",
        new="counted = right",
        why="rows of weight 0 are taken for the second class",
        tests=["tests/calibrators/test_checks.py"],
    ),
    Mutant(
        target="levelhead.recalibration.through",
        old="sample_weight=data.weights,",
        new="sample_weight=None,",
        why="weights are lost on the way to the folds",
        tests=["tests/recalibration/test_through.py"],
    ),
    Mutant(
        target="levelhead.recalibration.rows",
        old="enumerate(sorted({i for i in ids if i is not None}))",
        new="enumerate(dict.fromkeys(i for i in ids if i is not None))",
        why="prompts are numbered as they come, and the order of a file changes its folds",
        tests=["tests/recalibration/test_rows.py"],
    ),
    Mutant(
        target="levelhead.recalibration.seen",
        old="0.0 if rows <= _by_chance(keys, named) else rows",
        new="rows",
        why="ids that number the rows of every file make an alarm",
        tests=["tests/recalibration/test_seen.py"],
    ),
]
