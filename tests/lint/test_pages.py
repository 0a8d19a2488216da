"""docs/lint says what the rules say. `python tests/lint/test_pages.py --write` makes it anew."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from levelhead.lint import all_rules
from levelhead.lint.pages import page, table
from levelhead.lint.rules import SEVERITIES
from levelhead.lint.settings import TOOLS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "lint"
BEGIN, END = "<!-- rules -->\n\n", "\n<!-- end of rules -->"


def with_table(text: str) -> str:
    """The index with the table of today."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def test_every_page_is_what_its_rule_says() -> None:
    for rule in all_rules():
        assert (DOCS / f"{rule.id}.md").read_text(encoding="utf-8") == page(rule), rule.id


def test_there_is_no_page_without_a_rule() -> None:
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert pages == {rule.id for rule in all_rules()}


def test_the_index_lists_all_rules() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    assert text == with_table(text)


def test_a_rule_is_whole() -> None:
    board = json.loads((ROOT / "docs" / "leaderboard.json").read_text(encoding="utf-8"))
    probed = {one["name"] for one in board["readings"]}
    for rule in all_rules():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
        assert rule.severity in SEVERITIES
        assert rule.fixes, rule.id
        assert set(rule.fixes) | set(rule.probes) <= set(TOOLS)
        assert len(rule.effect) < 480, rule.id
        assert rule.sure != "reported" or any("arXiv" in one for one in rule.references)
        for command in rule.probes.values():
            told = command.removeprefix("levelhead probe ").replace("--groups independent", "")
            names = [told.strip("'")] if "'" in told else told.split()
            assert set(names) <= probed, command


if __name__ == "__main__" and "--write" in sys.argv:
    for one in all_rules():
        (DOCS / f"{one.id}.md").write_text(page(one), encoding="utf-8")
    index = DOCS / "index.md"
    index.write_text(with_table(index.read_text(encoding="utf-8")), encoding="utf-8")
