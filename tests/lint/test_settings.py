"""Settings: values with their places, defaults, and what is not known."""

from __future__ import annotations

import pytest

from levelhead.lint.settings import (
    ADVANTAGES,
    FIELDS,
    Draft,
    Unread,
    Value,
    meant,
    misspelled,
    number,
    slipped,
    truth,
)


def draft(**given: Value | Unread) -> Draft:
    return Draft("trl", "f", 1, given, {"beta": 0.0})


def test_the_file_goes_before_the_default() -> None:
    assert draft().ask("beta") == Value(0.0, "beta", "0.0", None, True)
    assert draft(beta=Value(0.1, "beta", "0.1", 3)).ask("beta") == Value(0.1, "beta", "0.1", 3)
    assert draft().ask("gamma") is None


def test_an_unknown_value_is_not_replaced_by_the_default() -> None:
    one = draft(beta=Unread("beta", "x is not set", 2))
    assert one.number("kl_coef", "beta") is None
    settings = one.done()
    assert settings.get("kl_coef") is None
    assert settings.plain("kl_coef") is None
    assert settings.unread == (Unread("beta", "x is not set", 2),)


def test_a_value_of_the_wrong_kind_is_unread() -> None:
    one = draft(beta=Value("much", "beta", "much", 2), flag=Value("maybe", "flag", "maybe", 3))
    assert one.number("kl_coef", "beta") is None
    assert one.truth("flag") is None
    assert [blank.why for blank in one.done().unread] == [
        "expected a number, got 'much'",
        "expected true or false, got 'maybe'",
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-6", 1e-6), ("1_000", 1000.0), (3, 3.0), (True, None), ("x", None)]
)
def test_numbers(text: object, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize("value", ["9" * 400, 10**400, "nan", "inf", float("inf")])
def test_numbers_that_are_none(value: object) -> None:
    assert number(value) is None


def test_no_default_holds_beside_what_is_hidden() -> None:
    hidden = Unread("$MORE", "it may set anything", 4)
    one = Draft("trl", "f", 1, {"a": Value(1, "a", "1", 2)}, {"beta": 0.0}, hidden)
    assert one.ask("beta") is None
    assert one.ask("a") == Value(1, "a", "1", 2)
    assert [one.blind(key) for key in ("a", "beta")] == [False, True]
    assert one.done().unread == (hidden,)


SLIPS = [
    *(("gpro", "grpo"), ("grop", "grpo"), ("agpo", ""), ("gspo", ""), ("grpo", "")),
    *(
        ("reinforce_plusplus", "reinforce_plus_plus"),
        ("reinforce_plus_pluss", "reinforce_plus_plus"),
    ),
]


@pytest.mark.parametrize(("name", "expected"), SLIPS)
def test_a_slip_in_a_name(name: str, expected: str) -> None:
    assert slipped(name, ["grpo", "rloo", "reinforce_plus_plus"]) == expected


KEYS = [
    *(("a.rolout.n", "a.rollout.n"), ("a.rollout.m", ""), ("rollout.n", ""), ("a.rollout.n.x", "")),
    *(("a.rollotu.n", "a.rollout.n"), ("a.policy.n", "")),
]


@pytest.mark.parametrize(("key", "expected"), KEYS)
def test_a_slip_in_a_key(key: str, expected: str) -> None:
    assert misspelled(key, ["a.rollout.n"]) == expected
    assert meant("breir", ["brier", "log"]) == "brier"


def test_switches() -> None:
    assert [truth(text) for text in ("True", "false", 1, "off", "maybe")] == [
        *(True, False, True, False, None)
    ]


def test_the_words_are_described() -> None:
    assert "plain" in ADVANTAGES
    assert all(FIELDS.values())
