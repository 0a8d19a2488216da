"""Wrong features: each leaks, mistakes one quantity for another, or invents evidence."""

from __future__ import annotations

from mutant import Mutant

TABLE = ["tests/guard/test_features.py::test_values_by_hand"]
EVENTS = ["tests/guard/test_features.py::test_the_claims_of_events"]
EVIDENCE = ["tests/guard/test_evidence.py"]
CUES = ["tests/guard/test_cues.py::test_what_a_text_says"]

MUTANTS = [
    Mutant(
        target="levelhead.guard.features",
        old="        nothing = np.isnan(evidence.claims_event) & ~np.isnan(correct)\n",
        new="        nothing = np.zeros(correct.size, bool)\n",
        why="an event without a probability counts as right when the event did not happen",
        tests=EVENTS,
    ),
    Mutant(
        target="levelhead.guard.features",
        old="    correct[predictions.status == _REFUSAL] = np.nan\n",
        new="",
        why="a refusal is an error of the model",
        tests=EVENTS,
    ),
    Mutant(
        target="levelhead.guard.features",
        old="np.where(claims == 1.0, values, 1.0 - values)",
        new="values",
        why="the samples' mean is of the event and not of what the row claims",
        tests=TABLE,
    ),
    Mutant(
        target="levelhead.guard.evidence",
        old="p >= 0.5 - HALF_TOLERANCE",
        new="p > 0.5",
        why="p = 1/2 claims that nothing happens, against what the correctness says",
        tests=EVIDENCE,
    ),
    Mutant(
        target="levelhead.guard.evidence",
        old="        rest[first] = -np.inf\n",
        new="        rest[self.flat == top[owner]] = -np.inf\n",
        why="two equally likely tokens have a gap of all their probability",
        tests=EVIDENCE,
    ),
    Mutant(
        target="levelhead.guard.evidence",
        old="        return self.reduce(np.add) / np.maximum(self.sizes, 1)\n",
        new="        return self.reduce(np.add)\n",
        why="the mean log-probability is not length-normalized",
        tests=EVIDENCE,
    ),
    Mutant(
        target="levelhead.guard._samples",
        old="        others[said] = (counts[which] - 1.0) / (size[prompts[said]] - 1.0)\n",
        new="        others[said] = counts[which] / size[prompts[said]]\n",
        why="a sample agrees with itself among the others",
        tests=EVIDENCE,
    ),
    Mutant(
        target="levelhead.guard._samples",
        old="        size[size < 2] = np.nan\n",
        new="        size[size < 1] = np.nan\n",
        why="a single sample agrees fully, so that no evidence looks like the best",
        tests=EVIDENCE,
    ),
    Mutant(
        target="levelhead.guard.cues",
        old="np.maximum(_matches(column, asserting) - taken_back, 0.0)",
        new="_matches(column, asserting)",
        why='"not definitely" asserts',
        tests=CUES,
    ),
    Mutant(
        target="levelhead.guard.cues",
        old='    edge, end = r"(?:^|\\b)", r"(?:\\b|$)"\n',
        new='    edge, end = "", ""\n',
        why='cues are found inside of words: the "may" of "dismay"',
        tests=CUES,
    ),
    Mutant(
        target="levelhead.readers.rlcr",
        old='{name: name for name in ("answer", "text", "prompt", "gold", *options.by)}',
        new="{}",
        why="RLCR's column 'answer', the right one, is kept as the given answer",
        tests=["tests/readers/test_rlcr.py"],
    ),
    Mutant(
        target="levelhead.readers.crispr",
        old="    names = [name for name in table.schema if name not in truths]\n",
        new="    names = list(table.schema)\n",
        why="the posterior of the outcome is kept as evidence",
        tests=[
            "tests/readers/test_crispr.py::test_evidence_is_kept_and_the_posterior_of_the_truth_is_none"
        ],
    ),
]
