"""The linear probe against scikit-learn, and that it is not optimistic."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from levelhead.diagnose._truth_probe import fit_probe, truth_probe
from levelhead.errors import InvalidInputError


def world(n: int = 160, topics: int = 16, d: int = 8, seed: int = 0) -> tuple:
    """Truth along one direction, topics along others."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n) % topics
    label = rng.integers(0, 2, n)
    noise = rng.normal(size=(n, d)) + 2 * rng.normal(size=(topics, d))[topic]
    signal = noise.copy()
    signal[:, 0] = (2 * label - 1) + 0.8 * rng.normal(size=n)
    return noise, signal, label, topic


@pytest.mark.parametrize("d", [8, 200])
def test_it_is_the_penalized_logistic_regression(d: int) -> None:
    """With fewer rows than features as well, where it works among the rows."""
    _, x, y, _ = world(n=60, d=d)
    x = x * np.linspace(1, 50, d) + 3
    probe = fit_probe(x, y, c=0.01)
    z = (x - x.mean(0)) / x.std(0)
    other = LogisticRegression(C=0.01, tol=1e-12, max_iter=10_000).fit(z, y)
    assert probe.converged
    assert np.abs(probe.weights - other.coef_[0]).max() < 1e-5
    assert np.abs(probe.predict(x) - other.predict_proba(z)[:, 1]).max() < 1e-5


def test_the_layer_that_knows_is_chosen() -> None:
    noise, signal, y, topic = world()
    steps: list[int] = []
    found = truth_probe([noise, signal], y, topic, names=["11", "12"], on_fit=steps.append)
    assert found.layer == "12"
    assert set(found.layers) == {"12"}
    # Along one direction, normal with spread .8 at -1 and 1: AUROC = Phi(2 / (.8 sqrt 2)) = .961
    assert found.auroc == pytest.approx(0.961, abs=0.05)
    assert (found.low or 0) > 0.8
    assert len(steps) == 5 * 2
    assert found.ece < 0.2


def test_what_it_says_of_a_topic_does_not_depend_on_its_labels() -> None:
    """Flipping a topic's labels leaves its own predictions alone where nothing else of it is used."""
    noise, signal, y, topic = world()
    one = truth_probe([noise, signal], y, topic, n_controls=0, grid=(0.01,))
    flipped = np.where(topic == 3, 1 - y, y)
    other = truth_probe([noise, signal], flipped, topic, n_controls=0, grid=(0.01,))
    assert np.array_equal(one.belief[topic == 3], other.belief[topic == 3])
    assert not np.array_equal(one.belief[topic == 4], other.belief[topic == 4])


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
