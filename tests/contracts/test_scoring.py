"""Every scoring rule in the table is proper, or improper in the way that it says."""

from __future__ import annotations

import pytest

from levelhead.scoring import TABLE, ScoringRule
from levelhead.testing import ContractError, check_scoring_rule


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_a_rule_keeps_its_contracts(rule: ScoringRule) -> None:
    check_scoring_rule(
        rule.function, proper=rule.proper, optimum=rule.optimum, flat=rule.flat, name=rule.name
    )


@pytest.mark.parametrize("rule", [r for r in TABLE if not r.proper], ids=lambda rule: rule.name)
def test_an_improper_rule_cannot_pass_for_a_proper_one(rule: ScoringRule) -> None:
    with pytest.raises(ContractError, match=f"^{rule.name}: expected the best prediction"):
        check_scoring_rule(rule.function, flat=rule.flat, name=rule.name)


def test_the_table_holds_both_kinds() -> None:
    assert {rule.proper for rule in TABLE} == {True, False}
    names = [rule.name for rule in TABLE]
    assert len(names) == len(set(names))
