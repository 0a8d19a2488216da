"""verl's plug-in: the entry point of the group `verl.plugins`, which verl loads when it is imported.

verl loads an entry point and does not call it. Importing a module of ours does nothing, so the entry
point is an attribute that registers when it is looked up:

    [project.entry-points."verl.plugins"]
    levelhead = "levelhead.adapters.verl_plugin:PLUGIN.registered"

Whatever goes wrong while a plug-in is loaded is logged by verl at the level DEBUG, and verl goes on
without it; `levelhead doctor` tells.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import urllib.parse
import urllib.request
from typing import Any, cast

from levelhead._optional import optional_import
from levelhead.adapters._base import Attempt
from levelhead.adapters.verl_estimators import estimators, register

__all__ = ["ENTRY_POINT", "GROUP", "NAME", "PLUGIN", "POLICY", "Plugin", "why_not_loaded"]

GROUP = "verl.plugins"
"""The group of entry points that verl loads, unless VERL_USE_EXTERNAL_PLUGINS says otherwise."""

NAME = "levelhead"
"""The entry point's name, which VERL_USE_EXTERNAL_PLUGINS must list where it lists any."""

POLICY = "VERL_USE_EXTERNAL_PLUGINS"
"""The variable by which a user tells verl which plug-ins to load: auto, none, or a list of names."""

ENTRY_POINT = "levelhead.adapters.verl_plugin:PLUGIN.registered"
"""What the entry point names."""


class Plugin:
    """What verl finds behind the entry point."""

    @property
    def registered(self) -> tuple[str, ...]:
        """The names under which our estimators are in verl's registry, where they now are."""
        return register()


PLUGIN = Plugin()


def why_not_loaded() -> str:
    """Why verl does not have our estimators, after it has been imported in this process.

    Returns:
        One sentence with what to do; "" where verl's registry resolves every one of them.

    Raises:
        MissingDependencyError: verl is not installed.

    Edge cases: another function under one of our names counts as missing.
    """
    core = optional_import("verl.trainer.ppo.core_algos", "the plug-in for verl", "verl")
    found, registry = estimators(), core.ADV_ESTIMATOR_REGISTRY
    if all(registry.get(name) == estimator for name, estimator in found.items()):
        return ""
    policy = os.environ.get(POLICY, "auto").strip().lower()
    if policy != "auto" and NAME not in (name.strip() for name in policy.split(",")):
        return f"{POLICY}={policy} leaves it out; add {NAME} to the list, or set auto"
    points = [p for p in importlib.metadata.entry_points(group=GROUP) if p.name == NAME]
    if not points:
        return (
            f"the installed levelhead has no entry point in the group {GROUP}; install it again: "
            f"pip install {_again()}"
        )
    with Attempt() as attempt:
        points[0].load()
    if attempt.reason:
        return f"loading {points[0].value} {attempt.reason}"
    return f"verl has not loaded {points[0].value}, although it can be; use verl 0.9 or newer"


def _again() -> str:
    """What pip is told to install levelhead as it is installed; from a checkout, that checkout."""
    try:
        text = importlib.metadata.distribution(NAME).read_text("direct_url.json")
        found: Any = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        found = {}
    source = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    url = urllib.parse.urlsplit(str(source.get("url", "")))
    if url.scheme == "file" and source.get("dir_info", {}).get("editable"):
        return f"--no-deps -e {shlex.quote(urllib.request.url2pathname(url.path))}"
    return f"--force-reinstall --no-deps {NAME}"
