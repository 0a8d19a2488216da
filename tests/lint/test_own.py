"""Our own recipes: read as the trainer reads them."""

from __future__ import annotations

from importlib import resources

import pytest

from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError
from levelhead.lint import check, read_text
from levelhead.lint.own import DEFAULTS, ESTIMATORS, KEYS, SECTIONS
from levelhead.tasks import make_task
from levelhead.train.config.recipe import Recipe
from levelhead.train.config.sections import Algorithm, Critic, Kl, Reward, Rollout
from levelhead.train.reward import Rewarder

RECIPES = resources.files("levelhead.train") / "recipes"


def test_every_estimator_is_known() -> None:
    assert set(ESTIMATORS) == {*TABLE, "rb_exact", "gae"}
    for name, row in TABLE.items():
        if row.fixed_point == "extremes":
            assert ESTIMATORS[name] in ("group_std", "loo_std", "ranks", "zscore_softmax"), name


def test_defaults_are_the_trainers() -> None:
    sections = {"rollout": Rollout(), "algorithm": Algorithm(), "reward": Reward()}
    inner = {f"algorithm.kl.{key}": getattr(Kl(), key) for key in ("coef", "estimator", "place")}
    inner["algorithm.critic.lam"] = Critic().lam
    for key, value in DEFAULTS.items():
        section, _, name = key.partition(".")
        assert value == (inner[key] if key in inner else getattr(sections[section], name)), key


def test_keys_are_the_trainers() -> None:
    sections = {"rollout": Rollout, "algorithm": Algorithm, "reward": Reward}
    assert {name: set(one.model_fields) for name, one in sections.items()} == {
        name: set(keys) for name, keys in KEYS.items()
    }
    assert set(Recipe.model_fields) == SECTIONS


@pytest.mark.parametrize("name", ["correctness", "rlcr", "brier", "spherical", "log", "trust"])
@pytest.mark.parametrize("eta", [0.01, 0.1, 0.001])
def test_the_floor_is_judged_as_the_trainer_judges_it(name: str, eta: float) -> None:
    weight = 0.5 if name == "rlcr" else 1.0
    task = make_task({"kind": "arithmetic" if name in ("correctness", "rlcr") else "oracle"})
    low = Rewarder(name, task=task, weight=weight, eta=eta).low
    for floor, flagged in ((low, False), (low - 0.01, False), (low + 0.01, True)):
        told = f"rule: {name}, eta: {eta}, weight: {weight}, floor: {floor!r}"
        (settings,) = read_text(f"rollout: {{group_size: 8}}\nreward: {{{told}}}\n", "r.yaml")
        assert ("format-floor" in {one.rule for one in check(settings)}) is flagged, floor
        if flagged:
            with pytest.raises(InvalidInputError, match="floor"):
                Rewarder(name, task=task, weight=weight, eta=eta, floor=floor)


def test_names_and_keys_that_are_misspelled() -> None:
    text = (
        "steps: 1\nstepz: 2\ntask: {kind: arithmetic}\nalgorithm: {estimator: grop, kl_coef: 0}\n"
    )
    (settings,) = read_text(text, "r.yaml")
    (found,) = check(settings)
    assert (found.rule, found.severity, found.line) == ("unknown-name", "error", 4)
    assert "did you mean 'grpo'?" in found.message
    assert {one.key: one.why.partition("; ")[2] for one in settings.unread} == {
        "stepz": "did you mean steps?",
        "algorithm.kl_coef": "",
    }


@pytest.mark.parametrize(
    ("kl", "form"),
    [("", "reverse"), ("estimator: k2, ", "exp"), ("estimator: k1, place: reward, ", "exp")],
)
def test_what_a_kl_penalty_leads_to(kl: str, form: str) -> None:
    (settings,) = read_text(f"algorithm: {{estimator: rloo, kl: {{{kl}coef: 0.1}}}}\n", "r.yaml")
    assert settings.plain("kl_form") == form


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
