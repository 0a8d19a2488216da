"""Wrong versions of the lab's exact expectations, closed forms and mean-field dynamics."""

from __future__ import annotations

from mutant import Mutant

LAWS, LAWS_TESTS = "levelhead.lab._laws", ["tests/lab/test_laws.py"]
EXACT, EXACT_TESTS = "levelhead.lab.exact", ["tests/lab/test_exact.py"]
QUADRATURE, QUADRATURE_TESTS = "levelhead.lab._quadrature", ["tests/lab/test_quadrature.py"]
EXPECTATION = "levelhead.lab.expectation"
NAMED = ["tests/lab/test_expectation.py::test_every_name_equals_enumeration"]
MEMORY = ["tests/lab/test_expectation.py::test_the_limit_of_a_long_memory_is_what_it_settles_at"]
DEVIATION = ["tests/lab/test_expectation.py::test_the_expected_deviation_equals_enumeration"]
THEORY, THEORY_TESTS = "levelhead.lab.theory", ["tests/lab/test_theory.py"]
RAO, RAO_TESTS = "levelhead.lab.rao_blackwell", ["tests/lab/test_rao_blackwell.py"]
MEANFIELD, MEANFIELD_FILE = "levelhead.lab.meanfield", "tests/lab/test_meanfield.py"

MUTANTS = [
    Mutant(
        target=LAWS,
        old="share = policy if shared else policy * chance(p, outcome)[:, None]",
        new="share = policy * 0.5 if not shared else policy",
        why="both outcomes weighted alike where every member has its own",
        tests=LAWS_TESTS,
    ),
    Mutant(
        target=LAWS,
        old="TIE * np.abs(ascending).max(initial=0.0)",
        new="0.0",
        why="ln 0.3 and ln(1 - 0.7) are two rewards, which doubles the symbols",
        tests=LAWS_TESTS,
    ),
    Mutant(
        target=EXACT,
        old="log_ways = gammaln(size + 1.0) - gammaln(counts + 1.0).sum(axis=1)",
        new="log_ways = np.zeros(many)",
        why="every multiset counted once, whatever the number of its orders",
        tests=EXACT_TESTS,
    ),
    Mutant(
        target=EXACT,
        old="q = np.maximum(self.law.weights(policy, p), LEAST)",
        new="q = np.maximum(self.law.weights(policy, p), 1e-3)",
        why="a floor for probabilities that is not small",
        tests=EXACT_TESTS,
    ),
    Mutant(
        target=EXACT,
        old="return zero + truth * (one - zero)",
        new="return 0.5 * (zero + one)",
        why="the mean over outcomes instead of the expectation",
        tests=EXACT_TESTS,
    ),
    Mutant(
        target=EXACT,
        old="order = np.argsort(rng.random((which.size, size)), axis=1)",
        new="order = np.argsort(np.zeros((which.size, size)), axis=1)",
        why="members always in ascending order: an estimator that looks at the position is not found",
        tests=EXACT_TESTS,
    ),
    Mutant(
        target=QUADRATURE,
        old="out -= q ** (self.n - 1) * self.constant",
        new="pass",
        why="groups of equal rewards cancel only where the nodes lie symmetrically about them",
        tests=QUADRATURE_TESTS,
    ),
    Mutant(
        target=QUADRATURE,
        old="density = 2.0 / math.sqrt(math.pi) - 2.0 * eps * levels * erfcx(eps * levels)",
        new="density = np.full(levels.size, 2.0 / math.sqrt(math.pi))",
        why="eps forgotten",
        tests=QUADRATURE_TESTS,
    ),
    Mutant(
        target=QUADRATURE,
        old="out += self.tail * (1.0 - 1.0 / self.n) * (self.values - mean)",
        new="pass",
        why="the integral below the smallest t left out: an error of 1e-4",
        tests=QUADRATURE_TESTS,
    ),
    Mutant(
        target=QUADRATURE,
        old="spread = n - ddof",
        new="spread = n",
        why="the population's standard deviation, whatever ddof says",
        tests=QUADRATURE_TESTS,
    ),
    Mutant(
        target=EXPECTATION,
        old="return 2.0 * (2.0 * cdf - q - cdf[:, -1:])",
        new="return 2.0 * (2.0 * cdf - 2.0 * q - cdf[:, -1:] + q.sum() / q.size)",
        why="ties given the rank of the last instead of the average",
        tests=NAMED,
    ),
    Mutant(
        target=EXPECTATION,
        old="return cdf ** (size - 1) * np.where(share > 0.0, tie, 1.0) - 1.0 / size",
        new="return cdf ** (size - 1) - 1.0 / size",
        why="everyone who ties for the best gets the whole prize",
        tests=NAMED,
    ),
    Mutant(
        target=EXPECTATION,
        old="out += power(q @ survival.T, size - 1)",
        new="out += power(q @ survival.T, size)",
        why="the own sample counted among its opponents",
        tests=NAMED,
    ),
    Mutant(
        target=EXPECTATION,
        old="return quadrature.apart(q) + quadrature.from_equal(q)",
        new="return quadrature.apart(q)",
        why="equal others give 0 instead of the undivided difference",
        tests=NAMED,
    ),
    Mutant(
        target=EXPECTATION,
        old="return true_advantage(policy, p, table) + _value(table, policy, p)[:, None] / size",
        new="return true_advantage(policy, p, table) - _value(table, policy, p)[:, None] / size",
        why="the sign of what a baseline with the wrong divisor leaves over",
        tests=NAMED,
    ),
    Mutant(
        target=EXPECTATION,
        old="scale = np.where(known, total / np.where(known, vary, 1.0), 1.0)",
        new="scale = np.where(known, total, 1.0)",
        why="the memory taken to average over constant groups too, which it skips",
        tests=MEMORY,
    ),
    Mutant(
        target=EXPECTATION,
        old="return out * (self.group_size / (self.group_size - self.ddof))",
        new="return out",
        why="sum of squares over G where the deviation divides by G - 1",
        tests=DEVIATION,
    ),
    Mutant(
        target=THEORY,
        old="yes, no = truth * at, (1.0 - truth) * (1.0 - at)",
        new="yes, no = truth * (1.0 - at), (1.0 - truth) * at",
        why="the deviation of the other outcome",
        tests=THEORY_TESTS,
    ),
    Mutant(
        target=THEORY,
        old="return truth[:, None], 2.0 * cdf - pi - cdf[:, -1:]",
        new="return truth[:, None], 2.0 * cdf - cdf[:, -1:]",
        why="F(k) where F(k-) belongs",
        tests=THEORY_TESTS,
    ),
    Mutant(
        target=RAO,
        old="return pz, np.concatenate([pk, np.maximum(invalid, 0.0)[:, None]], axis=1), full",
        new="pk = pk / pk.sum(axis=1, keepdims=True)\n"
        "    return pz, np.concatenate([pk, np.zeros_like(invalid)[:, None]], axis=1), full",
        why="probabilities renormalized over the valid tokens",
        tests=RAO_TESTS,
    ),
    Mutant(
        target=RAO,
        old="return _prefix_part(mean[a[:, None], z], drawn, pz), share[:, :, None] * inside[a]",
        new="return _prefix_part(mean[a[:, None], z], drawn, pz), "
        "share[:, :, None] * inside[a] / z.shape[1]",
        why="head and prefix divided by different numbers",
        tests=RAO_TESTS,
    ),
    Mutant(
        target=MEANFIELD,
        old="return advantage - np.sum(policy * advantage, axis=1, keepdims=True)",
        new="return advantage",
        why="the advantage taken for centered under the policy",
        tests=[f"{MEANFIELD_FILE}::test_scale_and_shift_of_the_advantages_do_not_matter"],
    ),
    Mutant(
        target=MEANFIELD,
        old="for at in (truth, 0.0 * truth, 0.0 * truth + 1.0)",
        new="for at in (truth,)",
        why="where the outcomes cancel, rounding is taken for an advantage and followed",
        tests=[f"{MEANFIELD_FILE}::test_neutral_where_the_outcomes_cancel"],
    ),
    Mutant(
        target=MEANFIELD,
        old="logits[active] = _bounded(logits[active] + rate[active, None] * scaled)",
        new="logits[active] = _bounded(logits[active] + rate[active, None] * scaled * policy)",
        why="the plain gradient, which stalls at every point mass",
        tests=[f"{MEANFIELD_FILE}::test_a_point_mass_in_the_wrong_place_moves_on"],
    ),
]
