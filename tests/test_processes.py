"""Workers get one thread each, and the environment is left as it was."""

from __future__ import annotations

import os

import pytest

from levelhead._processes import THREADS, single_threaded


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS[0], "7")
    monkeypatch.delenv(THREADS[1], raising=False)
    before = {name: os.environ.get(name) for name in THREADS}

    def interrupted() -> None:
        with single_threaded():
            assert [os.environ[name] for name in THREADS] == ["1"] * len(THREADS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {name: os.environ.get(name) for name in THREADS} == before
