"""A tiny model that speaks the answer format, made once for all tests of the trainer."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from levelhead.errors import DataWarning
from levelhead.tasks import OracleOptions, make_task
from levelhead.train import embedded

SIZES = {"layers": 2, "hidden": 32, "heads": 2, "kv_heads": 1, "intermediate": 64}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen3 of 2 layers x 32 that answers the oracle task with percentages."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    task = make_task(OracleOptions(train=60, evaluation=20))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # A few malformed answers do not matter here, more practice would cost every run of the tests.
        warnings.simplefilter("ignore", DataWarning)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        folder = embedded.build(task, **SIZES, vocabulary=400, warmup_steps=60)
    torch.set_num_threads(threads)
    return folder
