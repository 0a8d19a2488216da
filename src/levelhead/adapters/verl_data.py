"""A task's prompts as files that verl reads.

verl takes Parquet files with the columns `data_source`, `prompt` (chat messages),
`reward_model.ground_truth` and `extra_info`, and hands all but the prompt to the reward function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levelhead._write import replacing
from levelhead.errors import ConfigError
from levelhead.tasks import CrisprOptions, Prompt, Task, make_task
from levelhead.tasks._verify import Verifier
from levelhead.train.config import Recipe, check_task

__all__ = ["VerlData", "data_for", "write_prompts"]


@dataclasses.dataclass(frozen=True)
class VerlData:
    """What verl reads of a task, and what the reward function must know about it.

    Attributes:
        train: file of the prompts to train on.
        evaluation: file of the prompts to evaluate on.
        rows: how many prompts there are to train on; None where the file is not on this machine.
        kind: `event` or `answer`.
        elicitation: name of the format of a response.
        verifier: name of the verifier of answers, "" for events.
        reward: the reward that suits the task.
        task: the task, whose prompts are still to be written to the two files; None where verl reads
            the user's own files.
    """

    train: Path
    evaluation: Path
    rows: int | None
    kind: str
    elicitation: str
    verifier: str
    reward: str
    task: Task | None = None

    def write(self, system: str | None) -> None:
        """Write the two files, where they are not the user's own.

        Args:
            system: a message that is put before each prompt, or None.

        Raises:
            RecordError: the folder does not exist or cannot be written to.
        """
        if self.task is not None:
            write_prompts(self.train, self.task.name, self.task.train, system=system)
            write_prompts(self.evaluation, self.task.name, self.task.evaluation, system=system)


def data_for(recipe: Recipe, folder: Path) -> VerlData:
    """What verl will read for a recipe; nothing is written yet.

    The files of the task `crispr` are in verl's format already and are read where they are, unless a
    system message must be put before each prompt. All others are written into `folder`.

    Args:
        recipe: its task, and the system message.
        folder: where files that do not exist yet will be.

    Returns:
        A `VerlData`.

    Raises:
        RecordError: a file of the task cannot be read.
        ConfigError: the recipe does not go with its task, there is nothing to evaluate on, or answers
            are judged by a function that verl's workers cannot find by name.

    Edge cases: files of `crispr` that are not on this machine (a cluster's) are not checked.
    """
    options = recipe.task
    own = isinstance(options, CrisprOptions) and recipe.model.system is None
    if isinstance(options, CrisprOptions) and own and not options.path.exists():
        # The recipe's own facts are all that there is.
        paper = options.parser == "paper"
        form = "percent_tag_paper" if paper else "percent_tag"
        return VerlData(*_crispr_files(options), None, "event", form, "", "log")
    task = make_task(options)
    check_task(recipe, task)
    if not task.evaluation:
        raise ConfigError(
            f"task: expected prompts to evaluate on, the task {task.name!r} has none; verl needs them"
        )
    if task.verify is not None and not isinstance(task.verify, Verifier):
        raise ConfigError(
            f"task.kind: expected a task whose answers are compared by a verifier with a name, got "
            f"{options.kind}; train it with levelhead's own engine"
        )
    files = folder / "train.parquet", folder / "evaluation.parquet"
    if isinstance(options, CrisprOptions) and own:
        files = _crispr_files(options)
    return VerlData(
        *(file.absolute() for file in files),
        rows=len(task.train),
        kind=task.kind,
        elicitation=task.elicitation,
        verifier="" if task.verify is None else task.verify.name,
        reward=task.default_reward,
        task=None if own else task,
    )


def write_prompts(
    path: Path, data_source: str, prompts: Sequence[Prompt], *, system: str | None = None
) -> None:
    """Prompts as a Parquet file in verl's format.

    Args:
        path: where to.
        data_source: verl's name of the data set.
        prompts: (N,) of an event or an answer task, not of both.
        system: a message that is put before each prompt, or None.

    Raises:
        RecordError: the folder does not exist or cannot be written to.

    Edge cases: `ground_truth` is the outcome of an event, or the list of right answers.
    """
    before = [] if system is None else [{"role": "system", "content": system}]
    rows: list[dict[str, Any]] = [
        {
            "data_source": data_source,
            "prompt": [*before, *(dict(message) for message in prompt.messages)],
            "ability": data_source,
            "reward_model": {
                "style": "rule",
                "ground_truth": list(prompt.targets) if prompt.outcome is None else prompt.outcome,
            },
            "extra_info": {"index": index, "prompt_id": prompt.prompt_id},
        }
        for index, prompt in enumerate(prompts)
    ]
    with replacing(path) as unfinished:
        pq.write_table(pa.Table.from_pylist(rows), unfinished)


def _crispr_files(options: CrisprOptions) -> tuple[Path, Path]:
    folder = options.path.absolute()
    return folder / "train.pq", folder / f"{options.evaluation}.pq"
