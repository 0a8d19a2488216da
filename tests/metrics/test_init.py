"""`levelhead.metrics` is the one place to import a metric from."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types

import pytest

from levelhead import metrics
from levelhead.metrics._table import Metric

FILES = ("binned", "intervals", "overconfidence", "selective", "tally", "trust", "unbinned")


@pytest.mark.parametrize("file", FILES)
def test_every_public_name_of_a_file_is_here(file: str) -> None:
    module = importlib.import_module(f"levelhead.metrics.{file}")
    names = {name for name in module.__all__ if not name.isupper()}
    assert names
    assert names <= set(metrics.__all__)
    for name in names:
        assert getattr(metrics, name) is getattr(module, name)


def test_no_public_name_is_a_module() -> None:
    for name in metrics.__all__:
        assert not isinstance(getattr(metrics, name), types.ModuleType), name


def test_a_name_stays_the_function_whichever_file_is_imported_first() -> None:
    code = (
        "import levelhead.metrics.trust, levelhead.metrics.overconfidence, levelhead.metrics as m; "
        "print(m.trust([1.0], [1]), m.overconfidence([1.0], [1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0.98 0.0\n"


def test_the_table_is_the_tables_of_the_files() -> None:
    rows: list[Metric] = []
    for file in FILES:
        rows += getattr(importlib.import_module(f"levelhead.metrics.{file}"), "TABLE", ())
    assert list(metrics.TABLE) == rows
    assert {"ece", "brier", "auroc", "trust", "overconfidence"} <= {row.name for row in rows}
