"""Wrong versions of the ECE family: the mistakes that other calibration code has shipped."""

from __future__ import annotations

from mutant import Mutant

ACCUMULATE = "levelhead.metrics._accumulate"
NULLS = "levelhead.metrics.nulls"

MUTANTS = [
    Mutant(
        target=ACCUMULATE,
        old='return 1.0 - TOLERANCE if self.closed == "right" else TOLERANCE',
        new='return 1.0 if self.closed == "right" else 0.0',
        why="no tolerance: a decimal on an edge falls to whichever side its rounding takes",
        tests=["tests/metrics/test_binned.py::TestBinIndex"],
    ),
    Mutant(
        target=ACCUMULATE,
        old="            bins = sums[:-1].copy()\n            bins[-1] += sums[-1]",
        new="            bins = sums[:-1].copy()",
        why="a confidence of exactly 1 falls out of the last left-closed bin, into a phantom one",
        tests=["tests/metrics/test_accumulate.py::test_the_summed_bins_are_those_of_index"],
    ),
    Mutant(
        target=ACCUMULATE,
        old="(upto - mass / 2.0)",
        new="upto",
        why="equal mass by upper ranks: a large tie block is pushed whole into the bin of its end",
        tests=["tests/metrics/test_accumulate.py::test_mass_bins_of_distinct_values_are_equal"],
    ),
    Mutant(
        target=ACCUMULATE,
        old="ordered[1:] != ordered[:-1]",
        new="ordered[1:] == ordered[1:]",
        why="equal mass by position: ties are split, so the order of the rows matters",
        tests=[
            "tests/metrics/test_accumulate.py::test_mass_bins_hold_whole_ties_in_order_and_balance"
        ],
    ),
    Mutant(
        target=ACCUMULATE,
        old="return bool(piece.min() >= 0.0 and piece.max() <= 1.0)",
        new="return not (piece.min() < 0.0 or piece.max() > 1.0)",
        why="a comparison with NaN is false, so NaN passes as a confidence",
        tests=["tests/metrics/test_accumulate.py::test_one_bad_value_anywhere_is_an_error"],
    ),
    Mutant(
        target=ACCUMULATE,
        old="    buffer = scatter.scaled\n",
        new="    buffer = scatter.scaled.astype(np.float32)\n",
        why="gaps summed after rounding to float32",
        tests=[
            "tests/metrics/test_accumulate.py::test_sums_are_exact_against_fsum_over_many_chunks"
        ],
    ),
    Mutant(
        target="levelhead.metrics.binned",
        old="accuracy * (1.0 - accuracy) / (size[known] - 1.0)",
        new="accuracy * (1.0 - accuracy) / size[known]",
        why="the plug-in variance over n instead of n - 1 leaves a bias in small bins",
        tests=["tests/metrics/test_binned.py::TestDebiased"],
    ),
    Mutant(
        target="levelhead.metrics.murphy",
        old="covariance = 2.0 * float",
        new="covariance = float",
        why="the within-bin covariance enters twice, as in the square of a difference",
        tests=["tests/metrics/test_murphy.py"],
    ),
    Mutant(
        target="levelhead.metrics.multiclass",
        old="correct[start:stop] /= tied.sum(axis=0)",
        new="correct[start:stop] /= 1.0",
        why="every class that ties for the top counts as wholly right",
        tests=["tests/metrics/test_multiclass.py::test_tied_classes_share_being_right"],
    ),
    Mutant(
        target=NULLS,
        old="p_value=(1 + as_large) / (1 + draws.size)",
        new="p_value=as_large / draws.size",
        why="a p-value of 0 from a finite number of draws",
        tests=["tests/metrics/test_nulls.py::test_an_overconfident_model_is_found"],
    ),
    Mutant(
        target=NULLS,
        old='np.random.default_rng([_whole("seed", seed, 0), _STREAM])',
        new='np.random.default_rng(_whole("seed", seed, 0))',
        why="confidences made with the same small seed are the very numbers that decide outcomes",
        tests=[
            "tests/metrics/test_nulls.py::test_data_of_the_same_seed_share_no_numbers_with_the_draws"
        ],
    ),
    Mutant(
        target=NULLS,
        old="rng.random(shared.shape) < math.sqrt(rho)",
        new="rng.random(shared.shape) < rho",
        why="two samples share the number of their cluster only if both take it: rho squared",
        tests=["tests/metrics/test_nulls.py::test_within_cluster_correlation_is_recovered"],
    ),
    Mutant(
        target=NULLS,
        old="residual, spread = w * residual, w * spread",
        new="spread = w * spread",
        why="the products of residuals are unweighted, what they are compared with is weighted",
        tests=[
            "tests/metrics/test_nulls.py::"
            "test_within_cluster_correlation_with_weights_is_that_of_all_pairs"
        ],
    ),
]
