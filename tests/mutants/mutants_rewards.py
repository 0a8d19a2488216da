"""Wrong versions of the rewards."""

from __future__ import annotations

from mutant import Mutant

TARGET = "levelhead.rewards"
TESTS = ["tests/test_rewards.py"]

MUTANTS = [
    Mutant(
        target=TARGET,
        old="return _flipped(scoring.log_loss(confidence, outcome, eta=eta))",
        new="return np.maximum(_flipped(scoring.log_loss(confidence, outcome, eta=0.0)), np.log(eta))",
        why="floors the reward instead of clipping the prediction: 0 is best below p = 0.0268",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return y - weight * _expected(y, one, zero)",
        new="return y + weight * _expected(y, one, zero)",
        why="adds the loss and not the score",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="slope = float(loss(end, np.ones(1))[0] - loss(end, end)[0])",
        new="slope = float(loss(end, np.ones(1))[0])",
        why="takes the range of the loss of a right answer for the slope: log is 1/ln 100",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return 1.0 / slope if slope > 0.0 else math.inf",
        new="return 1.0 if math.isfinite(slope) else 0.0",
        why="every bounded proper rule is safe at weight 1, as the abstract can be read",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="if not force and weight > limit * (1.0 + WEIGHT_TOLERANCE):",
        new="if not force and rule == 'log' and weight > limit:",
        why="only the log rule is thought to be dangerous",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="if not -math.inf < bottom <= low:",
        new="if not -math.inf < bottom <= 0.0:",
        why="a floor of 0 or below looks like a penalty",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="return np.where(ok | np.isnan(r), r, bottom)",
        new="return np.where(ok & ~np.isnan(r), r, bottom)",
        why="punishes a record that nobody could score",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="reward = planted - 0.5 * gold - 0.5 * ~ok",
        new="reward = planted - 0.5 * ~planted - 0.5 * ~ok",
        why="any other answer is punished, not only the right one",
        tests=TESTS,
    ),
    Mutant(
        target=TARGET,
        old="slack = 1e-9 * max",
        new="slack = 1e-2 * max",
        why="a valid reward may fall below the floor by a percent",
        tests=["tests/test_rewards.py::test_a_valid_reward_a_little_below_the_lowest_is_refused"],
    ),
    Mutant(
        target=TARGET,
        old="PROPER_TOLERANCE = 1e-7",
        new="PROPER_TOLERANCE = 1e-3",
        why="a rule that is a little improper passes",
        tests=TESTS,
    ),
]
