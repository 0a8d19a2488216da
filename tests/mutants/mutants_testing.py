"""Wrong versions of `levelhead.testing`: contract checks that check less than they say."""

from __future__ import annotations

from mutant import Mutant

METRICS = ["tests/testing/test_metric.py::test_a_wrong_metric_is_caught"]
RULES = ["tests/testing/test_rule.py::test_a_wrong_rule_is_caught"]

MUTANTS = [
    Mutant(
        target="levelhead.testing._metric",
        old="for order in (slice(None, None, -1), mixed):",
        new="for order in (slice(None),):",
        why="the order that is tried is the one that was there",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing._metric",
        old="given = [case.sample.confidence.copy(), case.sample.correct.copy()]",
        new="given = [case.sample.confidence, case.sample.correct]",
        why="what was written to is compared with itself",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing._metric",
        old="if not close and not (math.isnan(wanted) and math.isnan(got)):",
        new="if not close and not (math.isnan(wanted) or math.isnan(got)):",
        why="a NaN passes for any value",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing._metric",
        old="if not close and not (math.isnan(wanted) and math.isnan(got)):",
        new="if wanted > got + self.tolerance or math.isnan(wanted) != math.isnan(got):",
        why="a value that is too large passes",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing._rule",
        old="    if strict and cost[rival] <= lowest:",
        new="    if strict and cost[rival] < lowest - 1.0:",
        why="a rule that does not care passes for strictly proper",
        tests=RULES,
    ),
    Mutant(
        target="levelhead.testing._rule",
        old="    if cost.min() < lowest - TOLERANCE:",
        new="    if cost.min() < lowest - 1e-4:",
        why="a rule that is improper by two percent passes",
        tests=RULES,
    ),
    Mutant(
        target="levelhead.testing._rule",
        old="if not proper and gain <= TOLERANCE:",
        new="if not proper and gain < 0.0:",
        why="a proper rule passes for a declared improper one",
        tests=["tests/testing/test_rule.py"],
    ),
    Mutant(
        target="levelhead.testing._contract",
        old="if argument is not None and argument not in str(error):",
        new="if argument is not None and not str(error):",
        why="an error that names no argument passes",
        tests=METRICS,
    ),
    Mutant(
        target="levelhead.testing._gradient",
        old="angle = math.degrees(math.atan2(across, along)) if across or along else 90.0",
        new="angle = math.degrees(math.atan2(across, abs(along))) if across or along else 90.0",
        why="the opposite direction passes for proportional",
        tests=["tests/testing/test_advantage.py::test_a_wrong_estimator_is_caught"],
    ),
    Mutant(
        target="levelhead.testing._gradient",
        old="        for _ in range(visits):",
        new="        for _ in range(0 * visits):",
        why="an estimator with a memory is only tried on first visits",
        tests=["tests/testing/test_advantage.py::test_second_visits_count_too"],
    ),
    Mutant(
        target="levelhead.testing._gradient",
        old="direction = np.eye(pi.size)[tokens] - pi  # (M, G, K)",
        new="direction = np.eye(pi.size)[tokens]  # (M, G, K)",
        why="the gradient of a log-probability without its second term",
        tests=["tests/testing/test_advantage.py::test_right_estimators_pass"],
    ),
    Mutant(
        target="levelhead.testing._advantage",
        old='    if gradient in ("biased", "other") and not largest > BIAS_DEGREES:',
        new='    if gradient in ("biased",) and not largest > BIAS_DEGREES:',
        why="an unbiased estimator passes for one of another objective",
        tests=["tests/testing/test_advantage.py::test_what_is_declared_biased_must_be"],
    ),
    Mutant(
        target="levelhead.testing._advantage",
        old="np.where(g == group, r, changed)",
        new="np.where(g == group, r, r)",
        why="the rewards that are changed stay the same",
        tests=["tests/testing/test_advantage.py::test_a_wrong_estimator_is_caught"],
    ),
    Mutant(
        target="levelhead.testing._advantage",
        old="    case.advantages(rewards, groups)\n    for what, given",
        new="    for what, given",
        why="nothing can be written to, as nothing is called",
        tests=["tests/testing/test_advantage.py::test_a_wrong_estimator_is_caught"],
    ),
    Mutant(
        target="levelhead.testing._advantage",
        old="(10.0 * r[::-1] + 3.0, 1e-3 * r, -1e3 * r, anything, np.zeros_like(r))",
        new="(10.0 * r[::-1] + 3.0,)",
        why="a leak that only shows where other rewards are small or odd passes",
        tests=["tests/testing/test_advantage.py::test_other_groups_may_have_rewards_of_any_kind"],
    ),
    Mutant(
        target="levelhead.testing._advantage",
        old="BIAS_DEGREES = 0.01",
        new="BIAS_DEGREES = 1.0",
        why="a small bias counts as none",
        tests=["tests/testing/test_advantage.py::test_half_a_degree_is_a_bias"],
    ),
    Mutant(
        target="levelhead.testing._gradient",
        old="itertools.chain(small, large)",
        new="itertools.chain(small)",
        why="an estimator that is another one in large groups passes",
        tests=["tests/testing/test_advantage.py::test_large_groups_are_enumerated_as_well"],
    ),
]
