"""Wrong versions of the tally, the bootstrap engine and the intervals."""

from __future__ import annotations

from mutant import Mutant

BATCH = ["tests/metrics/test_batch.py"]
RESAMPLE = ["tests/metrics/test_resample.py"]
INTERVALS = ["tests/metrics/test_intervals.py"]
HONEST = ["tests/metrics/test_ece_interval.py"]
PAIRED = ["tests/metrics/test_paired.py"]

MUTANTS = [
    Mutant(
        target="levelhead.metrics.tally",
        old="<= SAME_DECIMAL * PERCENT",
        new="< 0.0",
        why="a decimal shares a cell with what lies below it, whose mean falls short of it",
        tests=["tests/metrics/test_tally.py::test_hundredths_among_other_values_are_exact"],
    ),
    Mutant(
        target="levelhead.metrics.tally",
        old="mean = sums[2] / (sums[0] + sums[1])",
        new="mean = np.full(cell.size, 0.5)",
        why="the confidence of a cell is that of one of its edges, not of its rows",
        tests=["tests/metrics/test_tally.py::test_right_and_wrong_of_a_cell_tie"],
    ),
    Mutant(
        target="levelhead.metrics.tally",
        old="    position[high] = below[high]",
        new="    position[high] = 1.0 - (1.0 - below[high]).astype(np.float32)",
        why="sums of numbers close to 1 lose how far from 1 they are",
        tests=["tests/metrics/test_tally.py::test_right_and_wrong_of_a_cell_tie"],
    ),
    Mutant(
        target="levelhead.metrics.tally",
        old="self._mixed[point[other]] = True",
        new="self._mixed[point[:0]] = True",
        why="the bounds of the AUROC take 0.3 and 3 * 0.1 for a tie",
        tests=[
            "tests/metrics/test_tally.py::test_points_are_known_exactly_unless_values_were_moved_there"
        ],
    ),
    Mutant(
        target="levelhead.metrics.tally",
        old="self._n, self._sum_squares = n, squares",
        new="self._sum_squares = squares",
        why="merging counts the rows of the packed table",
        tests=["tests/metrics/test_tally.py::test_merging_is_adding"],
    ),
    Mutant(
        target="levelhead.metrics.batch",
        old="(weight < answered[:, None] * (1 - 1e-12))",
        new="(weight <= answered[:, None])",
        why="the last cell is taken where a resample holds nothing of it: 0 / 0",
        tests=BATCH,
    ),
    Mutant(
        target="levelhead.metrics.batch",
        old="(before_e + share * (answered - before_w)) / answered",
        new="errors[row, j] / weight[row, j]",
        why="a share that ends within a tie block takes all of the block",
        tests=BATCH,
    ),
    Mutant(
        target="levelhead.metrics.batch",
        old='area = np.einsum("bj,bj->b", before_e - share * before_w, h)',
        new='area = np.einsum("bj,bj->b", before_e, h)',
        why="ties within a block are not averaged over their ranks",
        tests=BATCH,
    ),
    Mutant(
        target="levelhead.metrics.batch",
        old="    middle[:, 1:] += errors[:, :-1]\n    lost",
        new="    middle *= 2\n    lost",
        why="ties between right and wrong count as lost instead of half",
        tests=BATCH,
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="n = self.n_units if self.rows.cluster is not None else int(self.total)",
        new="n = self.n_units",
        why="resamples hold as many rows as there are distinct ones",
        tests=RESAMPLE,
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="row = counts if self.rows.cluster is None else counts[:, self.unit]",
        new="row = counts if self.rows.cluster is None else np.sign(counts[:, self.unit])",
        why="a cluster that is drawn twice counts once in the ranks",
        tests=[*BATCH, *RESAMPLE],
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="missing = n - counts.sum(axis=1, dtype=np.int64)\n        while",
        new="missing = np.zeros(b, dtype=np.int64)\n        while",
        why="a resample is as long as its Poisson counts happen to add up to",
        tests=["tests/metrics/test_resample.py::test_quick_counts_are_multinomial"],
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="counts[odd] = rng.choice(self.rest.size, odd.size, p=self.rest)",
        new="counts[odd] = 1",
        why="counts too rare for 16 random bits never occur",
        tests=["tests/metrics/test_resample.py::test_quick_counts_are_multinomial"],
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="rows = table[part] if self.unit is None",
        new="rows = np.sign(table[part]) if self.unit is None",
        why="a row that is drawn twice counts once in the ranks",
        tests=BATCH,
    ),
    Mutant(
        target="levelhead.metrics.resample",
        old="np.quantile(good, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])",
        new="np.quantile(good, [1.0 - level, level])",
        why="the whole error probability goes into each end",
        tests=["tests/metrics/test_resample.py::test_percentile"],
    ),
    Mutant(
        target="levelhead.metrics.intervals",
        old="effective /= _design_effect(",
        new="effective /= 1.0 + 0.0 * _design_effect(",
        why="samples of one prompt count as independent",
        tests=["tests/metrics/test_intervals.py::test_reliability_clusters_by_hand"],
    ),
    Mutant(
        target="levelhead.metrics.intervals",
        old="np.sqrt(rate * (1.0 - rate) * z2 + z2 * z2 / 4.0)",
        new="np.sqrt(rate * (1.0 - rate) * z2)",
        why="a mix of Wilson's center and Wald's width",
        tests=INTERVALS,
    ),
    Mutant(
        target="levelhead.metrics.ece_interval",
        old="high = world.search(max(observed, floor) + 1e-12, tail)",
        new="high = world.search(observed + 1e-12, tail)",
        why="a sample better than calibrated ones gets an interval that is all but empty",
        tests=[f"{HONEST[0]}::test_one_bin_near_zero_equals_the_inverted_binomial_test"],
    ),
    Mutant(
        target="levelhead.metrics.ece_interval",
        old="right = np.clip(self.confidence - gap / self.share, 0.0, 1.0)",
        new="right = np.clip(self.confidence - self.gap / self.share, 0.0, 1.0)",
        why="the noise is that of the sample, so that a bin without an error has none",
        tests=[f"{HONEST[0]}::test_all_right_at_full_confidence_keeps_the_rule_of_three"],
    ),
    Mutant(
        target="levelhead.metrics.ece_interval",
        old="self.resistance / np.maximum(size**2 / self.resistance, 1e-3)",
        new="self.resistance * 1.0",
        why="gaps that may be noise shrink as slowly as sure ones: the lower end is too high",
        tests=[f"{HONEST[0]}::test_a_gap_that_may_be_noise_gives_way_before_a_sure_one"],
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="return (1 + extreme) / (1 + known.size)",
        new="return extreme / known.size",
        why="a p-value of exactly 0 from finitely many permutations",
        tests=[
            "tests/metrics/test_paired.py::test_accuracy_interval_is_that_of_paired_proportions"
        ],
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="one * one + two * two - 2.0 * r * one * two",
        new="one * one + two * two + 2.0 * r * one * two",
        why="a positive correlation widens the difference instead of narrowing it",
        tests=PAIRED,
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="return alike * middle + (1.0 - alike) * min(middle, NEAR_ZERO * low)",
        new="return middle",
        why="an overestimate of an error near zero counts as noise that averages out",
        tests=[
            "tests/metrics/test_paired.py::test_an_error_near_zero_takes_nothing_from_the_upper_end"
        ],
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="parts = (moved, total - moved)",
        new="parts = (moved, total)",
        why="what is swapped into one model is not taken from the other",
        tests=PAIRED,
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="self.cell_total - cells + np.concatenate([cells[2:], cells[:2]])",
        new="np.concatenate([cells[2:], cells[:2]])",
        why="a model keeps none of the items that were not swapped",
        tests=["tests/metrics/test_paired.py::test_adding_up_by_cells_changes_nothing"],
    ),
    Mutant(
        target="levelhead.metrics._ties",
        old="<= top <= EXTREME",
        new="<= top",
        why="squares of weights of 1e308 overflow",
        tests=[
            "tests/metrics/test_intervals.py::test_only_ratios_of_weights_matter_however_large",
        ],
    ),
]
