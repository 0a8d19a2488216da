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
        tests=MEASURE,
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
        tests=[
            "tests/probe/test_sampling.py::test_a_constant_in_all_advantages_changes_no_end",
            *SAMPLING,
        ],
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
]
