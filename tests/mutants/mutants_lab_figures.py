"""Wrong versions of what is computed behind the lab's pictures."""

from __future__ import annotations

from mutant import Mutant

SWEEPS = "tests/lab/test_sweeps.py"
FIGURES = "tests/lab/figures"
LOOP = [f"{SWEEPS}::test_counts_give_what_a_loop_over_samples_gives"]

MUTANTS = [
    Mutant(
        target="levelhead.lab.sweeps",
        old=" * group_size / (group_size - 1))",
        new=")",
        why="counts over G give the population's deviation, the estimator's has ddof = 1",
        tests=LOOP,
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="(weight * mean[here, a]) @ times",
        new="(weight * mean[here].mean(axis=1)) @ times",
        why="rewards are centered on the mean over both outcomes instead of the one that came true",
        tests=LOOP,
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="no_std, std = total / counts",
        new="no_std, std = total / n_groups",
        why="averages over groups instead of over a token's samples",
        tests=LOOP,
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="squares = (table[a] - mean[:, a, None]) ** 2",
        new="squares = table[a] ** 2 - mean[:, a, None] ** 2",
        why="E r^2 - (E r)^2 without centering, which loses the digits of a narrow policy",
        tests=[f"{SWEEPS}::test_a_narrow_spread_keeps_its_digits"],
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="functools.partial(log_loss, eta=0.0)",
        new="log_loss",
        why="the default clip at 0.01 reaches the outermost of 100 tokens, at 1/101",
        tests=[f"{SWEEPS}::test_the_papers_tokens_and_rewards"],
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="(1.0 - one) / sigma[0], one / sigma[1]",
        new="1.0 - one, one",
        why="the aim of the advantage that is not standardized",
        tests=[f"{SWEEPS}::test_narrow_policies_aim_where_the_theorem_says"],
    ),
    Mutant(
        target="levelhead.lab.sweeps",
        old="expectation(estimator, rewards, group_size, outcomes=outcomes)",
        new="expectation(estimator, rewards, group_size)",
        why="independent outcomes are swept as if a group shared one",
        tests=[f"{SWEEPS}::test_group_size_heals_independent_outcomes_only"],
    ),
    Mutant(
        target="levelhead.lab.figures.advantages",
        old="size = float(np.sqrt(curve.policy @ estimate**2))",
        new="size = float(np.sqrt(np.mean(estimate**2)))",
        why="the scale counts tokens that the policy never says",
        tests=[f"{FIGURES}/test_advantages.py"],
    ),
    Mutant(
        target="levelhead.lab.figures.reliability",
        old="ece_single=scores(world, sampled.single).ece",
        new="ece_single=scores(world, sampled.mean).ece",
        why="the calibration of the mean stands in for that of single samples",
        tests=[f"{FIGURES}/test_reliability.py::test_panels_hold_what_the_policy_says"],
    ),
    Mutant(
        target="levelhead.lab.figures.training",
        old="history.mean > 0.5, world.counts[:, 1]",
        new="history.mean >= 0.5, world.counts[:, 1]",
        why="a prediction of one half counts as a yes",
        tests=[f"{FIGURES}/test_training.py"],
    ),
]
