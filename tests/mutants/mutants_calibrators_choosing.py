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
        target=CROSS,
        old='dealt = shuffled[np.argsort(strata[shuffled], kind="stable")]',
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
]
