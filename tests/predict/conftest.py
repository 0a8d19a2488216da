"""Servers of the tests' own, loaded by their path: the tests' folders are no packages."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import torch

from levelhead.errors import DataWarning
from levelhead.tasks import OracleOptions, Task, make_task
from levelhead.train import embedded

SIZES = {"layers": 1, "hidden": 32, "heads": 2, "kv_heads": 1, "intermediate": 64}


def load(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"predict_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


load("fake")
load("proxy")


@pytest.fixture(scope="session")
def oracle() -> Task:
    return make_task(OracleOptions(train=60, evaluation=30))


@pytest.fixture(scope="session")
def tiny_folder(oracle: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen3 of 1 layer x 32 that mostly says percentages."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(embedded, "EXTRA_ROUNDS", 0)
        folder = embedded.build(oracle, **SIZES, vocabulary=400, warmup_steps=30)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="session")
def transformers_server(tiny_folder: Path) -> Iterator[str]:
    """The base URL of a real OpenAI-compatible server with the tiny model, a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [program, "serve", tiny_folder, *where],
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start within 60 s")
