from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from levelhead.errors import InvalidInputError
from levelhead.lab.figures.training import TrainingCurve, figure6, training_curve
from levelhead.lab.simulate import History, Run, Trained
from levelhead.lab.world import World

WORLD = World(
    np.array([0.2, 0.8]),
    np.array([0.3, 0.6, 0.5]),
    np.array([0, 0, 0, 1, 1, 1, 1, 1]),
    np.array([0, 0, 1, 1, 1, 1, 0, 1]),
)
MEANS = np.array([[0.5, 0.5, 0.5], [0.3, 0.7, 0.1], [0.8, 0.2, 0.9]])


def trained(history: bool) -> Trained:
    three = np.arange(3.0)
    found = History(np.array([0, 10, 20]), -three, 0.1 * three, three, three, three, MEANS)
    run = Run("grpo", seed=0, updates_per_rollout=10, n_updates=20)
    return Trained(run, np.full((3, 2), 0.5), None, found if history else None, 20)


def pairs_in_order(prediction: list[float]) -> float:
    """P(an event is predicted higher than a non-event), ties half, pair by pair."""
    won, count = 0.0, 0
    for i, event in enumerate(WORLD.outcome):
        for j, other in enumerate(WORLD.outcome):
            if event == 1 and other == 0:
                count += 1
                won += (prediction[i] > prediction[j]) + 0.5 * (prediction[i] == prediction[j])
    return won / count


def test_the_curve_is_scored_question_by_question() -> None:
    curve = training_curve(WORLD, trained(True))
    assert (curve.name, curve.on_policy) == ("grpo", False)
    assert curve.updates.tolist() == [0, 10, 20]
    assert curve.ece.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert curve.reward.tolist() == [0.0, -1.0, -2.0]
    for t, means in enumerate(MEANS):
        said = [float(means[c]) for c in WORLD.category]
        right = [(q > 0.5) == (y == 1) for q, y in zip(said, WORLD.outcome, strict=True)]
        assert curve.accuracy[t] == pytest.approx(sum(right) / len(right))
        assert curve.auroc[t] == pytest.approx(pairs_in_order(said))


def test_a_run_without_a_history_is_refused() -> None:
    with pytest.raises(InvalidInputError) as error:
        training_curve(WORLD, trained(False))
    assert str(error.value) == "trained: expected a history; simulate with record=100 or so"


def test_four_scores_and_a_line_for_each_run(legible: Callable[[Figure], None]) -> None:
    t = np.arange(0, 5000, 1000)
    falling = np.linspace(0.8, 0.5, 5)
    curves = [
        TrainingCurve(name, on_policy, t, 1 - falling, falling, falling, -falling)
        for on_policy in (True, False)
        for name in ("grpo", "grpo_no_std", "rloo", "ppo")
    ]
    figure = figure6(curves)
    legible(figure)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["ECE", "AUROC", "Accuracy", "Reward"]
    assert figure.axes[3].get_ylabel() == "mean log score (nats)"
    below = "updates of the policy"
    assert [ax.get_xlabel() for ax in figure.axes] == ["", "", below, below]
    for ax, expected in zip(figure.axes, (1 - falling, falling, falling, -falling), strict=True):
        assert len(ax.get_lines()) == 8
        for line in ax.get_lines():
            np.testing.assert_allclose(np.asarray(line.get_ydata()), expected)
        dashed = [line.get_linestyle() != "-" for line in ax.get_lines()]
        assert sum(dashed) == 4
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["GRPO", "GRPO, no std", "RLOO", "PPO", "1 update a rollout", "10 updates"]
