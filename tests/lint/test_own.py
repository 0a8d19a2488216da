"""Our own recipes: read as the trainer reads them."""

from __future__ import annotations

from importlib import resources

from levelhead.advantages import TABLE
from levelhead.lint import check, read_text
from levelhead.lint.own import DEFAULTS, ESTIMATORS
from levelhead.train.config.sections import Algorithm, Critic, Kl, Reward, Rollout

RECIPES = resources.files("levelhead.train") / "recipes"


def test_every_estimator_is_known() -> None:
    assert set(ESTIMATORS) == {*TABLE, "rb_exact", "gae"}
    for name, row in TABLE.items():
        if row.fixed_point == "extremes":
            assert ESTIMATORS[name] in ("group_std", "loo_std", "ranks", "zscore_softmax"), name


def test_defaults_are_the_trainers() -> None:
    sections = {"rollout": Rollout(), "algorithm": Algorithm(), "reward": Reward()}
    inner = {"algorithm.kl.coef": Kl().coef, "algorithm.critic.lam": Critic().lam}
    for key, value in DEFAULTS.items():
        section, _, name = key.partition(".")
        assert value == (inner[key] if key in inner else getattr(sections[section], name)), key


def test_of_our_recipes_only_grpo_is_flagged() -> None:
    flagged = {}
    for file in RECIPES.iterdir():
        if file.name.endswith(".yaml"):
            (settings,) = read_text(file.read_text(encoding="utf-8"), file.name)
            assert settings.tool == "levelhead"
            flagged[file.name] = [one.rule for one in check(settings)]
    assert {name: rules for name, rules in flagged.items() if rules} == {
        "grpo.yaml": ["group-std"],
        "crispr-qwen3-4b-grpo.yaml": ["group-std"],
    }
    assert len(flagged) >= 11


def test_a_function_of_the_users_is_not_judged() -> None:
    (settings,) = read_text("algorithm: {estimator: 'mine.py:fn'}\n", "r.yaml")
    assert settings.plain("advantage") is None
    assert settings.unread[0].why == "'mine.py:fn' is a function of yours; probe it"
