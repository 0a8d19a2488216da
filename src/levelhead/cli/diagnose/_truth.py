"""`levelhead diagnose truth`: claims and beliefs from a table, or beliefs from hidden states."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._console import Progress
from levelhead.cli._options import json_option, on_stdout, path_option, quiet_option, target
from levelhead.cli._output import check_targets
from levelhead.cli._reading import resampling_options
from levelhead.errors import InvalidInputError

if TYPE_CHECKING:
    from levelhead.diagnose.truth import Claims, ProbeResult, Statements

__all__ = ["truth"]

EPILOG = """\b
Examples:
  levelhead diagnose truth claims.jsonl --belief belief --claim claim
  levelhead diagnose truth tuned.parquet --baseline base.parquet \\
      --belief belief --claim judge --condition truth --prompt-id prompt_id
  levelhead diagnose truth claims.csv --claim claim --prompt-id prompt_id \\
      --beliefs options.parquet --belief option_shares --yes-at yes_at
  levelhead diagnose truth claims.csv --claim claim --hidden-states states.npz
\b
A file has a line for each answer; a claim is 1, 0, yes, no, or nothing:
  {"prompt_id": "q1", "belief": 0.9, "claim": "yes", "truth": "Positive"}
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@path_option("--baseline", metavar="FILE", help="The same of the model before, with the columns.")
@click.option("--claim", required=True, metavar="COLUMN", help="What is claimed: 1, 0, yes, no.")
@click.option("--belief", metavar="COLUMN", help="A probability, or a list over option tokens.")
@click.option("--condition", metavar="COLUMN", help="Truth: Positive, Negative or Unknown.")
@click.option("--prompt-id", metavar="COLUMN", help="Column that names the prompt.")
@path_option("--beliefs", metavar="FILE", help="Beliefs in a file of their own, by prompt.")
@path_option("--baseline-beliefs", metavar="FILE", help="Those of the baseline.")
@click.option("--yes-at", metavar="COLUMN|N", help="Place of the option yes in lists, from 0.")
@click.option("--percent/--fraction", default=None, help="Unit of the beliefs.")
@path_option("--hidden-states", metavar="NPZ", help="Probe these for the truth (.npz or .npy).")
@path_option("--baseline-hidden-states", metavar="NPZ", help="Those of the baseline.")
@click.option("--label", metavar="COLUMN", help="What is true, for the probe: 1 or 0.")
@click.option("--topic", metavar="COLUMN", help="Topics, which the probe keeps apart.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="Correlations within it count as indifference.",
)
@resampling_options
@path_option("-o", "--report", metavar="HTML", help="Write the report to this file.")
@json_option()
@quiet_option()
def truth(
    file: Path,
    baseline: Path | None,
    beliefs: Path | None,
    baseline_beliefs: Path | None,
    hidden_states: Path | None,
    baseline_hidden_states: Path | None,
    margin: float,
    n_boot: int,
    level: float,
    seed: int,
    report: Path | None,
    json_path: Path | None,
    quiet: bool,
    **columns: Any,
) -> None:
    """Do the claims in FILE follow what the model believes?

    FILE is Parquet, Arrow, JSON Lines, JSON or CSV with a row for each answer, or, except in CSV,
    with a row for each prompt and lists of its answers. The verdict is
    TRUTHFUL, INDIFFERENT, CONTRARY (a systematic liar), DEGENERATE (always the same claim) or
    INCONCLUSIVE. Beliefs are a column, or are made from option tokens or from hidden states.
    """
    _check(columns, baseline, beliefs, baseline_beliefs, hidden_states, baseline_hidden_states)
    given = (file, baseline, beliefs, baseline_beliefs, hidden_states, baseline_hidden_states)
    check_targets((report, target(json_path)), tuple(str(one) for one in given if one is not None))
    with Progress(enabled=not quiet and not on_stdout(json_path)) as progress:
        from levelhead.cli.diagnose._finish import finish
        from levelhead.diagnose.truth import diagnose_truth, section

        one = _read(file, "tuned", beliefs, hidden_states, columns, progress, level, seed)
        names = _names(file, baseline)
        other = None
        if baseline is not None:
            own = baseline_beliefs, baseline_hidden_states
            other = _read(baseline, "baseline", *own, columns, progress, level, seed)
        result = diagnose_truth(
            _claims(one, names[0]),
            None if other is None else _claims(other, names[1]),
            probe=one.probe,
            baseline_probe=None if other is None else other.probe,
            options=one.rows.options,
            margin=margin,
            n_boot=n_boot,
            level=level,
            seed=seed,
            on_step=progress.step,
        )
        progress.step("drawing")
        found = section(result)
    read = [each for each in (other, one) if each is not None]
    found = dataclasses.replace(
        found,
        warnings=[
            *_same(one, other),
            *dict.fromkeys(w for each in read for w in (*each.rows.warnings, *each.warnings)),
            *found.warnings,
        ],
        notes=[
            *_sources(names, given),
            *dict.fromkeys(n for each in read for n in each.rows.notes),
            *found.notes,
        ],
    )
    finish([found], report, json_path, quiet)


@dataclasses.dataclass(frozen=True)
class _Read:
    rows: Statements
    belief: Any
    probe: ProbeResult | None
    topic: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def _check(
    columns: dict[str, Any],
    baseline: Path | None,
    beliefs: Path | None,
    baseline_beliefs: Path | None,
    hidden: Path | None,
    baseline_hidden: Path | None,
) -> None:
    """Options that need one another, before anything is read."""
    if columns["belief"] is None and hidden is None:
        raise InvalidInputError(
            "--belief: expected the column of the belief, or --hidden-states, got neither"
        )
    if columns["yes_at"] is not None and columns["belief"] is None:
        raise InvalidInputError(
            "--yes-at: expected --belief, a column of lists over options, beside it, got none"
        )
    if columns["percent"] is not None and columns["belief"] is None:
        unit = "--percent" if columns["percent"] else "--fraction"
        raise InvalidInputError(
            f"{unit}: expected --belief, a column of beliefs, beside it, got none"
        )
    if beliefs is not None and (columns["belief"] is None or columns["prompt_id"] is None):
        raise InvalidInputError(
            "--beliefs: expected --belief and --prompt-id, which name its columns, got one or none"
        )
    if baseline is None and (baseline_beliefs is not None or baseline_hidden is not None):
        raise InvalidInputError(
            "--baseline: expected a file of claims for the baseline's beliefs, got none"
        )
    if baseline is not None and (beliefs is None) != (baseline_beliefs is None):
        raise InvalidInputError(
            "--baseline-beliefs: expected it together with --beliefs, got one of them"
        )
    needs = columns["belief"] is None and baseline is not None
    if needs and baseline_hidden is None:
        raise InvalidInputError(
            "--baseline-hidden-states: expected the baseline's own, since no column holds beliefs"
        )


def _read(
    file: Path,
    role: str,
    beliefs: Path | None,
    hidden: Path | None,
    columns: dict[str, Any],
    progress: Progress,
    level: float,
    seed: int,
) -> _Read:
    """The rows of one model, with beliefs from a column or from its hidden states."""
    from levelhead.diagnose.truth import probe_beliefs, read_hidden, read_statements
    from levelhead.diagnose.truth._probe import n_searches
    from levelhead.diagnose.truth._states import row_topics

    progress.step(f"reading {file.name}")
    rows = read_statements(file, beliefs=beliefs, **columns)
    if hidden is None:
        return _Read(rows, rows.belief, None)
    progress.step("probing")
    states = read_hidden(hidden)
    progress.counting(n_searches(len(states.layers)), "searches")
    try:
        probe, belief = probe_beliefs(states, rows, level=level, seed=seed, on_fit=progress.advance)
    except KeyboardInterrupt:
        if columns["belief"] is None:
            raise
        text = f"the probe of the {role} model was interrupted and is not shown"
        return _Read(rows, rows.belief, None, warnings=(text,))
    if columns["belief"] is not None:
        return _Read(rows, rows.belief, probe)
    return _Read(rows, belief, probe, row_topics(states, rows))


def _claims(one: _Read, name: str) -> Claims:
    from levelhead.diagnose.truth import Claims

    return Claims(one.belief, one.rows.claim, one.rows.condition, one.rows.ids, name, one.topic)


def _names(file: Path, baseline: Path | None) -> tuple[str, str]:
    """What the models are called: their files, where these differ."""
    if baseline is None or file.stem == baseline.stem:
        return ("tuned" if baseline is not None else file.stem), "base"
    return file.stem, baseline.stem


def _sources(names: tuple[str, str], given: tuple[Path | None, ...]) -> list[str]:
    """Which files the models' names stand for."""
    file, baseline, beliefs, own_beliefs, hidden, own_hidden = given
    found: list[str] = []
    for name, main, *further in (
        (names[1], baseline, own_beliefs, own_hidden),
        (names[0], file, beliefs, hidden),
    ):
        if main is not None:
            beside = ", ".join(str(path) for path in further if path is not None)
            found.append(f"{name}: claims of {main}" + (f", beliefs of {beside}" if beside else ""))
    return found


def _same(one: _Read, other: _Read | None) -> list[str]:
    """A warning where FILE and --baseline are the same answers."""
    import numpy as np

    if other is None or not all(
        np.array_equal(first, second, equal_nan=True)
        for first, second in ((one.belief, other.belief), (one.rows.claim, other.rows.claim))
    ):
        return []
    return ["FILE and --baseline hold the same claims and beliefs, so nothing can differ"]
