"""Your own prediction task, from a template or from messages, and rows that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelhead.errors import ConfigError, RecordError
from levelhead.tasks import Task, make_task


def table(folder: Path, **changes: Any) -> Path:
    columns = {
        "team": ["Reds", "Blues", "Greens"],
        "rank": [1.0, 2.0, 3.0],
        "won": [1, 0, 1],
        "game": ["g1", "g1", "g2"],
        **changes,
    }
    path = folder / "games.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def build(path: Path, **options: Any) -> Task:
    given = {"prompt": "Will {team} (rank {rank}) win?", "outcome": "won", "evaluation": 1}
    return make_task({"kind": "probability", "path": path, **given, **options})


def test_a_template_is_filled_with_every_row(tmp_path: Path) -> None:
    task = build(table(tmp_path), id="team", columns=["rank"])
    found = {p.prompt_id: p for p in (*task.train, *task.evaluation)}
    assert found["Blues"].messages == ({"role": "user", "content": "Will Blues (rank 2) win?"},)
    assert [found[t].outcome for t in ("Reds", "Blues", "Greens")] == [1.0, 0.0, 1.0]
    assert found["Greens"].columns == {"rank": 3.0}
    assert (task.kind, task.name, len(task.evaluation)) == ("event", "games", 1)


def test_messages_and_nested_outcomes_are_read(tmp_path: Path) -> None:
    chat = [[{"role": "user", "content": f"Game {i}?"}] for i in range(3)]
    path = table(tmp_path, chat=chat, reward=[{"truth": i % 2} for i in range(3)])
    task = build(path, prompt=None, messages="chat", outcome="reward.truth")
    found = {p.messages[0]["content"]: p.outcome for p in (*task.train, *task.evaluation)}
    assert found == {"Game 0?": 0.0, "Game 1?": 1.0, "Game 2?": 0.0}


def test_prompts_that_share_an_outcome_stay_together(tmp_path: Path) -> None:
    for seed in range(6):
        task = build(table(tmp_path), split_by="game", seed=seed, columns=["game"])
        games = [{p.columns["game"] for p in part} for part in (task.train, task.evaluation)]
        assert not games[0] & games[1]


@pytest.mark.parametrize(
    ("changes", "options", "place", "problem"),
    [
        ({"won": [1, None, 0]}, {}, ":2", "won: expected 0 or 1, got nothing; remove the row or"),
        ({"won": [1, 0, 0.5]}, {}, ":3", "won: expected 0 or 1"),
        ({"team": ["Reds", None, "x"]}, {}, ":2", "prompt: expected a value for {team}, got noth"),
        ({}, {"prompt": "Will {taem} win?"}, "", "prompt: slot {taem}: expected one of team, rank"),
        ({}, {"prompt": "Will {team win?"}, "", "prompt: expected a text with {column} slots"),
        ({}, {"prompt": " "}, ":1", "prompt: expected a text, got an empty one; write what is ask"),
        ({}, {"outcome": "win"}, "", "column: expected one of team, rank, won, game, got 'win'"),
        ({}, {"id": "game"}, ":2", "id 'g1': expected one outcome for each id, got another one"),
        ({"m": ["a", "", "c"]}, {"prompt": None, "messages": "m"}, ":2", "m: expected a prompt, g"),
    ],
)
def test_a_wrong_row_is_named(
    changes: Any, options: Any, place: str, problem: str, tmp_path: Path
) -> None:
    path = table(tmp_path, **changes)
    with pytest.raises(RecordError) as caught:
        build(path, **options)
    assert str(caught.value).startswith(f"{path}{place}: {problem}")


def test_a_prompt_is_either_a_template_or_a_column(tmp_path: Path) -> None:
    for wrong in ({"messages": "team"}, {"prompt": None}):
        with pytest.raises(ConfigError, match="either prompt .a template. or messages .a column."):
            build(table(tmp_path), **wrong)


def test_the_published_rows_of_gene_perturbations(shared_data: Path) -> None:
    folder = shared_data / "crispr" / "task"
    task = make_task({
        "kind": "probability", "path": folder / "train.pq", "evaluation": folder / "val.pq",
        "prompt": "Does {pert} act on {pheno_markers}?", "outcome": "hit", "columns": ["pert"],
    })  # fmt: skip
    assert (len(task.train), len(task.evaluation)) == (6386, 1388)
    assert sum(p.outcome or 0 for p in task.train) == 3190
    assert len({p.columns["pert"] for p in task.train}) == 1401
