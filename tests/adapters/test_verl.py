"""verl's estimators and loss modes against loops and hand-computed cases, its traps by name.

A test of a trap fails when a new verl no longer has it: then its note and the documentation are wrong.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from levelhead import advantages
from levelhead._arrays import FloatArray, IntArray
from levelhead.adapters import verl
from levelhead.adapters._base import PeerEstimator
from levelhead.errors import InvalidInputError, MissingDependencyError

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make leaderboard` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs

FLOAT32 = 2e-6
"""How far a float32 computation on rewards of order 1 may be from the float64 one."""

BUILT_IN = {
    "gae",
    "gdpo",
    "gpg",
    "grpo",
    "grpo_passk",
    "grpo_vectorized",
    "opo",
    "optimal_token_baseline",
    "reinforce_plus_plus",
    "reinforce_plus_plus_baseline",
    "remax",
    "rloo",
    "rloo_vectorized",
    "tir_optimal_token_baseline",
}
WITH_SWITCH = {"gdpo", "grpo", "grpo_passk", "grpo_vectorized"}
WHITENED = ("gae", "gdpo", "reinforce_plus_plus", "reinforce_plus_plus_baseline")
EPS = 1e-6

Loop = Callable[[list[float], list[float]], float]


@pytest.fixture
def registry() -> Iterator[dict[str, Any]]:
    """verl's registry; what a test adds to it is taken out again."""
    core: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    before = dict(core.ADV_ESTIMATOR_REGISTRY)
    yield core.ADV_ESTIMATOR_REGISTRY
    core.ADV_ESTIMATOR_REGISTRY.clear()
    core.ADV_ESTIMATOR_REGISTRY.update(before)


def subject(name: str) -> PeerEstimator:
    return next(one for one in verl.estimators() if one.name == name)


def call(name: str, rewards: list[float], groups: list[int], **options: Any) -> list[float]:
    function = verl.drive(name, **options)
    return function(np.array(rewards), np.array(groups)).tolist()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def std(values: list[float]) -> float:
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))


def loop(rewards: FloatArray, groups: IntArray, one: Callable[[float, list[float]], float]) -> Any:
    """Apply (reward, rewards of its group) -> advantage to every sample."""
    return [
        one(r, [s for s, h in zip(rewards.tolist(), groups.tolist(), strict=True) if h == g])
        for r, g in zip(rewards.tolist(), groups.tolist(), strict=True)
    ]


def whitened(values: list[float]) -> list[float]:
    scale = math.sqrt(std(values) ** 2 + 1e-8)
    return [(v - mean(values)) / scale for v in values]


def centered(r: float, group: list[float]) -> float:
    return r - mean(group) if len(group) > 1 else r


def standardized(r: float, group: list[float]) -> float:
    return (r - mean(group)) / (std(group) + EPS) if len(group) > 1 else r / (1 + EPS)


def leave_one_out(r: float, group: list[float]) -> float:
    n = len(group)
    return r - (sum(group) - r) / (n - 1) if n > 1 else r


def cases(*, singletons: bool, ties: bool = True) -> Iterator[tuple[FloatArray, IntArray]]:
    """Groups of unequal sizes in mixed order, with equal rewards in them."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        sizes = draw.integers(1 if singletons else 2, 6, size=5)
        groups = draw.permutation(np.repeat([9, 4, 40, 0, 7], sizes))
        rewards = (
            draw.choice([0.0, 0.25, 1.0], groups.size) if ties else draw.normal(size=groups.size)
        )
        yield rewards, groups


def matches(name: str, expected: Callable[[FloatArray, IntArray], Any], **options: Any) -> None:
    function = verl.drive(name, **options)
    for ties in (True, False):
        for rewards, groups in cases(singletons=True, ties=ties):
            kept = rewards.copy(), groups.copy()
            got = function(rewards, groups)
            assert got.dtype == np.float64
            np.testing.assert_allclose(got, expected(rewards, groups), rtol=FLOAT32, atol=FLOAT32)
            np.testing.assert_array_equal(got, function(rewards, groups))  # no memory
            assert (rewards == kept[0]).all()
            assert (groups == kept[1]).all()


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
@pytest.mark.parametrize(
    "function", [verl.estimators, verl.aggregations, lambda: verl.drive("grpo")]
)
def test_without_verl_the_error_says_how_to_install_it(function: Callable[[], object]) -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[verl\]'"):
        function()


# ---- which subjects there are


@needs_verl
def test_every_registered_estimator_is_a_subject(registry: dict[str, Any]) -> None:
    found = verl.estimators()
    plain = [one.name for one in found if not one.name.endswith("(no std)")]
    assert plain == [f"verl:{name}" for name in registry]
    assert set(registry) >= BUILT_IN
    assert {one.name for one in found} >= {f"verl:{name}(no std)" for name in WITH_SWITCH}
    assert {one.how for one in found} == {"installed code"}
    assert all(one.version.count(".") >= 1 for one in found)


@needs_verl
def test_every_built_in_estimator_can_be_driven() -> None:
    broken = {one.name: one.reason for one in verl.estimators() if one.call is None}
    assert broken == {}


@needs_verl
def test_what_is_assumed_is_noted() -> None:
    notes = {one.name: one.note for one in verl.estimators()}
    for name in verl.ASSUMED:
        assert (
            "driven with" in notes[f"verl:{name}"] or "critic that says 0" in notes[f"verl:{name}"]
        )


@needs_verl
def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'grpo_vectorized'"):
        verl.drive("grpo_vectorised")


@needs_verl
def test_a_users_registered_estimator_appears_and_is_driven(registry: dict[str, Any]) -> None:
    def half(token_level_rewards: Any, response_mask: Any, index: Any, config: Any) -> Any:
        scores = token_level_rewards.sum(-1, keepdim=True) * response_mask / 2
        token_level_rewards.zero_()  # writes to its input, which is a copy
        return scores, scores

    registry["half"] = half
    found = subject("verl:half")
    assert found.call is not None
    rewards = np.array([1.0, 3.0])
    assert found.call(rewards, np.array([0, 0])).tolist() == [0.5, 1.5]
    assert rewards.tolist() == [1.0, 3.0]
    assert found.note == f"registered by {__name__}"


@needs_verl
def test_an_estimator_that_cannot_be_driven_says_why(registry: dict[str, Any]) -> None:
    class OddError(Exception):
        pass

    def needy(token_level_rewards: Any, response_mask: Any, verdicts: Any, **rest: Any) -> Any:
        return verdicts

    def odd(**inputs: Any) -> Any:
        raise OddError("no\nluck")

    def pooled(token_level_rewards: Any, **rest: Any) -> Any:
        return (token_level_rewards.mean(),)

    def not_a_number(token_level_rewards: Any, **rest: Any) -> Any:
        return (token_level_rewards / 0,)

    registry |= {"needy": needy, "odd": odd, "pooled": pooled, "nan": not_a_number}
    reasons = {one.name: one.reason for one in verl.estimators() if one.call is None}
    assert list(reasons) == ["verl:needy", "verl:odd", "verl:pooled", "verl:nan"]
    assert "TypeError" in reasons["verl:needy"]
    assert "verdicts" in reasons["verl:needy"]
    assert reasons["verl:odd"] == "raises OddError: no luck"
    assert "invalid for input of size 1" in reasons["verl:pooled"]
    assert reasons["verl:nan"] == "returns inf for ordinary rewards"


@needs_verl
def test_no_samples_give_no_advantages() -> None:
    assert call("grpo", [], []) == []


# ---- each estimator against a loop, on groups of all sizes


@needs_verl
@pytest.mark.parametrize("name", ["grpo", "grpo_vectorized"])
def test_grpo_is_the_standardized_reward_with_ddof_1_and_eps_1e_6(name: str) -> None:
    matches(name, lambda r, g: loop(r, g, standardized))
    third = math.sqrt(1 / 3)  # the standard deviation of 1, 0, 0
    expected = [2 / 3 / (third + EPS), -1 / 3 / (third + EPS), -1 / 3 / (third + EPS)]
    assert call(name, [1, 0, 0], [5, 5, 5]) == pytest.approx(expected, rel=FLOAT32)


@needs_verl
def test_the_eps_of_grpo_is_1e_6() -> None:
    """Two rewards 2e-6 apart: half of that over (2e-6 / sqrt 2 + eps)."""
    expected = 1e-6 / (math.sqrt(2) * 1e-6 + 1e-6)
    assert call("grpo", [2e-6, 0], [0, 0]) == pytest.approx([expected, -expected], rel=1e-4)


@needs_verl
def test_grpo_without_std_is_centered() -> None:
    matches("grpo", lambda r, g: loop(r, g, centered), norm_by_std=False)
    expected = [2 / 3, -1 / 3, -1 / 3]
    assert call("grpo", [1, 0, 0], [5, 5, 5], norm_by_std=False) == pytest.approx(expected)


@needs_verl
def test_rloo_leaves_the_own_reward_out() -> None:
    matches("rloo", lambda r, g: loop(r, g, leave_one_out))
    assert call("rloo", [1, 0, 0], [1, 1, 1]) == pytest.approx([1, -0.5, -0.5])


@needs_verl
def test_rloo_vectorized_leaves_the_own_reward_out() -> None:
    def one(r: float, group: list[float]) -> float:
        return leave_one_out(r, group) if len(group) > 1 else 0.0

    matches("rloo_vectorized", lambda r, g: loop(r, g, one))


@needs_verl
def test_opo_is_centered_where_lengths_are_equal() -> None:
    matches("opo", lambda r, g: loop(r, g, centered))


@needs_verl
def test_gpg_scales_with_the_share_of_nonzero_rewards() -> None:
    def expected(rewards: FloatArray, groups: IntArray) -> Any:
        alpha = rewards.size / max(1, np.count_nonzero(rewards))
        return [alpha * a for a in loop(rewards, groups, centered)]

    matches("gpg", expected)
    # two of four rewards are not zero: all is doubled, and the group of one keeps its 3, doubled
    assert call("gpg", [1, 0, 0, 3], [0, 0, 0, 1]) == pytest.approx([4 / 3, -2 / 3, -2 / 3, 6])


@needs_verl
@pytest.mark.parametrize("name", ["gae", "reinforce_plus_plus"])
def test_gae_without_a_critic_and_reinforce_plus_plus_are_whitened_rewards(name: str) -> None:
    matches(name, lambda r, g: whitened(r.tolist()))
    # mean 1, deviations 0 -1 -1 2, variance 6 / 3
    expected = [0, -1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)]
    assert call(name, [1, 0, 0, 3], [0, 0, 1, 1]) == pytest.approx(expected, abs=FLOAT32)


@needs_verl
def test_gae_with_a_critic_is_the_whitened_reward_minus_its_value() -> None:
    value = {4: 0.5, 2: 2.0}

    def critic(rewards: FloatArray, groups: IntArray) -> FloatArray:
        return np.array([value[g] for g in groups.tolist()])

    # 1 - .5, 0 - .5, 3 - 2, 2 - 2 = .5, -.5, 1, 0: mean .25, squares 1.25 above it
    scale = math.sqrt(1.25 / 3)
    expected = [0.25 / scale, -0.75 / scale, 0.75 / scale, -0.25 / scale]
    got = call("gae", [1, 0, 3, 2], [4, 4, 2, 2], inputs={"values": critic})
    assert got == pytest.approx(expected, rel=FLOAT32)


@needs_verl
@pytest.mark.parametrize("constant", [-3.0, 0.5])
def test_a_constant_critic_of_gae_changes_nothing(constant: float) -> None:
    rewards, groups = [1.0, 0.25, 3.0], [0, 0, 1]
    got = call("gae", rewards, groups, inputs={"values": lambda r, g: np.full(r.size, constant)})
    assert got == pytest.approx(call("gae", rewards, groups), abs=FLOAT32)


@needs_verl
def test_reinforce_plus_plus_baseline_is_centered_and_whitened() -> None:
    matches("reinforce_plus_plus_baseline", lambda r, g: whitened(loop(r, g, centered)))


@needs_verl
def test_gdpo_is_grpo_and_whitened() -> None:
    matches("gdpo", lambda r, g: whitened(loop(r, g, standardized)))


@needs_verl
def test_remax_subtracts_what_it_is_given() -> None:
    matches("remax", lambda r, g: r.tolist())
    greedy = {"reward_baselines": lambda r, g: np.where(g == 0, 0.5, 2.0)}
    assert call("remax", [1, 0, 3], [0, 0, 1], inputs=greedy) == [0.5, -0.5, 1.0]


@needs_verl
@pytest.mark.parametrize(("norm", "scale"), [(False, 1.0), (True, 1 / (math.sqrt(7 / 48) + EPS))])
def test_pass_at_k_rewards_the_best_by_its_lead(norm: bool, scale: float) -> None:
    """1, 1/4, 1/2: mean 7/12, squares 25 + 16 + 1 over 144, variance 42 / 144 / 2 = 7 / 48."""
    got = call("grpo_passk", [0.25, 1, 0.5], [3, 3, 3], norm_by_std=norm)
    assert got == pytest.approx([0, 0.5 * scale, 0], rel=FLOAT32)
    assert call("grpo_passk", [1, 1, 0], [3, 3, 3], norm_by_std=norm) == [0, 0, 0]


@needs_verl
@pytest.mark.parametrize("name", ["optimal_token_baseline", "tir_optimal_token_baseline"])
def test_the_optimal_token_baselines_weigh_by_token_probabilities(name: str) -> None:
    matches(name, lambda r, g: loop(r, g, centered))  # equal weights: the group mean
    # probabilities 1/2 and 1/4, squares that sum to 1/2: weights 1/2 and 1, baseline 1/3
    inputs = {
        "old_log_probs": lambda r, g: np.log([0.5, 0.25]),
        "sum_pi_squared": lambda r, g: np.full(2, 0.5),
    }
    assert call(name, [1, 0], [0, 0], inputs=inputs) == pytest.approx([2 / 3, -1 / 3], rel=1e-5)


# ---- traps


@needs_verl
@pytest.mark.parametrize(
    "name",
    [
        "grpo",
        "grpo_vectorized",
        "rloo",
        "opo",
        "optimal_token_baseline",
        "tir_optimal_token_baseline",
    ],
)
def test_a_group_of_one_keeps_its_raw_reward(name: str) -> None:
    assert call(name, [5, 1, 0], [0, 1, 1])[0] == pytest.approx(5, rel=2 * EPS)


@needs_verl
def test_a_group_of_one_gets_nothing_from_rloo_vectorized() -> None:
    assert call("rloo_vectorized", [5, 1, 0], [0, 1, 1]) == pytest.approx([0, 1, -1])


@needs_verl
def test_a_group_of_one_is_an_error_for_pass_at_k() -> None:
    with pytest.raises(ValueError, match="at least 2 samples per group"):
        call("grpo_passk", [5, 1, 0], [0, 1, 1])


@needs_verl
@pytest.mark.parametrize("name", WHITENED)
def test_whitens_over_the_batch(name: str) -> None:
    function = verl.drive(name)
    for rewards, groups in cases(singletons=False, ties=False):
        for scale in (1.0, 100.0):
            got = function(scale * rewards, groups)
            assert got.mean() == pytest.approx(0, abs=1e-5)
            assert got.std(ddof=1) == pytest.approx(1, abs=1e-4)


@needs_verl
@pytest.mark.parametrize("name", ["grpo_vectorized", "gdpo"])
def test_the_switch_for_the_standard_deviation_is_ignored(name: str) -> None:
    rewards, groups = [1.0, 0.0, 0.25, 7.0, 3.0], [0, 0, 0, 1, 1]
    assert call(name, rewards, groups, norm_by_std=False) == call(name, rewards, groups)
    assert "changes nothing" in subject(f"verl:{name}(no std)").note
    assert "changes nothing" not in subject(f"verl:{name}").note


@needs_verl
@pytest.mark.parametrize("name", ["grpo", "grpo_passk"])
def test_the_switch_for_the_standard_deviation_works(name: str) -> None:
    assert "changes nothing" not in subject(f"verl:{name}(no std)").note


@needs_verl
def test_a_missing_reward_is_not_known_to_verl() -> None:
    assert np.isnan(call("grpo", [math.nan, 1, 0, 1], [0, 0, 1, 1])).tolist() == [
        True,
        True,
        False,
        False,
    ]


@needs_verl
def test_the_defaults_are_gae_and_the_standard_deviation() -> None:
    config: Any = importlib.import_module("verl.trainer.config").AlgoConfig()
    assert (config.adv_estimator, config.norm_adv_by_std_in_grpo) == ("gae", True)
    assert (config.gamma, config.lam) == (1.0, 1.0)


# ---- ours and theirs


OURS: list[tuple[str, dict[str, Any], Callable[..., FloatArray], dict[str, Any]]] = [
    ("grpo", {}, advantages.grpo, {"eps": 1e-6}),
    ("grpo_vectorized", {}, advantages.grpo, {"eps": 1e-6}),
    ("grpo", {"norm_by_std": False}, advantages.grpo_no_std, {}),
    ("rloo", {}, advantages.rloo, {}),
    ("rloo_vectorized", {}, advantages.rloo, {}),
    ("opo", {}, advantages.grpo_no_std, {}),
    ("optimal_token_baseline", {}, advantages.grpo_no_std, {}),
    ("remax", {}, advantages.reinforce, {}),
    ("grpo_passk", {"norm_by_std": False}, advantages.max_at_k, {}),
    ("reinforce_plus_plus", {}, advantages.reinforce_pp, {}),
]


@needs_verl
@pytest.mark.parametrize(("name", "options", "ours", "settings"), OURS)
def test_ours_is_theirs(
    name: str, options: dict[str, Any], ours: Callable[..., FloatArray], settings: dict[str, Any]
) -> None:
    function = verl.drive(name, **options)
    for ties in (True, False):
        for rewards, groups in cases(singletons=False, ties=ties):
            expected = ours(rewards, groups, **settings)
            np.testing.assert_allclose(function(rewards, groups), expected, rtol=5e-6, atol=5e-6)


# ---- loss aggregation


def share(lengths: list[int], mode: str, width: int) -> list[float]:
    """What a token of each sequence counts, from the name of the mode."""
    n = len(lengths)
    return [
        {
            "token-mean": 1 / sum(lengths),
            "token-sum": 1.0,
            "seq-mean-token-sum": 1 / n,
            "seq-mean-token-sum-norm": 1 / n / width,
            "seq-mean-token-mean": 1 / n / length,
        }[mode]
        for length in lengths
    ]


@needs_verl
@pytest.mark.parametrize("mode", verl.MODES)
def test_weights_of_a_mode(mode: str) -> None:
    found = {one.name: one for one in verl.aggregations(max_length=16)}
    one = found[f"verl:{mode}"]
    assert one.weights is not None
    assert (one.how, one.reason) == ("installed code", "")
    for lengths in ([1, 2, 5], [16, 1], [3], [4, 4, 4, 4]):
        got = one.weights(np.array(lengths))
        np.testing.assert_allclose(got, share(lengths, mode, 16), rtol=1e-7)


@needs_verl
def test_the_weights_give_the_loss_of_any_token_losses() -> None:
    torch: Any = importlib.import_module("torch")
    core: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    draw = np.random.default_rng(1)
    lengths, width = np.array([1, 7, 3]), 9
    losses = draw.normal(size=(3, width))
    mask = np.arange(width) < lengths[:, None]
    for one in verl.aggregations(max_length=width):
        assert one.weights is not None
        loss = core.agg_loss(
            loss_mat=torch.tensor(losses),
            loss_mask=torch.tensor(mask).long(),
            loss_agg_mode=one.name.removeprefix("verl:"),
        )
        expected = (one.weights(lengths) * (losses * mask).sum(axis=1)).sum()
        assert loss.item() == pytest.approx(expected, rel=1e-7)


@needs_verl
def test_the_modes_are_those_that_the_actor_allows() -> None:
    """A mode that a new verl adds must be added to `MODES`."""
    actor: Any = importlib.import_module("verl.workers.config.actor")
    source = importlib.import_module("inspect").getsource(actor.ActorConfig.__post_init__)
    listed = source.partition("valid_loss_agg_modes = [")[2].partition("]")[0]
    assert set(listed.replace('"', "").replace(",", " ").split()) == set(verl.MODES)


@needs_verl
def test_a_mode_that_verl_refuses_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verl, "MODES", ("token-mean", "token-median"))
    good, bad = verl.aggregations()
    assert good.weights is not None
    assert (bad.weights, bad.reason) == (
        None,
        "raises ValueError: Invalid loss_agg_mode: token-median",
    )


@needs_verl
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 5], r"lengths: expected values in 1\.\.4, got 5 at index 1; a longer one needs"),
        ([0], r"lengths: expected values in 1\.\.4, got 0 at index 0"),
        ([], r"lengths: expected one or more whole numbers \(B,\), got float64 \(0,\)"),
        ([[1]], r"lengths: expected one or more whole numbers \(B,\), got int64 \(1, 1\)"),
    ],
)
def test_lengths_that_cannot_be(lengths: Any, message: str) -> None:
    one = verl.aggregations(max_length=4)[0]
    assert one.weights is not None
    with pytest.raises(InvalidInputError, match=message):
        one.weights(np.array(lengths))
