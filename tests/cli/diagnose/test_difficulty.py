"""`levelhead diagnose difficulty` from files to a verdict, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli.diagnose._difficulty import difficulty
from levelhead.errors import LevelheadError

HONEST = "{a} * {b} = {c}. Then {c} + {a} = {d}. Check: {d} - {a} = {c}. So the answer is {d}."
LAZY = "It looks familiar, and I have a number in mind. The answer is {d}."


def write(path: Path, gain: float, lazy: float, seed: int, **more: object) -> Path:
    rng = np.random.default_rng(seed)
    rates = np.minimum(np.random.default_rng(5).beta(0.5, 2.0, 50) + gain, 1.0)
    right = rng.random((50, 16)) < rates[:, None]
    rows = [
        {
            "prompt_id": f"p{j}",
            "correct": int(right[j, k]),
            "text": (LAZY if rng.random() < lazy else HONEST).format(
                a=11 + j, b=7, c=7 * (11 + j), d=8 * (11 + j)
            ),
            **more,
        }
        for j in range(50)
        for k in range(16)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that states confidences, and a tuned model that states none and learned shortcuts."""
    folder = tmp_path_factory.mktemp("difficulty")
    write(folder / "base.parquet", 0.0, 0.05, 1, confidence=0.7)
    write(folder / "tuned.parquet", 0.2, 0.6, 2)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(difficulty, [str(a) for a in arguments])
    if isinstance(result.exception, LevelheadError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_from_files_to_a_verdict(folder: Path, tmp_path: Path) -> None:
    page, numbers = tmp_path / "r.html", tmp_path / "r.json"
    tuned, base = folder / "tuned.parquet", folder / "base.parquet"
    said = run(tuned, "--baseline", base, "--group-size", 16, "-o", page, "--json", numbers)
    assert "SHORTCUTS" in said.splitlines()[0]
    assert "base's right answers to prompts that it rarely solves show a shortcut" in said
    assert "tuned's: more than chance would." in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    assert "its samples state no confidence" in " ".join(said.split())
    assert "SHORTCUTS" in page.read_text()
    assert '"group_size": 16' in numbers.read_text()
    json.loads(numbers.read_text())
    again = tmp_path / "again.json"
    said = run(tuned, "--baseline", base, "--group-size", 16, "--json", again, "--quiet")
    assert said == ""
    assert again.read_text() == numbers.read_text()


def test_one_model_and_an_estimator_of_ones_own(folder: Path) -> None:
    said = run(folder / "base.parquet", "--estimator", "levelhead.advantages:rloo")
    assert "there is no base to compare with" in said
    assert "estimator levelhead.advantages:rloo in groups of 8" in " ".join(said.split())


def test_a_suite_that_was_frozen_before(folder: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("p1\n\np2\n", encoding="utf-8-sig")  # as Windows writes it
    said = run(folder / "tuned.parquet", "--baseline", folder / "base.parquet", "--suite", ids)
    assert "On 2 prompts that the base had solved before" in said


def test_two_files_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "base.parquet", 0.2, 0.6, 2)
    said = run(tmp_path / "base.parquet", "--baseline", folder / "base.parquet")
    assert "base's right answers to prompts that it rarely solves show a shortcut" in said
    assert "tuned's: more than chance would." in " ".join(said.split())


def test_two_models_in_one_file(folder: Path, tmp_path: Path) -> None:
    names, file = ("before", "after"), tmp_path / "both.parquet"
    files = (folder / "base.parquet", folder / "tuned.parquet")
    parts = [
        pq.read_table(one, columns=["prompt_id", "correct", "text"]).append_column(
            "model", [[name] * 800]
        )
        for one, name in zip(files, names, strict=True)
    ]
    pq.write_table(pa.concat_tables(parts), file)
    said = " ".join(run(file, "--models", *names).split())
    apart = " ".join(run(files[1], "--baseline", files[0]).split())
    share = apart.split("shortcut, ")[1].split("%")[0]
    assert "of before's right answers" in said
    assert f"shortcut, {share}% of after's: more than chance would." in said
    with pytest.raises(LevelheadError, match="--only: expected no --models beside it"):
        run(file, "--models", *names, "--only", "after")
    same = " ".join(run(files[1], "--baseline", files[1]).split())
    assert "--baseline and TUNED hold the same rows, so nothing can differ" in same


def test_chats_are_what_the_assistant_said(folder: Path, tmp_path: Path) -> None:
    files = []
    for name in ("base", "tuned"):
        rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
        for row in rows:
            said = {"role": "assistant", "content": row["text"]}
            row["text"] = [{"role": "user", "content": "The answer is 1? " * 3}, said]
        files.append(tmp_path / f"{name}.parquet")
        pq.write_table(pa.Table.from_pylist(rows), files[-1])
    said = run(files[1], "--baseline", files[0])
    assert said.splitlines()[0] == "Difficulty and shortcuts  SHORTCUTS"  # not: all are flagged


def test_two_paths_side_by_side_are_told_the_right_form(folder: Path) -> None:
    base, tuned = folder / "base.parquet", folder / "tuned.parquet"
    with pytest.raises(LevelheadError) as found:
        run(base, tuned)
    assert str(found.value).endswith(f"levelhead diagnose difficulty {tuned} --baseline {base}")
    with pytest.raises(LevelheadError, match="TUNED: expected one path, .*; a glob needs quotes"):
        run(tuned, tuned, "--baseline", base)


def test_errors(folder: Path, tmp_path: Path) -> None:
    tuned, base = folder / "tuned.parquet", folder / "base.parquet"
    with pytest.raises(LevelheadError, match="nothing.parquet: expected a file"):
        run(folder / "nothing.parquet")
    with pytest.raises(LevelheadError, match="estimator: expected one of .* did you mean 'grpo'"):
        run(tuned, "--estimator", "gpro")
    with pytest.raises(LevelheadError, match="--trace: expected a column of tuned .* 'thinking'"):
        run(tuned, "--trace", "thinking")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(LevelheadError, match="--suite: expected prompt ids in .* got none"):
        run(tuned, "--baseline", base, "--suite", tmp_path / "empty.txt")
    with pytest.raises(LevelheadError, match="--suite: expected a text file of prompt ids"):
        run(tuned, "--baseline", base, "--suite", tmp_path / "none.txt")
    (tmp_path / "ids.txt").write_text("q1\n")
    with pytest.raises(LevelheadError, match="suite: .* got none of 1, such as 'q1'"):
        run(tuned, "--baseline", base, "--suite", tmp_path / "ids.txt")
    with pytest.raises(LevelheadError, match="--suite: expected --baseline beside it"):
        run(tuned, "--suite", tmp_path / "ids.txt")
    with pytest.raises(LevelheadError, match="this one is an input"):
        run(tuned, "-o", tuned)
    both = pa.concat_tables(
        pq.read_table(tuned).append_column("model", [[name] * 800]) for name in ("a", "b")
    )
    pq.write_table(both, tmp_path / "both.parquet")
    with pytest.raises(
        LevelheadError, match="TUNED: expected the samples of one model, got 2: a, b"
    ):
        run(tmp_path / "both.parquet")
    assert "there is no base" in run(tmp_path / "both.parquet", "--only", "a")
    result = CliRunner().invoke(difficulty, [str(tuned), "--alpha", "0.7"])
    assert result.exit_code == 2


def test_help_ends_with_an_example() -> None:
    assert run("--help").rstrip().endswith("both.parquet --models base tuned")
