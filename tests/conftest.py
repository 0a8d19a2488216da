"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the published predictions, which is not part of the product."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LEVELHEAD_DATA", beside))
    if not folder.is_dir():
        pytest.skip(
            f"the published predictions are not at {folder}; set LEVELHEAD_DATA to the folder"
        )
    return folder
