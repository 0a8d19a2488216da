"""Wrong versions of the probe: faults overlooked, harmless things accused, numbers misread."""

from __future__ import annotations

from mutant import Mutant

QUESTIONS = ["tests/probe/test_questions.py"]
SAMPLING = ["tests/probe/test_sampling.py"]
MEASURE = ["tests/probe/test_measure.py"]
VERDICT = ["tests/probe/test_verdict.py"]
EXPLANATION = ["tests/probe/test_explanation.py"]
BLACKBOX = ["tests/probe/test_blackbox.py"]

MUTANTS = [
    Mutant(
        target="levelhead.probe.questions",
        old="np.all(np.flatnonzero(moved) % self.size == i % self.size)",
        new="True",
        why="any leak from a single sample is taken for a statistic over the wrong axis",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old='constant_only=set(touched) == {"constant"}',
        new='constant_only="constant" in touched',
        why="a batch spread, which always leaks, is taken for a second normalization",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old="return all(_same(self.answer(new), base) for new in bent)",
        new="return all(_same(self.answer(new), base) for new in [SCALE * self.rewards])",
        why="asks only for the scale, so that dividing by a spread looks like ranking",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old="shifted = self.answer(self.rewards + SHIFT * mine)",
        new="shifted = self.answer(self.rewards + SHIFT)",
        why="shifts the whole batch, which a mean over prompts survives as well",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old="together = first[:, self.rng.permutation(self.size)].ravel()",
        new="together = self.rng.permuted(first, axis=1).ravel()",
        why="exchanges positions differently in each group, so no axis can be told",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.blackbox",
        old="box, r, g = self.box, rewards.copy(), groups.copy()",
        new="box, r, g = self.box, rewards, groups",
        why="hands out its own arrays, which an estimator may write to",
        tests=BLACKBOX,
    ),
    Mutant(
        target="levelhead.probe.blackbox",
        old="return copy.deepcopy(function)",
        new="return copy.copy(function)",
        why="copies an object but not its memory",
        tests=BLACKBOX,
    ),
    Mutant(
        target="levelhead.probe.measure",
        old="got = got - pi @ got",
        new="got = got - got.mean()",
        why="centers over the tokens and not under the policy",
        tests=MEASURE,
    ),
    Mutant(
        target="levelhead.probe.measure",
        old="factor=_over(both, theirs)",
        new="factor=_over(both, mine)",
        why="the slope of the exact advantage on the measured one",
        tests=[
            "tests/probe/test_measure.py::test_unbiased_estimators_have_the_exact_direction_everywhere"
        ],
    ),
    Mutant(
        target="levelhead.probe.sampling",
        old='rng.random(shape if setting.outcomes == "independent" else (*shape[:2], 1))',
        new="rng.random(shape)",
        why="gives every sample its own outcome in either kind of groups",
        tests=SAMPLING,
    ),
    Mutant(
        target="levelhead.probe.sampling",
        old="gradient = total - policy * total.sum(axis=1, keepdims=True)",
        new="gradient = total",
        why="leaves the softmax out of the gradient",
        tests=["tests/probe/test_sampling.py::test_a_constant_in_all_advantages_changes_no_end"],
    ),
    Mutant(
        target="levelhead.probe.verdict",
        old="side = np.sign(p - 0.5) if abs(p - 0.5) > NEAR else np.sign(mean - 0.5)",
        new="side = np.sign(mean - 0.5)",
        why="a policy on the wrong side of one half is called overconfident",
        tests=VERDICT,
    ),
    Mutant(
        target="levelhead.probe.verdict",
        old="if min(low, high) >= BOTH_ENDS and low + high >= AT_ENDS:",
        new="if low + high >= AT_ENDS:",
        why="one end is enough for a lottery, and overconfidence disappears",
        tests=VERDICT,
    ),
    Mutant(
        target="levelhead.probe.explanation",
        old="if reading.samples_needed > 1.2:",
        new="if reading.samples_needed > 0:",
        why="claims a cost that was not measured",
        tests=EXPLANATION,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old="return (factor, 0.0) if np.isfinite(factor) else None",
        new="return (0.5, 1.0)",
        why="a line through a point or two says that something divides",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.questions",
        old="all(ratio <= 1 + SAME for ratio in ratios)",
        new="all(np.isfinite(ratio) for ratio in ratios)",
        why="a factor from the past is called a division whichever way it goes",
        tests=QUESTIONS,
    ),
    Mutant(
        target="levelhead.probe.explanation",
        old="return t.leak.scale and not t.leak.constant_only and t.batch_degree < 1.0 - HARMLESS",
        new="return t.leak.scale",
        why="asserts a division that scaling all rewards did not show",
        tests=EXPLANATION,
    ),
    Mutant(
        target="levelhead.probe.verdict",
        old="idle = middle and bool(back) and min(back) < PUSH",
        new="idle = False",
        why="a policy that nothing moves from the symmetric start is called calibrated",
        tests=VERDICT,
    ),
    Mutant(
        target="levelhead.probe.measure",
        old="finest.n_groups() > MAX_GROUPS and box.known in CLOSED",
        new="False",
        why="samples our own estimators where their expectation is known",
        tests=["tests/probe/test_measure.py::test_ours_are_exact_where_no_table_is_possible"],
    ),
    Mutant(
        target="levelhead.probe.sampling",
        old="settled &= lopsided < np.maximum(STILL, 3 * np.hypot(one.error, one.error[::-1]))",
        new="settled &= True",
        why="mirrored truths whose ends are not mirrored have settled all the same",
        tests=[
            "tests/probe/test_sampling.py::test_mirrored_truths_whose_ends_are_not_have_not_settled"
        ],
    ),
    Mutant(
        target="levelhead.probe.sampling",
        old="settled = one.settled & (gap < STILL)",
        new="settled = one.settled",
        why="what one ascent comes to is an end, whatever another one comes to",
        tests=[
            "tests/probe/test_sampling.py::test_an_end_that_other_samples_do_not_share_has_not_settled"
        ],
    ),
    Mutant(
        target="levelhead.probe.blackbox",
        old="isinstance(error, Exception | SystemExit)",
        new="isinstance(error, Exception)",
        why="an estimator that exits ends the probe without a word",
        tests=BLACKBOX,
    ),
]
