"""The verifier against scikit-learn's logistic regression and boosting, and against obvious loops."""

from __future__ import annotations

import copy
import json
import sys

import numpy as np
import pytest
from scipy import special
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from levelhead.errors import DataWarning, InvalidInputError, MissingDependencyError
from levelhead.guard import _logistic, verifier
from levelhead.guard._logistic import GRID, choose_l2, fit_logistic
from levelhead.guard._trees import exported
from levelhead.guard.splits import folds
from levelhead.guard.verifier import EPS, Verifier, fit_verifier

FIT = 1e-8  # of weights, against scikit-learn
TREES = 1e-12  # of probabilities, against scikit-learn
EXACT = 1e-12
NAMES = ("stated", "agreement", "length")


def world(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features with gaps and labels that follow two of them."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.uniform(0.5, 1.0, n), rng.random(n), rng.normal(5.0, 2.0, n)])
    y = (rng.random(n) < special.expit(4.0 * x[:, 1] - 2.0 + (x[:, 0] - 0.75))).astype(float)
    x[rng.random(n) < 0.2, 0] = np.nan
    x[rng.random(n) < 0.1, 2] = np.nan
    return x, y


def by_hand(x: np.ndarray) -> np.ndarray:
    """The inputs of the world's features, written out."""
    filled = np.where(np.isnan(x), np.nanmedian(x, axis=0), x)
    c = np.clip(filled[:, 0], EPS, 1.0 - EPS)
    gaps = np.isnan(x)
    z = np.column_stack(
        [filled[:, 0], np.log(c / (1.0 - c)), filled[:, 1], filled[:, 2], gaps[:, 0], gaps[:, 2]]
    ).astype(float)
    return (z - z.mean(axis=0)) / z.std(axis=0)


@pytest.mark.parametrize("l2", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_penalized_logistic_regression(l2: float, weighted: bool) -> None:
    x, y = world()
    w = np.random.default_rng(1).uniform(0.0, 3.0, y.size) if weighted else None
    fit = fit_verifier(x, NAMES, y, l2=l2, weights=w)
    z = by_hand(x)
    if weighted:
        raw = np.column_stack([c.raw(x) for c in fit.columns])
        mean = np.average(raw, axis=0, weights=w)
        z = (raw - mean) / np.sqrt(np.average((raw - mean) ** 2, axis=0, weights=w))
    other = LogisticRegression(C=1.0 / l2, tol=1e-13, max_iter=10_000, solver="newton-cholesky")
    other.fit(z, y, sample_weight=w)
    assert fit.converged
    assert fit.l2 == l2
    assert np.abs(np.array(fit.weights) - other.coef_[0]).max() < FIT
    assert abs(fit.intercept - other.intercept_[0]) < FIT
    assert np.abs(fit.predict(x) - other.predict_proba(z)[:, 1]).max() < FIT


def test_the_gradient_vanishes_at_the_fit() -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, l2=3.0)
    z = by_hand(x)
    off = fit.predict(x) - y
    assert abs(off.sum()) < 1e-9  # the intercept is not penalized
    assert np.abs(z.T @ off + 3.0 * np.array(fit.weights)).max() < 1e-9


def test_one_binary_feature_by_hand() -> None:
    """Without a penalty to speak of, each value gets its own share of correct rows."""
    x = np.repeat([[0.0], [1.0]], [10, 20], axis=0)
    y = np.r_[np.ones(4), np.zeros(6), np.ones(15), np.zeros(5)]
    fit = fit_verifier(x, ["flag"], y, l2=1e-9)
    assert np.allclose(fit.predict([[0.0], [1.0]]), [0.4, 0.75], atol=1e-8)


def test_separable_evidence_ends_at_a_finite_weight() -> None:
    x = np.linspace(-1.0, 1.0, 100)[:, None]
    fit = fit_verifier(x, ["margin"], x[:, 0] > 0, l2=1e-2)
    assert fit.converged
    assert 5.0 < fit.weights[0] < 1000.0
    assert fit_verifier(x, ["margin"], x[:, 0] > 0).converged


def test_whole_weights_are_copies_and_a_zero_is_absence() -> None:
    x, y = world(150)
    w = np.random.default_rng(2).integers(0, 4, y.size)
    times = np.repeat(np.arange(y.size), w)
    a = fit_verifier(x, NAMES, y, weights=w, l2=2.0)
    b = fit_verifier(x[times], NAMES, y[times], l2=2.0)
    assert np.abs(a.predict(x) - b.predict(x)).max() < 1e-9


def test_a_fraction_is_a_right_and_a_wrong_row() -> None:
    x, y = world(150)
    part = y.copy()
    part[:30] = 0.25
    a = fit_verifier(x, NAMES, part, l2=1.0)
    rows = np.r_[np.arange(150), np.arange(30)]
    label = np.r_[np.ones(30), y[30:], np.zeros(30)]
    w = np.r_[np.full(30, 0.25), np.ones(120), np.full(30, 0.75)]
    b = fit_verifier(x[rows], NAMES, label, weights=w, l2=1.0)
    assert np.abs(a.predict(x) - b.predict(x)).max() < 1e-9


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_the_order_of_the_rows_does_not_matter(model) -> None:
    x, y = world(300)
    groups = np.arange(300) // 3
    order = np.random.default_rng(3).permutation(300)
    a = fit_verifier(x, NAMES, y, groups=groups, model=model)
    b = fit_verifier(x[order], NAMES, y[order], groups=groups[order], model=model)
    assert a.l2 == b.l2 or model == "boosting"
    assert np.abs(a.predict(x) - b.predict(x)).max() < 1e-8


def test_the_penalty_has_the_smallest_loss_out_of_fold() -> None:
    """A loop over the grid and the folds with scikit-learn."""
    x, y = world(240, seed=4)
    groups = np.arange(240) // 2
    fit = fit_verifier(x, NAMES, y, groups=groups, seed=5)
    fold = folds([str(g) for g in groups], 5, seed=5)
    z = by_hand(x)
    losses = []
    for l2 in GRID:
        total = 0.0
        for k in range(5):
            held = fold == k
            other = LogisticRegression(
                C=1.0 / (l2 * np.mean(~held)), tol=1e-12, max_iter=5000, solver="newton-cholesky"
            ).fit(z[~held], y[~held])
            p = other.predict_proba(z[held])[:, 1]
            total -= np.log(np.where(y[held] == 1, p, 1 - p)).sum()
        losses.append(total / y.size)
    assert fit.l2 == GRID[int(np.argmin(losses))]
    choice = choose_l2(z, y, np.ones(240), fold)
    assert choice is not None
    assert np.allclose([loss for _, loss in choice.losses], losses, atol=1e-7)


def test_noise_gets_a_strong_penalty_and_a_signal_a_weak_one() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 5))
    names = list("abcde")
    assert fit_verifier(x, names, rng.random(400) < 0.5).l2 >= 100.0
    assert fit_verifier(x, names, rng.random(400) < special.expit(3 * x[:, 0])).l2 <= 10.0


def test_groups_are_never_split() -> None:
    """Labels that can be memorized by group, and only by group, must not look predictable."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(60), 10)
    x = rng.normal(size=(60, 12))[group]
    y = (rng.random(60) < 0.5)[group]
    names = [str(i) for i in range(12)]
    assert fit_verifier(x, names, y, groups=group).l2 > fit_verifier(x, names, y).l2


def test_what_says_nothing_is_dropped_with_a_note() -> None:
    x, y = world(100)
    more = np.column_stack([x, np.full(100, 7.0), np.full(100, np.nan), x[:, 1]])
    fit = fit_verifier(more, [*NAMES, "constant", "empty", "twin"], y, l2=1.0)
    assert fit.notes == (
        "empty was dropped: no row has it",
        "constant was dropped: it is 7 in every row that has it",
        "twin was dropped: it equals agreement in every row",
    )
    plain = fit_verifier(x, NAMES, y, l2=1.0)
    assert [c.name for c in fit.columns] == [c.name for c in plain.columns]
    assert [c.name for c in plain.columns] == [
        "stated",
        "logit of stated",
        "agreement",
        "length",
        "stated missing",
        "length missing",
    ]
    assert np.array_equal(fit.predict(more), plain.predict(x))


def test_a_flag_that_is_a_feature_already_is_not_added_again() -> None:
    x, y = world(100)
    gone = np.isnan(x[:, 0]).astype(float)
    fit = fit_verifier(np.column_stack([x, gone]), [*NAMES, "stated_missing"], y, l2=1.0)
    assert [c.name for c in fit.columns][-2:] == ["stated_missing", "length missing"]
    assert not fit.notes


def test_without_evidence_it_is_the_share_of_correct_rows() -> None:
    fit = fit_verifier(np.full((10, 1), 0.9), ["stated"], [1] * 7 + [0] * 3)
    assert fit.predict([[0.1], [np.nan]]) == pytest.approx([0.7, 0.7], abs=EXACT)
    assert fit_verifier(np.empty((4, 0)), [], [1, 0, 0, 0]).predict(
        np.empty((1, 0))
    ) == pytest.approx([0.25])


def test_a_new_row_without_a_feature_gets_its_median_and_flag() -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, l2=1.0)
    weight = dict(zip([c.name for c in fit.columns], fit.weights, strict=True))
    known = [0.8, 0.5, float(np.nanmedian(x[:, 2]))]
    flag = next(c for c in fit.columns if c.name == "length missing")
    a, b = special.logit(fit.predict([known, [0.8, 0.5, np.nan]]))
    assert b - a == pytest.approx(weight["length missing"] / flag.scale, abs=1e-9)


def test_beyond_the_fit_nothing_is_extrapolated() -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, l2=1.0)
    low, high = np.nanmin(x[:, 2]), np.nanmax(x[:, 2])
    p = fit.predict([[0.8, 0.5, low], [0.8, 0.5, -1e9], [0.8, 0.5, high], [0.8, 0.5, 1e9]])
    assert p[0] == p[1]
    assert p[2] == p[3]


def test_certainty_is_clipped_before_its_logit() -> None:
    x = np.r_[np.full(50, 1.0), np.full(50, 0.6), 0.0][:, None]
    fit = fit_verifier(x, ["stated"], np.arange(101) % 3 > 0, l2=1.0)
    logit = next(c for c in fit.columns if c.name == "logit of stated")
    assert logit.high == pytest.approx(np.log(999.0))
    assert logit.low == pytest.approx(-np.log(999.0))


def test_explain_is_in_standard_deviations() -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, l2=1.0)
    rows = fit.explain()
    assert rows[0].name == "agreement"
    assert [abs(r.weight) for r in rows] == sorted((abs(r.weight) for r in rows), reverse=True)
    assert rows[0].center == pytest.approx(x[:, 1].mean(), abs=EXACT)
    assert rows[0].scale == pytest.approx(x[:, 1].std(), abs=EXACT)
    points = [[0.8, v, 5.0] for v in (0.4, 0.4 + rows[0].scale)]
    a, b = special.logit(fit.predict(points))
    assert b - a == pytest.approx(rows[0].weight, abs=1e-9)


def test_inputs_are_not_changed() -> None:
    x, y = world()
    kept = x.copy(), y.copy()
    fit_verifier(x, NAMES, y).predict(x)
    fit_verifier(x, NAMES, y, model="boosting").predict(x)
    assert np.array_equal(x, kept[0], equal_nan=True)
    assert np.array_equal(y, kept[1])


@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_exported_trees_are_scikit_learns(depth: int, share: float) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 4)).round(1)  # ties
    y = rng.random(600) < share * (1.0 + np.tanh(x[:, 0]))
    w = rng.uniform(0.5, 2.0, 600)
    model = GradientBoostingClassifier(n_estimators=40, max_depth=depth, learning_rate=0.3)
    model.fit(x, y, sample_weight=w)
    trees = exported(model)
    new = np.vstack([x, rng.normal(size=(5000, 4)) * 3.0])
    new[:40, 1] = [t for one in trees.trees for t in one.threshold if t][:40]  # on the edge
    assert np.abs(trees.predict(new) - model.predict_proba(new)[:, 1]).max() < TREES
    assert np.allclose(trees.importance, model.feature_importances_)


def test_a_boosted_verifier_is_scikit_learns_on_the_filled_features() -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, model="boosting", seed=3)
    raw = np.column_stack([c.raw(x) for c in fit.columns])
    other = GradientBoostingClassifier(min_samples_leaf=20, random_state=3).fit(raw, y)
    assert np.abs(fit.predict(x) - other.predict_proba(raw)[:, 1]).max() < TREES
    assert fit.explain()[0].name == "agreement"
    assert sum(row.weight for row in fit.explain()) == pytest.approx(1.0)
    p = fit.predict(x)
    assert fit.loss == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean(), abs=EXACT)


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_json_keeps_every_bit(model) -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, model=model)
    again = Verifier.from_state(json.loads(json.dumps(fit.state(), allow_nan=False)))
    assert np.array_equal(again.predict(x), fit.predict(x))
    assert again.state() == fit.state()
    assert again.explain() == fit.explain()


def test_a_boosted_verifier_is_applied_without_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = world()
    fit = fit_verifier(x, NAMES, y, model="boosting")
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    again = Verifier.from_state(fit.state())
    assert np.array_equal(again.predict(x), fit.predict(x))
    monkeypatch.delitem(sys.modules, "sklearn.ensemble")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [Without("sklearn"), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[guard\]'"):
        fit_verifier(x, NAMES, y, model="boosting")


class Without:
    """An importer that knows nothing of one package."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path=None, target=None):
        if name.partition(".")[0] == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def broken(change) -> dict:
    x, y = world(100)
    state = copy.deepcopy(fit_verifier(x, NAMES, y, model="boosting").state())
    change(state)
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("columns"),
        lambda s: s.update(model="forest"),
        lambda s: s.update(model="logistic"),
        lambda s: s.update(trees=None),
        lambda s: s["columns"][0].update(feature=9),
        lambda s: s["columns"][0].pop("fill"),
        lambda s: s["columns"][0].update(feature=True),
        lambda s: s["columns"][0].update(form="song"),
        lambda s: s["columns"][0].update(low="x"),
        lambda s: s["columns"][0].update(center=[]),
        lambda s: s["columns"][0].update(scale=None),
        lambda s: s.update(intercept=10**400),
        lambda s: s["trees"]["trees"][0]["left"].__setitem__(0, 0),
        lambda s: s["trees"]["trees"][0]["left"].__setitem__(0, 99),
        lambda s: s["trees"]["trees"][0]["feature"].__setitem__(0, 99),
        lambda s: s["trees"]["trees"][0]["value"].append(1.0),
        lambda s: s["trees"]["trees"][0].update(threshold=["x"]),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change) -> None:
    with pytest.raises(InvalidInputError):
        Verifier.from_state(broken(change))


def test_a_fit_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = world()
    monkeypatch.setattr(_logistic, "MAX_STEPS", 1)
    with pytest.warns(DataWarning, match="stopped after 1 steps before it reached its tolerance"):
        assert not fit_verifier(x, NAMES, y, l2=1.0).converged


def test_too_little_for_cross_validation() -> None:
    x = np.arange(8.0)[:, None]
    fit = fit_verifier(x, ["a"], x[:, 0] > 3, groups=np.zeros(8))
    assert fit.l2 == 1.0
    assert fit.notes == ("the penalty is 1: one group cannot be cross-validated",)
    fit = fit_verifier(x, ["a"], [1, 0, 0, 0, 0, 0, 0, 0], groups=np.arange(8) > 0)
    assert fit.notes == ("the penalty is 1: too few errors to cross-validate it",)


def test_extreme_scores_do_not_overflow() -> None:
    x = np.r_[np.full(50, -1e6), np.full(50, 1e6)][:, None]
    fit = fit_logistic(x, (x[:, 0] > 0).astype(float), np.ones(100), 1e-3)
    assert np.isfinite([fit.intercept, *fit.weights, fit.loss]).all()


def call(**changed):
    x, y = world(50)
    given = {"values": x, "names": NAMES, "correct": y, **changed}
    values, names, correct = (given.pop(name) for name in ("values", "names", "correct"))
    return fit_verifier(values, names, correct, **given)


INFINITE = np.where(np.arange(150).reshape(50, 3) == 4, np.inf, 0.5)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"names": ("a", "b")},
            "values: expected shape (N, 2), one column for each of a, b, got (50, 3)",
        ),
        ({"names": ("a", "b", "a")}, "names: expected each feature once, got 'a' twice"),
        ({"correct": [1, 0]}, "correct: expected 50 values, one per row of values, got 2"),
        (
            {"correct": np.ones(50)},
            "correct: expected right and wrong claims to learn from, got 50 rows that are all correct; "
            "add rows, or check the labels",
        ),
        (
            {"correct": np.zeros(50)},
            "correct: expected right and wrong claims to learn from, got 50 rows that are all wrong; "
            "add rows, or check the labels",
        ),
        ({"correct": np.full(50, 2.0)}, "correct: expected values in [0, 1], got 2.0 at index 0"),
        (
            {"values": INFINITE},
            "values: expected finite numbers or NaN, got inf for agreement in row 1",
        ),
        ({"l2": 0.0}, "l2: expected 'auto' or a finite number above 0, got 0.0"),
        ({"l2": "strong"}, "l2: expected a number, got str 'strong'"),
        (
            {"model": "forest"},
            "model: expected one of boosting, logistic, got 'forest'",
        ),
        ({"weights": [1.0]}, "weights: expected 50 values, one per sample, got 1"),
        ({"groups": [1]}, "groups: expected shape (50,), one label per sample, got (1,)"),
        (
            {"values": np.zeros((50, 3)), "model": "boosting"},
            "values: expected at least one feature that varies, got none; a boosted verifier needs "
            "evidence",
        ),
    ],
)
def test_errors(changed: dict, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call(**changed)
    assert str(caught.value).startswith(text)


def test_the_median_counts_weights() -> None:
    values, w = np.array([3.0, 1.0, 2.0, 9.0]), np.array([1.0, 2.0, 1.0, 0.0])
    assert verifier._median(values, w) == np.median([1, 1, 2, 3])
    assert verifier._median(values, np.array([1.0, 5.0, 1.0, 1.0])) == 1.0
