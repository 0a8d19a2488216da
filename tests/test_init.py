"""The package itself: its version, and submodules that load when they are first used."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

import levelhead

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert levelhead.__version__ == project["version"]


def test_every_public_submodule_exists_and_loads() -> None:
    names = [name for name in dir(levelhead) if not name.startswith("_")]
    assert {"metrics", "scoring", "readers", "audit", "testing"} <= set(names)
    for name in names:
        assert getattr(levelhead, name) is importlib.import_module(f"levelhead.{name}")


def test_another_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'levelhead' has no attribute 'metric'"):
        levelhead.metric  # noqa: B018
