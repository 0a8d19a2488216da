"""Wrong versions of the tally, the bootstrap engine and the intervals."""

from __future__ import annotations

from mutant import Mutant

BATCH = ["tests/metrics/test_batch.py"]
TALLY = ["tests/metrics/test_tally.py"]
RESAMPLE = ["tests/metrics/test_resample.py"]
INTERVALS = ["tests/metrics/test_intervals.py"]
HONEST = ["tests/metrics/test_ece_interval.py"]
PAIRED = ["tests/metrics/test_paired.py"]

MUTANTS = [
    Mutant(
        target="levelhead.metrics.tally",
        old="np.ceil(scaled - EDGE_TOLERANCE * (GRID_CELLS // 10))",
        new="np.ceil(scaled)",
        why="3 * 0.1 lands in the cell above its edge, in another bin than the binning rule says",
        tests=TALLY,
    ),
    Mutant(
        target="levelhead.metrics.tally",
        old="self._n, self._sum_squares = n, squares",
        new="self._sum_squares = squares",
        why="merging counts the rows of the packed table",
        tests=TALLY,
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
        old="np.quantile(good, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])",
        new="np.quantile(good, [1.0 - level, level])",
        why="the whole error probability goes into each end",
        tests=RESAMPLE,
    ),
    Mutant(
        target="levelhead.metrics.intervals",
        old="effective /= _design_effect(",
        new="effective /= 1.0 + 0.0 * _design_effect(",
        why="samples of one prompt count as independent",
        tests=INTERVALS,
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
        tests=HONEST,
    ),
    Mutant(
        target="levelhead.metrics.ece_interval",
        old="right = np.clip(self.confidence - gap / self.share, 0.0, 1.0)",
        new="right = np.clip(self.confidence - self.gap / self.share, 0.0, 1.0)",
        why="the noise is that of the sample, so that a bin without an error has none",
        tests=HONEST,
    ),
    Mutant(
        target="levelhead.metrics.ece_interval",
        old="self.resistance / np.maximum(size**2 / self.resistance, 1e-3)",
        new="self.resistance * 1.0",
        why="gaps that may be noise shrink as slowly as sure ones: the lower end is too high",
        tests=HONEST,
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="return (1 + extreme) / (1 + known.size)",
        new="return extreme / known.size",
        why="a p-value of exactly 0 from finitely many permutations",
        tests=PAIRED,
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
        tests=PAIRED,
    ),
    Mutant(
        target="levelhead.metrics.paired",
        old="parts = (swapped, total - swapped)",
        new="parts = (swapped, total)",
        why="what is swapped into one model is not taken from the other",
        tests=PAIRED,
    ),
]
