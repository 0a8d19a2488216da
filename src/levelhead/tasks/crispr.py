"""The files of the gene perturbation task: P(a perturbation has a strong effect on a phenotype).

verl's format: `prompt` holds chat messages, `reward_model.ground_truth` the outcome. The perturbed
gene is parsed from the prompt: prompts of one gene depend on one another, so a gene is either
trained on or evaluated on.

Reference: Uncalibrated Reasoning (arXiv:2508.11800).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Literal

from levelhead.errors import RecordError
from levelhead.readers._files import show
from levelhead.readers._logs import prompt_key
from levelhead.tasks._base import Options, Prompt, Task, TaskKind, event_task, shuffled
from levelhead.tasks._rows import Row, is_event, messages, read_rows

__all__ = ["KIND", "CrisprOptions", "build"]

PROMPT, OUTCOME = "prompt", "reward_model.ground_truth"
GENE = re.compile(r"perturbation\s+applied\s+to\s+([^\s?]+)\s")
PHENOTYPE = re.compile(r"marker genes:\s*```([^`]*)```")


class CrisprOptions(Options):
    """Options of the gene perturbation task."""

    kind: Literal["crispr"] = "crispr"
    """Which kind of task this is."""
    path: Path
    """The folder with train.pq, val.pq and test.pq."""
    evaluation: Literal["val", "test"] = "val"
    """Which file to evaluate on."""
    parser: Literal["levelhead", "paper"] = "levelhead"
    """How answers are read: the last tag, strictly; or as the published reward does (first tag,
    fraction cut off)."""


def build(options: CrisprOptions) -> Task:
    """The task.

    Args:
        options: where the files are.

    Returns:
        An event task. `columns` of a prompt hold `gene` and `phenotype` (its marker genes); its id
        is the gene and a digest of the text.

    Raises:
        RecordError: a file cannot be read, a prompt names no gene, an outcome is not 0 or 1, a
            prompt is there twice with different outcomes, or a gene is in both files.

    Reference: arXiv:2508.11800.
    """
    train = _part(options.path / "train.pq")
    evaluation = _part(options.path / f"{options.evaluation}.pq")
    trained = {prompt.columns["gene"] for prompt, _ in train}
    for prompt, row in evaluation:
        if prompt.columns["gene"] in trained:
            raise row.error(
                f"expected genes that are not trained on, got {prompt.columns['gene']!r}, which is "
                "also in train.pq; split the files by gene"
            )
    # The files are sorted by phenotype; shuffled, the first of them are a sample.
    mixed = shuffled([p for p, _ in evaluation], 0, key=lambda prompt: prompt.prompt_id)
    task = event_task("crispr", [p for p, _ in train], mixed)
    elicitation = "percent_tag" if options.parser == "levelhead" else "percent_tag_paper"
    return dataclasses.replace(task, elicitation=elicitation)


def _part(path: Path) -> list[tuple[Prompt, Row]]:
    if path.parent.is_file():
        raise RecordError(
            "expected a folder with train.pq, val.pq and test.pq, got a file", show(path.parent)
        )
    found: list[tuple[Prompt, Row]] = []
    outcomes: dict[str, tuple[float | None, int]] = {}
    for row in read_rows(path, (PROMPT, OUTCOME)):
        prompt = _prompt(row)
        outcome, line = outcomes.setdefault(prompt.prompt_id, (prompt.outcome, row.line))
        if outcome != prompt.outcome:
            raise row.error(
                f"{OUTCOME}: expected one outcome for each prompt, got another one than in row "
                f"{line}; correct it"
            )
        found.append((prompt, row))
    return found


def _prompt(row: Row) -> Prompt:
    said = messages(row.values[PROMPT], PROMPT, row)
    text = said[-1]["content"]
    gene, phenotype = GENE.search(text), PHENOTYPE.search(text)
    if gene is None:
        raise row.error(
            f"{PROMPT}: expected 'perturbation applied to GENE', got {text[:60]!r}; use kind: "
            "probability for other prompts"
        )
    columns: dict[str, Any] = {"gene": gene[1], "phenotype": phenotype[1] if phenotype else None}
    outcome = is_event(row.values[OUTCOME], OUTCOME, row)
    return Prompt(f"{gene[1]}/{prompt_key(text)}", said, outcome, (), columns)


KIND = TaskKind(
    "crispr",
    CrisprOptions,
    build,
    "P(a gene perturbation has a strong effect), from files in verl's format",
)
