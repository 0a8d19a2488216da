"""The examples run and print what their headers promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MAX_LINES = 80

EXPECTED = {
    "01_audit_a_classifier.py": r"logistic +ECE 0\.020 .*\nnaive_bayes +ECE 0\.161 .* p = 0\.001",
    "03_guard_a_model.py": (
        r"stated +ECE 0\.281, AUROC 0\.608\nverified +ECE 0\.023, AUROC 0\.966\n"
        r"(?s:.*)kept: \d+ of 1,000"
    ),
    "02_probe_your_estimator.py": r"(?s)centered: calib.*_scale: overconf.*winner_only: lottery",
}


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_prints_what_its_header_says(name: str) -> None:
    path = EXAMPLES / name
    if "sklearn" in path.read_text():
        pytest.importorskip("sklearn")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(EXPECTED[name], done.stdout), done.stdout


@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_short_and_names_its_numbers(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert f"python examples/{name}" in text
    assert "Expected:" in text
