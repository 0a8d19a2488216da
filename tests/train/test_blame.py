"""One sentence for whatever a user's function raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelhead._registry import load_callable
from levelhead.errors import ConfigError
from levelhead.train._blame import Blamed

SOURCE = """
import json

def shallow(text):
    return text["score"]

def deep(text):
    return json.loads(text)

def silent(text):
    raise ValueError
"""


def blamed() -> Blamed:
    return Blamed("reward f", given="2 texts", advice="look at it")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shallow", r"the function raised TypeError: .* at .*own.py:5, given 2 texts; look at it"),
        ("deep", r"the function raised JSONDecodeError: .* at .*own.py:8, given"),
        ("silent", r"the function raised ValueError at .*own.py:11, given"),
    ],
)
def test_the_users_own_line_is_named(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SOURCE)
    function = load_callable(f"{tmp_path / 'own.py'}:{name}")
    with pytest.raises(ConfigError, match=f"^reward f: {said}") as caught, blamed():
        function("no json")
    assert type(caught.value.__cause__).__name__ in said


def test_what_is_nobodys_fault_passes() -> None:
    with pytest.raises(KeyboardInterrupt), blamed():
        raise KeyboardInterrupt
    with pytest.raises(ConfigError, match="^clear already$"), blamed():
        raise ConfigError("clear already")
    with blamed():
        pass
    what = "it gave no number, which raised"
    expected = pytest.raises(ConfigError, match=f"^reward f: {what} TypeError: ")
    with expected, Blamed("reward f", given="x", advice="y", what=what):
        float([])  # type: ignore[arg-type]
