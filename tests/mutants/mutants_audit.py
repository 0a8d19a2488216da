"""Plausible wrong versions of the audit: wrong rows, wrong direction, wrong end of an interval."""

from __future__ import annotations

from mutant import Mutant

SUMMARY, COMPARE = ["tests/audit/test_summary.py"], ["tests/audit/test_compare.py"]
COLLECT, SLICES = ["tests/audit/test_model_records.py"], ["tests/audit/test_slices.py"]

MUTANTS = [
    Mutant(
        target="levelhead.audit.summary",
        old="risk_coverage=_risk_coverage(top)",
        new="risk_coverage=_risk_coverage(rows)",
        why="an event's risk is that of its claims, not of its probabilities",
        tests=SUMMARY,
    ),
    Mutant(
        target="levelhead.audit.summary",
        old="np.bincount(cell, weights * rows.correct, minlength=20)",
        new="np.bincount(cell, rows.correct, minlength=20)",
        why="the histogram counts weights",
        tests=SUMMARY,
    ),
    Mutant(
        target="levelhead.audit.compare",
        old='sign = 1.0 if metric.better == "lower" else -1.0',
        new="sign = 1.0",
        why="a drop of AUROC, accuracy or Trust is worse",
        tests=["tests/audit/test_compare.py::test_better_and_worse_follow_the_metric_s_direction"],
    ),
    Mutant(
        target="levelhead.audit.compare",
        old="fill_null(-1)",
        new="fill_null(0)",
        why="a row without an id belongs to no prompt",
        tests=["tests/audit/test_compare.py::test_rows_without_an_id_have_no_partner"],
    ),
    Mutant(
        target="levelhead.audit.compare",
        old="codes_a, codes_b = np.flatnonzero(keep_a), np.flatnonzero(keep_b)",
        new="codes_a, codes_b = np.arange(keep_a.sum()), np.arange(keep_b.sum())",
        why="row i stays opposite row i although other rows do not count",
        tests=["tests/audit/test_compare.py::test_row_order_survives_rows_that_do_not_count"],
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="stand_in = np.where(label == 1.0, ETA, 1.0 - ETA)",
        new="stand_in = np.full(len(predictions), 1.0 - ETA)",
        why="an event without a probability is certain and wrong, not certain that it happens",
        tests=COLLECT,
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="Tally().merge(tally)",
        new="Tally()",
        why="the records before the first gap were parsed too",
        tests=COLLECT,
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="both = keep | refused",
        new="both = keep",
        why="a refusal scores 0 in Trust",
        tests=COLLECT,
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="later = [(claim, order - self._seen, error)",
        new="later = [(claim, order, error)",
        why="among equals, errors of the parts before come first",
        tests=COLLECT,
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="self._parsed(tally).merge(theirs if other.tally_parsed is None else other.tally_parsed)",
        new="self._parsed(tally).merge(other.tally_parsed or Tally())",
        why="a part without gaps was parsed as a whole",
        tests=[
            "tests/audit/test_model_records.py::test_a_part_of_a_file_without_gaps_still_counts_as_parsed"
        ],
    ),
    Mutant(
        target="levelhead.audit.model_records",
        old="if not self.part and known >= MAX_SLICE_VALUES:",
        new="if known >= MAX_SLICE_VALUES:",
        why="what is rare in a part may be a slice of its own in the whole",
        tests=COLLECT,
    ),
    Mutant(
        target="levelhead.audit.slices",
        old="part = np.bincount(np.unique(rows.clusters, return_inverse=True)[1], part)",
        new="part = part",
        why="four samples of a prompt are one observation",
        tests=SLICES,
    ),
    Mutant(
        target="levelhead.audit.verdict",
        old="ece.high is not None and ece.high <= SMALL_ECE",
        new="ece.value <= SMALL_ECE",
        why="calibrated is said only where the whole interval is small",
        tests=["tests/audit/test_verdict.py"],
    ),
    Mutant(
        target="levelhead.audit.gate",
        old="failed = low > limit and",
        new="failed = change > limit and",
        why="the gate fails on the interval, not on the point",
        tests=["tests/audit/test_gate.py"],
    ),
    Mutant(
        target="levelhead.audit.gate",
        old='sign = 1.0 if criterion.direction == "increase" else -1.0',
        new="sign = 1.0",
        why="a drop is measured downwards",
        tests=["tests/audit/test_gate.py"],
    ),
    Mutant(
        target="levelhead.audit.compare",
        old="return row.p_value if apart == (row.p_value <= 1.0 - level) else None",
        new="return row.p_value",
        why="prints chance beside an interval that excludes 0",
        tests=[
            "tests/audit/test_compare.py::test_a_p_value_that_contradicts_the_interval_is_not_shown"
        ],
    ),
    Mutant(
        target="levelhead.cli._console",
        old="self._waiting.start()",
        new="pass",
        why="shows no bar for a slow audit of small files",
        tests=["tests/cli/test_console.py::test_a_bar_appears_where_the_work_takes_long"],
    ),
]
