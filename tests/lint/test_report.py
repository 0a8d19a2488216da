"""JSON, SARIF and GitHub's annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levelhead.lint import Report, all_rules, lint, to_github, to_json, to_sarif

LEVELS = {"none", "note", "warning", "error"}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    path = tmp_path / "a b,c.yaml"
    path.write_text("num_generations: 8\nbeta: ${x}\n")
    return lint([path])


def test_json_is_plain(report: Report) -> None:
    content = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert content["format"] == "levelhead-lint/1"
    assert [content[kind] for kind in ("errors", "warnings", "notes")] == [1, 0, 1]
    assert content["findings"][0]["rule"] == "group-std"
    assert content["unread"][0]["key"] == "beta"
    assert content["runs"][0]["settings"]["advantage"] == "group_std"


def test_sarif_has_what_code_scanning_needs(report: Report) -> None:
    log = to_sarif(report)
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    described = log["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in described] == [rule.id for rule in all_rules()]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in described)
    for result in log["runs"][0]["results"]:
        assert result["level"] in LEVELS
        assert described[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert place["artifactLocation"]["uri"].endswith("a%20b%2Cc.yaml")
        assert len(result["partialFingerprints"]["levelheadLint/v1"]) == 32


def test_annotations_are_escaped(report: Report) -> None:
    first, *rest = to_github(report).splitlines()
    assert first.startswith("::error file=")
    assert "a b%2Cc.yaml,line=1,title=group-std::scale_rewards is group by default" in first
    assert rest[0].startswith("::notice ")


def test_nothing_found(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("num_generations: 8\nscale_rewards: none\nloss_type: dr_grpo\n")
    clean = lint([path])
    assert to_github(clean) == ""
    assert to_sarif(clean)["runs"][0]["results"] == []


def test_files_that_were_left_out(tmp_path: Path) -> None:
    good, other = tmp_path / "c.yaml", tmp_path / "other.yaml"
    good.write_text("num_generations: 8\nscale_rewards: none\nloss_type: dr_grpo\n")
    other.write_text("foo: 1\n")
    report = lint([good, other], skip=True)
    (told,) = to_json(report)["skipped"]
    assert (told["file"], told["line"]) == (str(other), None)
    (invocation,) = to_sarif(report)["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert str(other) in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert to_github(report).startswith(f"::error file={other},title=skipped::expected a config")
