"""Our estimators in verl's form: by hand, against `levelhead.advantages`, and through verl's registry."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from levelhead import advantages
from levelhead.adapters.verl_estimators import VerlEstimator, estimators, register
from levelhead.errors import ConfigError, InvalidInputError, MissingDependencyError

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make test-peers` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs

FLOAT32 = 2e-6
"""How far a float32 computation on rewards of order 1 may be from the float64 one."""

EPS = 1e-6
NAN = float("nan")
OURS = [name for name, row in advantages.TABLE.items() if row.new is None]


def called(
    name: str,
    rewards: list[list[float]],
    index: list[str] | None,
    mask: list[list[int]] | None = None,
    **options: Any,
) -> list[list[float]]:
    r = torch.tensor(rewards, dtype=torch.float32)
    m = torch.ones(r.shape, dtype=torch.int64) if mask is None else torch.tensor(mask)
    labels = None if index is None else np.array(index, dtype=object)
    config = {"levelhead": options} if options else None
    return VerlEstimator(name)(r, m, labels, config)[0].tolist()


def batch(seed: int = 0, tokens: int = 5) -> dict[str, Any]:
    """12 responses of 3 prompts in mixed order: one reward each, on the last token."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(["a", "b", "c"], [5, 4, 3])).astype(object)
    lengths = draw.integers(1, tokens + 1, size=12)
    mask = np.arange(tokens) < lengths[:, None]
    rewards = np.zeros(mask.shape, dtype=np.float32)
    rewards[np.arange(12), lengths - 1] = draw.normal(size=12)
    return {
        "token_level_rewards": torch.from_numpy(rewards),
        "response_mask": torch.from_numpy(mask.astype(np.int64)),
        "index": labels,
    }


def expected(name: str, given: dict[str, Any], **options: Any) -> Any:
    """The estimator on the rewards of whole responses, spread over their tokens."""
    sums = given["token_level_rewards"].double().sum(1).numpy()
    groups = np.unique(given["index"].astype(str), return_inverse=True)[1]
    one = advantages.TABLE[name].function(sums, groups, **options)
    return one[:, None] * given["response_mask"].numpy()


# ---- without verl


def test_rloo_by_hand() -> None:
    # Rewards 1, 0, 2 of one prompt: 1 - (0+2)/2 = 0, 0 - 1.5, 2 - 0.5; masked tokens get 0.
    rewards, mask = [[0.0, 1.0], [0.0, 0.0], [2.0, 0.0]], [[1, 1], [1, 1], [1, 0]]
    found = called("rloo", rewards, ["a"] * 3, mask)
    assert found == [[0.0, 0.0], [-1.5, -1.5], [1.5, 0.0]]


def test_the_return_of_a_token_is_the_reward_of_its_response() -> None:
    r, m = torch.tensor([[0.5, 1.0], [2.0, 0.0]]), torch.tensor([[1, 1], [1, 0]])
    _, returns = VerlEstimator("rloo")(r, m, np.array(["a", "a"], dtype=object))
    assert returns.tolist() == [[1.5, 1.5], [2.0, 0.0]]


def test_a_group_of_one_and_a_reward_that_is_missing_get_zero() -> None:
    assert called("rloo", [[1.0], [3.0], [5.0]], ["a", "a", "b"]) == [[-2.0], [2.0], [0.0]]
    found = called("rloo", [[1.0], [NAN], [3.0]], ["a", "a", "a"])
    assert found == [[-2.0], [0.0], [2.0]]
    r, m = torch.tensor([[NAN], [3.0]]), torch.ones(2, 1)
    assert VerlEstimator("rloo")(r, m, np.array(["a", "a"]))[1].tolist() == [[0.0], [3.0]]


def test_without_an_index_every_row_is_a_prompt_of_its_own() -> None:
    assert called("rloo", [[1.0], [3.0]], None) == [[0.0], [0.0]]
    assert called("reinforce", [[1.0], [3.0]], None) == [[1.0], [3.0]]


def test_turns_are_compared_with_the_same_turn_of_the_others() -> None:
    # Runs of the mask: row 0 tokens 0-1 and 3, row 1 tokens 0 and 2-3, row 2 token 0 only.
    mask = [[1, 1, 0, 1], [1, 0, 1, 1], [1, 0, 0, 0]]
    rewards = [[0.0, 1.0, 0.0, 4.0], [3.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, 0.0]]
    # First turns earn 1, 3, 2, mean 2; second turns 4 and 2, mean 3.
    wanted = [[-1.0, -1.0, 0.0, 1.0], [1.0, 0.0, -1.0, -1.0], [0.0, 0.0, 0.0, 0.0]]
    assert called("grpo_no_std", rewards, ["a"] * 3, mask, segments="turns") == wanted
    # What lies between two turns (a tool's reward) belongs to the one before.
    rewards[0][1], rewards[0][2] = 0.0, 1.0
    assert called("grpo_no_std", rewards, ["a"] * 3, mask, segments="turns") == wanted
    # As a whole: 5, 5, 2, mean 4.
    whole = [[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0], [-2.0, 0.0, 0.0, 0.0]]
    assert called("grpo_no_std", rewards, ["a"] * 3, mask) == whole


def test_turns_of_different_prompts_stay_apart() -> None:
    mask, rewards = [[1, 0, 1]] * 4, [[1.0, 0.0, 9.0], [3.0, 0.0, 5.0], [0.0] * 3, [8.0, 0.0, 2.0]]
    found = called("grpo_no_std", rewards, ["a", "a", "b", "b"], mask, segments="turns")
    assert found == [[-1.0, 0, 2.0], [1.0, 0, -2.0], [-4.0, 0, -1.0], [4.0, 0, 1.0]]


@pytest.mark.parametrize("name", OURS)
def test_every_estimator_is_that_of_levelhead_on_whole_responses(name: str) -> None:
    for seed in range(5):
        given = batch(seed)
        found, _ = VerlEstimator(name)(**given)
        np.testing.assert_allclose(found.numpy(), expected(name, given), rtol=FLOAT32, atol=FLOAT32)
        assert found.dtype == torch.float32


def test_options_reach_the_estimator() -> None:
    given = batch()
    found, _ = VerlEstimator("grpo")(**given, config={"levelhead": {"eps": 0.5, "ddof": 0}})
    wanted = expected("grpo", given, eps=0.5, ddof=0)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=FLOAT32, atol=FLOAT32)
    assert VerlEstimator("grpo")(**given, config={"gamma": 1.0})[0].shape == (12, 5)


def test_inputs_are_not_written_to_and_the_type_is_kept() -> None:
    given = batch()
    rewards = given["token_level_rewards"].to(torch.bfloat16)
    before = rewards.clone()
    found, returns = VerlEstimator("grpo")(rewards, given["response_mask"], given["index"])
    assert found.dtype == returns.dtype == torch.bfloat16
    assert torch.equal(rewards, before)


def test_an_empty_batch_and_an_empty_response() -> None:
    empty = torch.zeros((0, 3))
    assert VerlEstimator("rloo")(empty, empty, np.array([]))[0].shape == (0, 3)
    found = called("rloo", [[1.0], [3.0]], ["a", "a"], [[1], [0]])
    assert found == [[-2.0], [0.0]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epsilon": 1}, "algorithm.levelhead: expected options of levelhead_rloo, got epsilon"),
        ({"segments": "turn"}, "algorithm.levelhead.segments: expected one of turns, whole, got"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        called("rloo", [[1.0], [3.0]], ["a", "a"], **options)


def test_other_wrong_input_is_refused() -> None:
    ones = torch.ones(2, 2)
    with pytest.raises(ConfigError, match="expected options such as {eps: 1e-4}, got 3"):
        VerlEstimator("rloo")(ones, ones, np.array([0, 0]), {"levelhead": 3})
    with pytest.raises(InvalidInputError, match=r"response_mask: expected shape \(N, T\)"):
        VerlEstimator("rloo")(ones, torch.ones(2, 3), np.array([0, 0]))
    with pytest.raises(InvalidInputError, match="estimator for verl: expected one of .*'ema_std'"):
        VerlEstimator("ema_std")


def test_the_names() -> None:
    assert list(estimators()) == [f"levelhead_{name}" for name in OURS]
    assert len(OURS) == 13
    assert "levelhead_ema_std" not in estimators()
    assert VerlEstimator("rloo") == VerlEstimator("rloo") != VerlEstimator("grpo")


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_without_verl_nothing_can_be_registered() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[verl\]'"):
        register()


# ---- with verl


@pytest.fixture
def core() -> Iterator[Any]:
    """verl's registry with ours in it; what a test adds is taken out again."""
    module: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    before = dict(module.ADV_ESTIMATOR_REGISTRY)
    register()
    yield module
    module.ADV_ESTIMATOR_REGISTRY.clear()
    module.ADV_ESTIMATOR_REGISTRY.update(before)


def settings(**given: Any) -> Any:
    return importlib.import_module("verl.trainer.config").AlgoConfig(**given)


@needs_verl
def test_registering_twice_changes_nothing(core: Any) -> None:
    before = dict(core.ADV_ESTIMATOR_REGISTRY)
    assert register() == tuple(estimators())
    assert before == core.ADV_ESTIMATOR_REGISTRY


@needs_verl
@pytest.mark.parametrize("name", OURS)
def test_verl_resolves_and_calls_every_one_by_its_name(core: Any, name: str) -> None:
    given = batch(3)
    function = core.get_adv_estimator_fn(f"levelhead_{name}")
    found, _ = function(**given, config=settings(adv_estimator=f"levelhead_{name}"))
    np.testing.assert_allclose(found.numpy(), expected(name, given), rtol=FLOAT32, atol=FLOAT32)


BOTH = [
    ("rloo", "rloo", {}),
    ("rloo", "rloo_vectorized", {}),
    ("grpo", "grpo", {"norm_adv_by_std_in_grpo": True}),
    ("grpo_no_std", "grpo", {"norm_adv_by_std_in_grpo": False}),
    ("grpo", "grpo_vectorized", {"norm_adv_by_std_in_grpo": True}),
    ("grpo_no_std", "grpo_vectorized", {"norm_adv_by_std_in_grpo": False}),
]
"""Ours, verl's, and the arguments that make them the same formula."""


@needs_verl
@pytest.mark.parametrize(("ours", "theirs", "options"), BOTH)
def test_an_estimator_that_both_have_is_equal(
    core: Any, ours: str, theirs: str, options: dict[str, Any]
) -> None:
    for seed in range(10):
        given = batch(seed)
        mine, _ = core.get_adv_estimator_fn(f"levelhead_{ours}")(**given, config=settings())
        verls, _ = core.get_adv_estimator_fn(theirs)(**given, **options)
        torch.testing.assert_close(mine, verls, rtol=FLOAT32, atol=FLOAT32)


@needs_verl
def test_the_best_minus_the_second_is_verls_pass_at_k_without_std(core: Any) -> None:
    given = batch(4)
    config = settings(norm_adv_by_std_in_grpo=False)
    mine, _ = core.get_adv_estimator_fn("levelhead_max_at_k")(**given, config=config)
    verls, _ = core.get_adv_estimator_fn("grpo_passk")(**given, config=config)
    torch.testing.assert_close(mine, verls, rtol=FLOAT32, atol=FLOAT32)


@needs_verl
def test_reinforce_pp_is_equal_for_responses_of_one_token(core: Any) -> None:
    # verl whitens tokens, so that longer responses count more often; and it adds 1e-8 to the variance.
    given = batch(5, tokens=1)
    mine, _ = core.get_adv_estimator_fn("levelhead_reinforce_pp")(**given)
    config = settings(gamma=1.0)
    verls, _ = core.get_adv_estimator_fn("reinforce_plus_plus")(**given, config=config)
    torch.testing.assert_close(mine, verls, rtol=1e-5, atol=1e-5)


@needs_verl
def test_gae_is_verls_before_it_whitens(core: Any) -> None:
    given = batch(6)
    mask = given["response_mask"]
    values = torch.from_numpy(np.random.default_rng(0).normal(size=mask.shape).astype(np.float32))
    rewards = given["token_level_rewards"]
    verls, returns = core.get_adv_estimator_fn("gae")(rewards, values, mask, 0.9, 0.8)
    mine = advantages.gae(rewards.numpy(), values.numpy(), mask=mask.numpy(), gamma=0.9, lam=0.8)
    inside = mask.numpy() == 1
    np.testing.assert_allclose(
        mine[inside], (returns - values).numpy()[inside], rtol=1e-5, atol=1e-5
    )
    # Their advantages are ours, shifted and scaled over the tokens of the batch.
    scale = np.sqrt(mine[inside].var(ddof=1) + 1e-8)
    whitened = (mine[inside] - mine[inside].mean()) / scale
    np.testing.assert_allclose(verls.numpy()[inside], whitened, rtol=1e-4, atol=1e-4)


@needs_verl
def test_what_differs_is_as_documented(core: Any) -> None:
    one = torch.ones(3, 1)
    groups = np.array(["a", "a", "b"], dtype=object)
    alone = torch.tensor([[1.0], [3.0], [5.0]])
    for name in ("rloo", "grpo"):
        verls, _ = core.get_adv_estimator_fn(name)(alone.clone(), one, groups)
        mine, _ = core.get_adv_estimator_fn(f"levelhead_{name}")(alone, one, groups)
        assert (float(verls[2]), float(mine[2])) == (pytest.approx(5.0, rel=1e-5), 0.0)
    missing = torch.tensor([[1.0], [NAN], [5.0]])
    verls, _ = core.get_adv_estimator_fn("rloo")(missing.clone(), one, groups)
    assert torch.isnan(verls[0])
    assert (
        core.get_adv_estimator_fn("levelhead_rloo")(missing, one, groups)[0].tolist() == [[0.0]] * 3
    )
    # eps of TRL: 1 / (sqrt(2) + 1e-4) and 1 / (sqrt(2) + 1e-6)
    config = {"levelhead": {"eps": 1e-4}}
    mine, _ = core.get_adv_estimator_fn("levelhead_grpo")(alone, one, groups, config)
    verls, _ = core.get_adv_estimator_fn("grpo")(alone.clone(), one, groups)
    assert float(mine[1]) == pytest.approx(1 / (2**0.5 + 1e-4), abs=FLOAT32)
    assert float(verls[1]) == pytest.approx(1 / (2**0.5 + EPS), abs=FLOAT32)


class StandIn(types.ModuleType):
    """Has every name that a module may import from it."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return dict


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """verl's trainer; empty stand-ins for what it imports, never calls here, and is not installed."""
    for name in ("cachetools", "uvicorn", "fastapi"):
        if importlib.util.find_spec(name) is None:
            monkeypatch.setitem(sys.modules, name, StandIn(name))
    return importlib.import_module("verl.trainer.ppo.ray_trainer")


@needs_verl
@pytest.mark.parametrize("name", OURS)
def test_verls_trainer_computes_our_advantages(core: Any, trainer: Any, name: str) -> None:
    given = batch(7)
    data = importlib.import_module("verl").DataProto.from_dict(
        tensors={
            "token_level_rewards": given["token_level_rewards"],
            "response_mask": given["response_mask"],
        },
        non_tensors={"uid": given["index"]},
    )
    omega = importlib.import_module("omegaconf").OmegaConf
    config = omega.create(
        {"adv_estimator": f"levelhead_{name}", "levelhead": {"segments": "whole"}}
    )
    done = trainer.compute_advantage(data, adv_estimator=config.adv_estimator, config=config)
    found = done.batch["advantages"].numpy()
    np.testing.assert_allclose(found, expected(name, given), rtol=FLOAT32, atol=FLOAT32)
