"""The plug-in in a new process, through package metadata that a test writes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from levelhead.adapters import verl_plugin
from levelhead.adapters.verl_estimators import estimators
from levelhead.adapters.verl_plugin import (
    ENTRY_POINT,
    GROUP,
    NAME,
    PLUGIN,
    POLICY,
    why_not_loaded,
)
from levelhead.errors import MissingDependencyError

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make test-peers` has it"
)

FRESH = """
import json, verl
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY as registry
ours = sorted(name for name in registry if name.startswith("levelhead_"))
from levelhead.adapters.verl_plugin import why_not_loaded
print("found:" + json.dumps([ours, why_not_loaded()]))
"""
"""What verl's own import has loaded, before anything of levelhead is imported."""


def metadata(folder: Path, entry_point: str, name: str = NAME) -> Path:
    """Package metadata with one entry point; it comes before what is installed."""
    info = folder / "levelhead-0.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: levelhead\nVersion: 0.0.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {entry_point}\n")
    return folder


def fresh(folder: Path, **variables: str) -> Any:
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("found:")]
    assert lines, done.stderr[-2000:]
    return json.loads(lines[-1].removeprefix("found:"))


def test_the_entry_point_names_what_is_there() -> None:
    point = importlib.metadata.EntryPoint(NAME, ENTRY_POINT, GROUP)
    assert (point.module, point.attr) == (verl_plugin.__name__, "PLUGIN.registered")
    assert type(PLUGIN).registered.fget is not None  # looked up, not called, by verl


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_without_verl_looking_it_up_says_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[verl\]'"):
        _ = PLUGIN.registered
    with pytest.raises(MissingDependencyError, match="the plug-in for verl needs"):
        why_not_loaded()


@pytest.mark.parametrize(
    ("url", "editable", "said"),
    [
        ("file:///home/me/a%20b/levelhead", True, "--no-deps -e '/home/me/a b/levelhead'"),
        ("file:///home/me/levelhead", False, "--force-reinstall --no-deps levelhead"),
        ("https://host/levelhead.zip", False, "--force-reinstall --no-deps levelhead"),
        (None, False, "--force-reinstall --no-deps levelhead"),
    ],
)
def test_it_is_installed_again_as_it_is_installed(
    url: str | None, editable: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = metadata(tmp_path, ENTRY_POINT)
    if url is not None:
        content = json.dumps({"url": url, "dir_info": {"editable": editable}})
        (folder / "levelhead-0.0.0.dist-info" / "direct_url.json").write_text(content)
    monkeypatch.syspath_prepend(str(folder))
    assert verl_plugin._again() == said


@needs_verl
def test_importing_verl_registers_our_estimators(tmp_path: Path) -> None:
    ours, reason = fresh(metadata(tmp_path, ENTRY_POINT))
    assert (ours, reason) == (sorted(estimators()), "")


@needs_verl
@pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs
def test_why_it_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    core: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    registry = dict(core.ADV_ESTIMATOR_REGISTRY)
    monkeypatch.setattr(core, "ADV_ESTIMATOR_REGISTRY", registry)
    monkeypatch.delenv(POLICY, raising=False)
    assert len(PLUGIN.registered) == len(estimators())
    assert why_not_loaded() == ""
    registry["levelhead_rloo"] = registry["rloo"]  # another function under our name

    def known(*points: importlib.metadata.EntryPoint) -> None:
        found = importlib.metadata.EntryPoints(points)
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: found)

    known()
    assert why_not_loaded().startswith(
        "the installed levelhead has no entry point in the group verl.plugins; install it again: pip"
    )
    wrong = ENTRY_POINT.replace("registered", "gone")
    known(importlib.metadata.EntryPoint(NAME, wrong, GROUP))
    assert why_not_loaded().startswith(f"loading {wrong} raises AttributeError: ")
    known(importlib.metadata.EntryPoint(NAME, "levelhead:__version__", GROUP))
    assert why_not_loaded().startswith("verl has not loaded levelhead:__version__, although it can")
    monkeypatch.setenv(POLICY, "other, more")
    assert why_not_loaded() == (
        "VERL_USE_EXTERNAL_PLUGINS=other, more leaves it out; add levelhead to the list, or set auto"
    )
