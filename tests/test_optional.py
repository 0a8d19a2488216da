"""The helper for optional dependencies tells a missing package from a broken one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levelhead._optional import optional_import
from levelhead.errors import MissingDependencyError


def test_an_installed_module_is_returned_itself() -> None:
    assert optional_import("json", "reading JSON", "train") is json


@pytest.mark.parametrize("module", ["levelhead_no_such_module", "levelhead_no_such_module.part"])
def test_a_missing_module_names_the_feature_and_the_command(module: str) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        optional_import(module, "training", "train")
    assert str(caught.value) == (
        "training needs an optional dependency; install it with: pip install 'levelhead[train]'"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_broken_installation_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "levelhead_broken_module.py").write_text("import levelhead_no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="levelhead_no_such_module") as caught:
        optional_import("levelhead_broken_module", "training", "train")
    assert not isinstance(caught.value, MissingDependencyError)
