"""From files to runs: which tool, and what is no configuration at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from levelhead.errors import RecordError
from levelhead.lint import read, read_text
from levelhead.lint.reading import MAX_BYTES, files_in

sys.path.insert(0, str(Path(__file__).resolve().parent))

from render import entries, render

CORPUS = entries()


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 50
    assert sum(entry["repository"] != "?" for entry in CORPUS) >= 40
    assert {entry["tool"] for entry in CORPUS} == {"verl", "openrlhf", "trl"}


@pytest.mark.parametrize("entry", CORPUS, ids=[entry["path"] for entry in CORPUS])
def test_every_public_configuration_is_read(entry: dict[str, object]) -> None:
    name, text = render(entry)
    runs = read_text(text, name)
    assert [run.tool for run in runs] == [entry["tool"]]
    assert runs[0].values


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "a.yaml",
            "lr: 1\n",
            "expected a configuration of TRL, verl, OpenRLHF or levelhead, got none",
        ),
        ("a.sh", "echo hello\n", "got none that is recognized"),
        ("a.sh", 'echo "python -m other algorithm.adv_estimator=grpo"\n', "got none that is"),
        ("a.py", "print(1)\n", "got none that is recognized"),
        ("a.toml", "a = 1\n", "got none that is recognized"),
        ("a.yaml", "", "got none that is recognized"),
    ],
)
def test_no_known_tool(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RecordError, match=problem) as told:
        read(path)
    assert told.value.path == str(path)


def test_what_is_no_text(tmp_path: Path) -> None:
    for content, problem in (
        (b"\x00\x01", "expected text, got a binary file"),
        (b"\xff\xfe", "expected text in UTF-8, got other bytes"),
        (b"#" * (MAX_BYTES + 1), "expected a configuration of at most 2 MB, got a larger file"),
    ):
        path = tmp_path / "x.sh"
        path.write_bytes(content)
        with pytest.raises(RecordError, match=problem):
            read(path)
    with pytest.raises(RecordError, match="expected a file, got a folder"):
        read(tmp_path)
    with pytest.raises(RecordError, match="cannot read this file: No such file"):
        read(tmp_path / "gone.sh")


DEEP = [
    ("a.sh", "(" * 3000),
    ("a.sh", "if " * 3000),
    ("a.sh", "x=" + "(x=" * 3000),
    ("a.sh", "run " + "${a:-" * 3000),
    ("a.py", "GRPOConfig(a=" + "-" * 3000 + "1)"),
    ("a.py", "GRPOConfig(a=" + "+".join("1" * 5000) + ")"),
    ("a.py", "GRPOConfig(a=x" + ".y" * 5000 + ")"),
]


@pytest.mark.parametrize(("name", "text"), DEEP, ids=range(len(DEEP)))
def test_what_is_nested_too_deeply_is_no_traceback(name: str, text: str) -> None:
    with pytest.raises(RecordError, match=rf"^{name}: expected "):
        read_text(text, name)


def test_numbers_that_are_too_large_are_not_read() -> None:
    digits = "9" * 400
    for name, text in (
        ("a.yaml", f"num_generations: {digits}\n"),
        ("a.py", f"from trl import GRPOConfig\nGRPOConfig(num_generations={digits})\n"),
        ("a.sh", f"trl grpo --num_generations {digits}\n"),
    ):
        assert read_text(text, name)[0].plain("group_size") is None


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.sh", "a/c.yaml", ".hidden/d.sh", "e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert files_in(tmp_path) == [tmp_path / "a" / "c.yaml", tmp_path / "b.sh"]


def test_each_launch_of_a_script_is_a_run() -> None:
    line = "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo\n"
    assert [run.line for run in read_text(line + "\n" + line, "r.sh")] == [1, 3]


def test_a_list_of_configurations() -> None:
    text = "- {num_generations: 4}\n- {num_generations: 8}\n- {other: 1}\n"
    assert [run.plain("group_size") for run in read_text(text, "all.yaml")] == [4, 8]


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "r.sh"
    path.write_bytes(
        b"\xef\xbb\xbfpython -m verl.trainer.main_ppo \\\r\n  algorithm.adv_estimator=rloo\r\n"
    )
    assert read(path)[0].plain("estimator") == "rloo"
