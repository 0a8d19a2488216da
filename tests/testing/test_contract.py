"""What all contract checks share."""

from __future__ import annotations

import pickle

from levelhead.errors import LevelheadError
from levelhead.testing import ContractError


def test_a_contract_error_is_an_assertion_and_pickles() -> None:
    error = ContractError("f: broken")
    assert isinstance(error, AssertionError)
    assert isinstance(error, LevelheadError)
    assert str(pickle.loads(pickle.dumps(error))) == "f: broken"


def test_a_contract_error_shows_its_public_name() -> None:
    assert repr(ContractError).endswith("'levelhead.testing.ContractError'>")
