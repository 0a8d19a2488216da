"""Fixtures that every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture
def s3() -> Iterator[Callable[[Path], str]]:
    """Serves the folders in a folder as buckets; gives what an address needs to find the server."""
    servers: list[subprocess.Popen[str]] = []

    def serve(folder: Path) -> str:
        command = [sys.executable, str(Path(__file__).with_name("s3_server.py")), str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        servers.append(server)
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        return f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"

    yield serve
    for server in servers:
        server.kill()
        server.communicate()
