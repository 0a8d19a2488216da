"""Which row of a table a hidden state belongs to, and what topic the row is of."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.diagnose.truth._files import HiddenStates, Statements
from levelhead.diagnose.truth._states import row_topics, table_rows
from levelhead.errors import InvalidInputError


def table(ids: tuple[str, ...] | None, topic: tuple[str, ...] | None = None) -> Statements:
    nothing = np.full(4, np.nan)
    return Statements(nothing, nothing, None, ids, None, topic, None, (), ())


def states(ids: tuple[str, ...] | None, topic: tuple[str, ...] | None, n: int = 4) -> HiddenStates:
    return HiddenStates((np.zeros((n, 2)),), ("0",), None, topic, None, ids)


def test_states_are_found_by_prompt() -> None:
    """The first row of a prompt stands for it; a prompt that is not asked has none."""
    found = table_rows(states(("b", "a", "z"), None, 3), table(("a", "b", "a", "c")))
    assert found == [1, 0, -1]
    assert table_rows(states(None, None), table(None)) == [0, 1, 2, 3]


def test_topics_of_rows() -> None:
    ids = ("a", "b", "a", "c")
    assert row_topics(states(("b", "a"), ("x", "y"), 2), table(ids)) == ("y", "x", "y", "")
    assert row_topics(states(None, ("x", "y", "x", "y")), table(ids)) == ("x", "y", "x", "y")
    assert row_topics(states(None, None), table(None, tuple("wxyz"))) == tuple("wxyz")


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInputError, match="hidden states: expected 4 rows, those of the tab"):
        row_topics(states(None, ("x", "y"), 2), table(None))
    with pytest.raises(InvalidInputError, match="expected ids of prompts in the table, got none"):
        table_rows(states(("z",), None, 1), table(("a", "b", "a", "c")))
