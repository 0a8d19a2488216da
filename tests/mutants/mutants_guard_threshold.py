"""Wrong versions of the threshold rules, the policy and the drift alarms."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.guard.threshold"
TESTS = ["tests/guard/test_threshold.py"]
DRIFT = "levelhead.guard.drift"

MUTANTS = [
    Mutant(
        target=TARGET,
        old="        if p > delta:\n            break",
        new="        if p > delta:\n            continue",
        why="goes on after a failure and takes the lowest threshold that passes: the naive rule",
        tests=[
            "tests/guard/test_threshold.py::test_it_stops_at_the_first_failure_and_never_starts_again"
        ],
    ),
    Mutant(
        target=TARGET,
        old="np.where(some, errors + 1.0, 1.0)",
        new="np.where(some, errors, 1.0)",
        why="P(fewer errors) for P(at most so many): every p-value is too small",
        tests=["tests/guard/test_threshold.py::test_p_values_are_exact_in_the_tail"],
    ),
    Mutant(
        target=TARGET,
        old='side="right"',
        new='side="left"',
        why="a score at the threshold is answered but was not counted",
        tests=["tests/contracts/test_threshold.py"],
    ),
    Mutant(
        target=TARGET,
        old="np.where(np.isnan(scores), 0, np.searchsorted(rising, scores, side=",
        new="np.where(np.isinf(scores), 0, np.searchsorted(rising, scores, side=",
        why="NaN sorts above every threshold and counts as the surest score",
        tests=["tests/guard/test_threshold.py::test_a_missing_score_counts_and_is_not_answered"],
    ),
    Mutant(
        target=TARGET,
        old="max(least, _least_rows(n_min, scores.size))",
        new="_least_rows(n_min, scores.size)",
        why="begins in a cell that cannot pass, so that nothing is ever answered",
        tests=["tests/guard/test_threshold.py::test_a_minimum_below_what_can_pass_is_raised_to_it"],
    ),
    Mutant(
        target=TARGET,
        old="delta=delta / len(names)",
        new="delta=delta",
        why="forgets that any of the slices may fail",
        tests=[
            "tests/guard/test_threshold.py::test_the_family_of_slices_keeps_the_promise_together"
        ],
    ),
    Mutant(
        target=TARGET,
        old="limits = (lost + bound) / (scores.size + 1)",
        new="limits = lost / scores.size",
        why="the sample's mean loss: the new row's own loss is left out",
        tests=[
            "tests/guard/test_threshold.py"
            "::test_whichever_row_is_left_out_the_mean_loss_is_kept_exactly"
        ],
    ),
    Mutant(
        target="levelhead.guard.policy",
        old="            least = table[code]\n",
        new="            least = table[np.maximum(code, 0)]\n",
        why="answers in a slice that nobody has looked at, by the threshold of another",
        tests=["tests/guard/test_policy.py"],
    ),
    Mutant(
        target="levelhead.guard.ranking",
        old="ranks[order] = block - start + 1",
        new="ranks[order] = place - start + 1",
        why="the order of the rows decides which of two equal answers is shown",
        tests=["tests/guard/test_ranking.py"],
    ),
    Mutant(
        target=DRIFT,
        old='new = rng.multivariate_hypergeometric(pooled, n_new, size=n_draws, method="marginals")',
        new="new = rng.multinomial(n_new, pooled / pooled.sum(), size=n_draws)",
        why="draws with replacement, so that new and old rows are the same ones at times",
        tests=["tests/guard/test_drift.py::test_the_p_value_is_that_of_all_divisions"],
    ),
    Mutant(
        target=DRIFT,
        old="np.minimum(walk, -start)",
        new="np.minimum(walk, 0.0)",
        why="each batch forgets what the one before it has shown",
        tests=["tests/guard/test_drift.py::test_batches_continue_one_another"],
    ),
    Mutant(
        target=DRIFT,
        old="enough = _run_length(parts, rise, middle, q0) >= after",
        new="enough = _run_length(parts, rise, middle, q1) >= after",
        why="the run length at the shifted rate: alarms come far later than they could",
        tests=["tests/guard/test_drift.py::test_the_limit_is_not_much_higher_than_it_must_be"],
    ),
    Mutant(
        target=DRIFT,
        old="low, high = (low, middle) if enough else (middle + 1, high)",
        new="low, high = (low, middle) if middle * unit > plain / 2 else (middle + 1, high)",
        why="a rule of thumb for the limit, under which false alarms come too soon",
        tests=[
            "tests/guard/test_drift.py::test_false_alarms_come_later_than_stated_by_the_exact_chain"
        ],
    ),
]
