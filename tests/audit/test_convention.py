"""The conventions and what they choose."""

from __future__ import annotations

import pytest

from levelhead.audit.convention import CONVENTIONS, convention
from levelhead.errors import InvalidInputError


def test_what_the_conventions_choose() -> None:
    chosen = {c.name: (c.n_bins, c.closed, c.edges, c.missing) for c in CONVENTIONS.values()}
    assert chosen == {
        "levelhead": (10, "right", "decimal", "assert"),
        "paper_compat": (10, "right", "decimal", "drop"),
        "rlcr": (10, "left", "float", "zero"),
    }


def test_unknown() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'paper_compat'"):
        convention("paper-compat")
