"""The linear probe against scikit-learn, and that it is not optimistic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from levelhead.diagnose.truth import _probe
from levelhead.diagnose.truth._probe import _wins, n_searches, truth_probe
from levelhead.errors import InvalidInputError
from levelhead.metrics import auroc


def world(n: int = 160, topics: int = 16, d: int = 8, seed: int = 0) -> tuple:
    """Truth along one direction, topics along others."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n) % topics
    label = rng.integers(0, 2, n)
    noise = rng.normal(size=(n, d)) + 2 * rng.normal(size=(topics, d))[topic]
    signal = noise.copy()
    signal[:, 0] = (2 * label - 1) + 0.8 * rng.normal(size=n)
    return noise, signal, label, topic


def test_the_layer_that_knows_is_chosen() -> None:
    noise, signal, y, topic = world()
    steps: list[int] = []
    found = truth_probe([noise, signal], y, topic, names=["11", "12"], on_fit=steps.append)
    assert found.layer == "12"
    assert set(found.layers) == {"12"}
    # Along one direction, normal with spread .8 at -1 and 1: AUROC = Phi(2 / (.8 sqrt 2)) = .961
    assert found.auroc == pytest.approx(0.961, abs=0.05)
    assert (found.low or 0) > 0.8
    # Five folds of two layers, then the truth and three controls at the one chosen.
    assert sum(steps) == n_searches(2) == 5 * (2 + 1 + 3)
    assert found.ece < 0.2


def test_what_it_says_of_a_topic_does_not_depend_on_its_labels() -> None:
    """Flipping a topic's labels leaves its own predictions alone where nothing else of it is used."""
    noise, signal, y, topic = world()
    one = truth_probe([noise, signal], y, topic, n_controls=0, grid=(0.01,))
    flipped = np.where(topic == 3, 1 - y, y)
    other = truth_probe([noise, signal], flipped, topic, n_controls=0, grid=(0.01,))
    # All beliefs are at the share of true of all rows, one number for everyone.
    share = logit(flipped.mean()) - logit(y.mean())
    moved = logit(other.belief) - logit(one.belief) - share
    assert np.abs(moved[topic == 3]).max() < 1e-9
    assert np.abs(moved[topic == 4]).max() > 1e-3


def test_states_that_say_nothing_make_nobody_contrary() -> None:
    """Topics with shares of true of their own: each fold's belief would fall where its share rises.

    Topic k of 10 has share k / 9, states are noise, claims are the truth: r is 0 but for noise. The
    fold's two topics are in no other fold, so their share is missing in the share of the others, and
    with a belief at that share r would be about -(sd of the folds' share) / (sd of truth) = -.4.
    """
    rng = np.random.default_rng(0)
    found = []
    for seed in range(6):
        topic = np.arange(400) % 10
        y = (rng.random(400) < topic / 9).astype(float)
        noise = rng.normal(size=(400, 3))
        belief = truth_probe([noise], y, topic, grid=(1e-3,), n_controls=0, seed=seed).belief
        found.append(np.corrcoef(belief, y)[0, 1])
    # One r has a spread of about .07, and the mean of 6 of .03.
    assert abs(np.mean(found)) < 0.15


def test_one_kind_in_the_other_topics_is_no_belief() -> None:
    """Where the training topics hold one kind alone, the probe has nothing to say and says no 0 or 1."""
    y = np.zeros(40)
    y[:2] = 1
    found = truth_probe(
        [np.random.default_rng(0).normal(size=(40, 2))], y, np.arange(40) // 2, n_controls=0
    )
    assert found.belief[:2] == pytest.approx(0.05)


def test_pairs_between_topics_by_a_slow_loop() -> None:
    rng = np.random.default_rng(3)
    p, y, topic = rng.random(40).round(1), rng.integers(0, 2, 40).astype(float), np.arange(40) % 5
    slow = np.zeros((5, 5))
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            slow[topic[i], topic[j]] += 1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0
    assert np.array_equal(_wins(p, y, topic, 5), slow)


def test_the_interval_is_seldom_wrong_of_states_that_say_nothing() -> None:
    """Level 5%: of 30 repeats more than 6 are below 0.1%."""
    missed = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
        found = truth_probe([x], y, np.arange(60) % 30, grid=(0.1,), n_controls=0, seed=seed)
        missed += not (found.low or 0) <= 0.5 <= (found.high or 1)
    assert missed <= 6


def test_each_topic_counts_as_test_and_as_training() -> None:
    """The sum of m_a m_b over pairs of folds spreads sqrt(2) as much as with each m_b given."""
    m = np.random.default_rng(0).normal(size=(20_000, 5, 8))
    others = m.sum(axis=1, keepdims=True) - m
    given = np.sqrt((others**2).sum(axis=(1, 2)).mean())
    assert (m * others).sum(axis=(1, 2)).std() / given == pytest.approx(np.sqrt(2), rel=0.02)
    # The interval is as much wider than that of AUROCs whose topics are resampled, one by one.
    rng = np.random.default_rng(1)
    topic = np.arange(200) % 20
    belief = 0.9 * rng.random(20)[topic] + 0.1 * rng.random(200)
    y = (rng.random(200) < rng.beta(0.5, 0.5, 20)[topic]).astype(float)
    run = _probe._Run(belief, topic % 5, ("0",), (1.0,), True)
    _, low, high = _probe._area(run, y, topic, 0.95, np.random.default_rng(2))
    draws = []
    for _ in range(400):
        times = np.bincount(rng.integers(0, 20, 20), minlength=20)[topic].astype(float)
        folds = [times * (topic % 5 == k) for k in range(5)]
        folds = [w for w in folds if w @ y and w @ (1 - y)]
        areas = [auroc(belief, y, weights=w) for w in folds]
        draws.append(np.average(areas, weights=[(w @ y) * (w @ (1 - y)) for w in folds]))
    # 95% of a normal law are 3.92 spreads; t with 19 degrees and 20 / 19 make them 4.29.
    expected = np.sqrt(2) * 4.29 * np.std(draws)
    assert (high or 0) - (low or 0) == pytest.approx(expected, rel=0.15)


def test_few_topics_have_no_interval() -> None:
    """A fold of one topic has one AUROC however often it is drawn: resampling it shows no spread."""
    _, signal, y, topic = world(n=84, topics=7)
    few = truth_probe([signal], y, topic, n_controls=0, grid=(0.1,))
    assert few.auroc is not None
    assert (few.low, few.high) == (None, None)
    assert truth_probe([signal], y, np.arange(84) % 8, n_controls=0, grid=(0.1,)).low is not None


def test_an_interrupt_in_the_control_task_keeps_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    _, signal, y, topic = world()
    whole = truth_probe([signal], y, topic)
    monkeypatch.setattr(_probe, "_control", stop)
    steps: list[int] = []
    found = truth_probe([signal], y, topic, on_fit=steps.append)
    assert found.interrupted
    assert not whole.interrupted
    assert found.selectivity is None
    assert (found.auroc, found.low, found.high) == (whole.auroc, whole.low, whole.high)
    assert sum(steps) == n_searches(1)


def test_the_layer_is_chosen_on_topics_not_fitted() -> None:
    """A layer that knows its topics fits labels of topics and fails on others: the humble one wins."""
    rng = np.random.default_rng(5)
    topic = np.arange(240) % 24
    y = (rng.random(240) < np.where(topic % 2, 0.9, 0.1)).astype(float)
    memory = 20 * np.eye(24)[topic] + 0.01 * rng.normal(size=(240, 24))
    humble = (y + rng.normal(size=240))[:, None]
    for layers, best in (([memory, humble], "1"), ([humble, memory], "0")):
        found = truth_probe(layers, y, topic, n_controls=0, grid=(1.0,))
        assert set(found.layers) == {best}


def test_many_layers_of_noise_look_like_chance() -> None:
    """The best of 10 by hindsight would look better than chance; chosen without the test, none does."""
    areas = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        layers = [rng.normal(size=(80, 4)) for _ in range(10)]
        y = rng.integers(0, 2, 80)
        found = truth_probe(layers, y, np.arange(80) % 10, grid=(0.1,), n_controls=0, seed=seed)
        areas.append(found.auroc or 0)
    # An AUROC of 80 rows in 5 folds has a spread of about .07: the mean of 5, of .03.
    assert abs(np.mean(areas) - 0.5) < 0.08


def test_selectivity_tells_memory_from_truth() -> None:
    """A state that only knows its topic memorizes any label of topics: no selectivity."""
    rng = np.random.default_rng(1)
    topic = np.arange(120) % 8
    only_topic = np.eye(8)[topic] + 0.05 * rng.normal(size=(120, 8))
    by_topic = (topic < 4).astype(int)
    memory = truth_probe([only_topic], by_topic, topic, grid=(1.0,), n_controls=2)
    assert (memory.control or 0) > 0.95
    assert memory.selectivity == pytest.approx(0.0, abs=0.05)
    _, signal, y, topics = world(d=1)
    real = truth_probe([signal], y, topics, grid=(1.0,), n_controls=2)
    assert (real.selectivity or 0) > 0.25
    alone = truth_probe([signal], y, topics, types=np.arange(160), grid=(1.0,))
    assert alone.selectivity is None


def test_bad_input_is_named() -> None:
    _, x, y, topic = world(n=20, topics=4)
    with pytest.raises(
        InvalidInputError, match="topic: expected at least 4, so that topics can be"
    ):
        truth_probe([x], y, topic % 3)
    with pytest.raises(
        InvalidInputError, match="label: expected both 0 and 1, got one of them only"
    ):
        truth_probe([x], np.ones(20), topic)
    with pytest.raises(InvalidInputError, match="layers: expected at least one"):
        truth_probe([], y, topic)
    with pytest.raises(InvalidInputError, match="layers: expected equally many rows in each"):
        truth_probe([x, x[:5]], y, topic)
    x[3, 2] = np.nan
    words = (
        r"layers\[0\]: expected finite numbers, got some others in row "
        r"3"
    )
    with pytest.raises(InvalidInputError, match=words):
        truth_probe([x], y, topic)
