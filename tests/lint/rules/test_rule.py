"""What a rule is, and how the rules are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import levelhead.lint.rules
from levelhead.lint import all_rules
from levelhead.lint.rules import SEVERITIES
from levelhead.lint.rules._rule import blurs, said, spread, unscored, where
from levelhead.lint.settings import Settings, Value


def settings(**values: object) -> Settings:
    return Settings(
        "verl", "a.sh", 1, {k: Value(v, f"a.{k}", str(v), 1) for k, v in values.items()}
    )


def test_every_file_is_a_rule() -> None:
    folder = Path(levelhead.lint.rules.__file__).parent
    files = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")}
    assert {rule.id for rule in all_rules()} == files


def test_the_worst_come_first() -> None:
    ranks = [SEVERITIES.index(rule.severity) for rule in all_rules()]
    assert ranks == sorted(ranks)


def test_how_a_setting_is_quoted() -> None:
    assert said(Value(0, "a.b", "0", 1)) == "a.b=0"
    assert said(Value(0, "--a", "0", 1)) == "--a 0"
    assert said(Value(0, "a", "0", None, True)) == "a is 0 by default"


def test_a_check_of_one_setting() -> None:
    check = where("gae_lambda", lambda value: value < 1, "too small")
    (hit,) = check(settings(gae_lambda=0.5))
    assert (hit.message, hit.at.key, hit.severity) == (
        "a.gae_lambda=0.5: too small",
        "a.gae_lambda",
        None,
    )
    assert not [*check(settings(gae_lambda=1.0)), *check(settings(kl_coef=0.5))]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("correctness", True), ("model", True), ("scoring", False), ("improper", False)],
)
def test_rewards_that_score_no_confidence(kind: str, expected: bool) -> None:
    assert unscored(settings(reward_kind=kind)) is expected
    assert not unscored(settings())  # unknown


def test_a_weight_that_blurs() -> None:
    # exp(-(q - p)^2 / weight) is a normal density of variance weight / 2: 0.04 and 0.01 here.
    check = blurs("kl_coef")
    for weight, wide in ((0.08, "0.20"), (0.02, "0.10")):
        (hit,) = check(settings(kl_coef=weight))
        assert hit.message == (
            f"a.kl_coef={weight}: under a Brier score of weight 1, statements keep a spread of {wide}"
        )
    assert not list(check(settings(kl_coef=0.019)))
    assert not list(check(settings(kl_coef=0.08, reward_kind="model")))


def test_the_spread_under_a_penalty() -> None:
    # exp: the variance of exp(-x^2 / weight) is weight / 2. reverse: weight / (a^2 + x^2) on +-1/2, whose
    # variance is weight - a^2 with 2 weight / a atan(1 / (2 a)) = 1; summed on a fine grid here.
    assert spread(0.02) == pytest.approx(0.1)
    x = np.linspace(-0.5, 0.5, 200_001)
    for weight in (0.001, 0.04, 0.5):
        low, high = 1e-9, 10.0
        for _ in range(100):
            a = (low + high) / 2
            low, high = (a, high) if (weight / (a * a + x * x)).mean() > 1 else (low, a)
        density = weight / (low * low + x * x)
        wanted = np.sqrt((density * x * x).mean())
        assert spread(weight, "reverse") == pytest.approx(wanted, rel=1e-3)
