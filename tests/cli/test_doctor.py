"""The doctor: its lines from what new processes find, its words, and its exit status."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from levelhead.cli import doctor as module
from levelhead.cli.doctor import Check, doctor, lacking

VERSIONS = {"torch": "2.13.0", "trl": "1.16.0", "ray": "2.60.0", "verl": "0.9.1"}
EVERYTHING = {**VERSIONS, "vllm": "0.24.0", "TransferQueue": "0.1.10"}
FOUND: dict[str, dict[str, Any]] = {
    module.TORCH: {"torch": "2.13.0", "transformers": "5.10.4", "gpus": ["H200", "H200"]},
    module.TRL: {},
    module.RAY: {},
    module.VERL: {"reason": "", "ours": 13, "estimators": ["grpo", "levelhead_rloo"]},
}
"""What healthy processes say."""


def diagnosed(
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str],
    answers: dict[str, dict[str, Any] | str],
    *arguments: str,
) -> tuple[int, dict[str, Check], str]:
    """The command on a machine that has `versions`, and whose processes answer, or fail with a text."""

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    def fresh(code: str) -> tuple[dict[str, Any], str]:
        answer = {**FOUND, **answers}[code]
        return ({}, answer) if isinstance(answer, str) else (answer, "")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(module, "_fresh", fresh)
    done = CliRunner().invoke(doctor, ["--json", *arguments], standalone_mode=False)
    checks = [Check(**one) for one in json.loads(done.output)["checks"]]
    assert json.loads(done.output)["broken"] == bool(done.return_value)
    return done.return_value, {one.name: one for one in checks}, done.output


def test_a_healthy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    code, checks, _ = diagnosed(monkeypatch, EVERYTHING, {})
    assert code == 0
    assert {one.status for one in checks.values()} == {"ok"}
    assert checks["GPU"].found == "2 x H200"
    assert checks["verl plug-in"].found == "13 estimators of levelhead among 2 that verl resolves"
    assert list(checks) == [
        *("levelhead", "torch", "GPU", "TRL", "Ray", "verl", "verl plug-in", "verl rollouts"),
        "verl trainer",
    ]


def test_missing_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    code, checks, _ = diagnosed(monkeypatch, {}, {})
    assert code == 0
    missing = {name: one.advice for name, one in checks.items() if one.status == "missing"}
    assert set(missing) == {"torch", "TRL", "Ray", "verl"}
    assert "pip install 'levelhead[trl]'" in missing["TRL"]
    assert "pip install 'levelhead[verl]'" in missing["verl"]
    code, checks, _ = diagnosed(monkeypatch, VERSIONS, {})
    assert code == 0
    assert checks["verl rollouts"].status == checks["verl trainer"].status == "missing"


def test_a_plug_in_that_is_not_loaded_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = {**FOUND[module.VERL], "reason": "it is left out; add it"}
    code, checks, _ = diagnosed(monkeypatch, EVERYTHING, {module.VERL: reason})
    assert code == 1
    assert checks["verl plug-in"] == Check(
        "verl plug-in", "broken", "not loaded", "it is left out; add it"
    )
    assert checks["verl"].status == "ok"


CODES = {"torch": module.TORCH, "TRL": module.TRL, "Ray": module.RAY, "verl": module.VERL}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_what_cannot_be_imported_is_broken(
    monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    status, checks, _ = diagnosed(monkeypatch, EVERYTHING, {code: "importing it fails: no libcuda"})
    assert status == 1
    assert checks[name].status == "broken"
    assert checks[name].advice == "importing it fails: no libcuda"


@pytest.mark.parametrize(
    ("package", "version", "status"),
    [
        ("trl", "1.15.9", "broken"),
        ("trl", "1.16.3", "ok"),
        ("trl", "1.17.0", "broken"),
        ("trl", "2.16.0", "broken"),
        ("verl", "0.10.0", "broken"),
        ("verl", "0.9.2rc1", "ok"),
        ("verl", "0.8", "broken"),
    ],
)
def test_versions_outside_of_the_tested_range(
    monkeypatch: pytest.MonkeyPatch, package: str, version: str, status: str
) -> None:
    name = {"trl": "TRL", "verl": "verl"}[package]
    code, checks, _ = diagnosed(monkeypatch, {**EVERYTHING, package: version}, {})
    assert (checks[name].status, code) == (status, int(status == "broken"))
    if status == "broken":
        low, high = {"trl": ("1.16", "1.17"), "verl": ("0.9", "0.10")}[package]
        assert checks[name].advice.endswith(f"pip install '{package}>={low},<{high}'")


def test_without_a_gpu_it_says_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {module.TORCH: {**FOUND[module.TORCH], "gpus": []}}
    code, checks, _ = diagnosed(monkeypatch, EVERYTHING, answers)
    assert (code, checks["GPU"].status) == (0, "missing")


NAMES = {"ray.py": "Ray", "verl": "verl", "torch.py": "torch", "trl": "TRL"}


@pytest.mark.parametrize(("place", "name"), NAMES.items())
def test_a_file_with_the_name_of_a_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, name: str
) -> None:
    package = place.removesuffix(".py")
    for folder in (tmp_path / "here", tmp_path / "installed"):
        folder.mkdir()
        if place.endswith(".py"):
            (folder / place).write_text("")
        else:
            (folder / place).mkdir()
            (folder / place / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "installed")])
    code, checks, _ = diagnosed(monkeypatch, EVERYTHING, {})
    assert (checks[name].status, code) == ("broken", 1)
    assert checks[name].advice == (
        f"{tmp_path / 'here' / place} hides the installed {package}; rename it, or work in another "
        "folder"
    )


def test_a_checkout_that_is_installed_as_it_stands_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "verl").mkdir()
    (tmp_path / "verl" / "__init__.py").write_text("")
    (tmp_path / "ray").mkdir()  # holds no code
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert diagnosed(monkeypatch, EVERYTHING, {})[0] == 0


@pytest.mark.parametrize(
    ("versions", "gpus", "engine", "options", "names"),
    [
        (EVERYTHING, 8, "vllm", {"gpus": 8, "queue": True}, []),
        (EVERYTHING, 4, "vllm", {"gpus": 8, "queue": True}, ["GPU: 4 x H200, not 8"]),
        (EVERYTHING, 0, "vllm", {"gpus": 1, "queue": True}, ["GPU: torch sees none"]),
        (EVERYTHING, 0, "vllm", {"gpus": 0, "queue": True}, []),
        (EVERYTHING, 8, "sglang", {"gpus": 8, "queue": True}, ["verl rollouts: no sglang"]),
        (EVERYTHING, 8, "hf", {"gpus": 8, "queue": True}, []),
        (VERSIONS, 8, "hf", {"gpus": 8, "queue": True}, ["verl trainer: no TransferQueue"]),
        (VERSIONS, 8, "hf", {"gpus": 8, "queue": False}, []),
    ],
)
def test_what_a_machine_lacks_to_train_with_verl(
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str],
    gpus: int,
    engine: str,
    options: dict[str, Any],
    names: list[str],
) -> None:
    found = {**FOUND[module.TORCH], "gpus": ["H200"] * gpus}
    monkeypatch.setattr(module, "_version", versions.get)
    monkeypatch.setattr(module, "_fresh", lambda code: (found, ""))
    assert [f"{one.name}: {one.found}" for one in lacking(engine, **options)] == names


def test_the_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("torch", "broken", "2.13", "x " * 90), Check("a", "ok", "control\x1b[31m")]
    monkeypatch.setattr(module, "_levelhead", lambda: checks)
    for name in ("_torch", "_trl", "_ray", "_verl"):
        monkeypatch.setattr(module, name, list)
    done = CliRunner().invoke(doctor, [], standalone_mode=False)
    assert done.return_value == 1
    assert max(map(len, done.output.splitlines())) <= 80
    assert "\x1b" not in done.output
    assert "Example:" in CliRunner().invoke(doctor, ["--help"]).output


def test_a_new_process_is_asked() -> None:
    """The real thing: what it says, what it prints beside, and how it fails."""
    assert module._fresh("print('noise'); say(a=[1, 2])") == ({"a": [1, 2]}, "")
    assert module._fresh("import no_such_module") == (
        {},
        "importing it fails: ModuleNotFoundError: No module named 'no_such_module'; install it again",
    )
    assert module._fresh("raise SystemExit(3)")[1] == (
        "importing it fails: it ended with exit status 3; install it again"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("verl") is None,
    reason="verl is not installed here; `make test-peers` has it",
)
def test_the_real_verl_is_found() -> None:
    found, problem = module._fresh(module.VERL)
    assert problem == ""
    assert {"gae", "grpo", "rloo"} <= set(found["estimators"])
    loaded = "levelhead_rloo" in found["estimators"]
    assert loaded == (found["reason"] == "")
