"""The class scalings against scipy, scikit-learn and a known world, and at the ends of what they take."""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from levelhead.calibrators import _newton
from levelhead.calibrators._base import CalibrationWarning, class_rows, required
from levelhead.calibrators.classes import (
    ClassTemperatureScaling,
    DirichletCalibration,
    MatrixScaling,
    VectorScaling,
)
from levelhead.errors import InvalidInputError
from levelhead.metrics import ece
from levelhead.testing import check_calibrator

CLASSES = (ClassTemperatureScaling, VectorScaling, MatrixScaling, DirichletCalibration)
LOGITS = (ClassTemperatureScaling, VectorScaling, MatrixScaling)
EVERY = pytest.mark.parametrize("cls", CLASSES)
EVERY_LOGIT = pytest.mark.parametrize("cls", LOGITS)
SAME = 1e-7  # two ends of one convex minimization
THEIRS = 1e-6  # nats; scikit-learn's and scipy's tolerances


def logits_of(n=600, k=4, seed=0, mix=0.5, bias=1.0):
    """Overscaled logits with a letter bias, and classes drawn from what they were made of."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.6, (n, k))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    seen = z * np.linspace(1.6, 2.4, k) + mix * np.roll(z, 1, axis=1)
    return seen + bias * np.linspace(1.5, -1.0, k), y


def rows_for(cls, **world):
    z, y = logits_of(**world)
    return (softmax(z, axis=1) if cls is DirichletCalibration else z), y


def unpenalized(cls):
    """What has no choice to make."""
    penalized = cls in (MatrixScaling, DirichletCalibration)
    return cls(penalty=0.0, min_rows=0) if penalized else cls()


def loss(p, y):
    return -np.log(p[np.arange(y.size), y]).mean()


def centered(z):
    return z - z.mean(axis=1, keepdims=True)


# -- against other minimizers ----------------------------------------------------------------------


def test_the_temperature_is_scipys():
    z, y = logits_of()
    other = minimize(lambda t: loss(softmax(z / t[0], axis=1), y), [2.0], method="Nelder-Mead")
    fitted = ClassTemperatureScaling().fit(z, y)
    assert fitted.temperature_ == pytest.approx(other.x[0], abs=1e-3)
    assert fitted.fit_.loss == pytest.approx(other.fun, abs=THEIRS)
    assert fitted.fit_.converged


def test_vector_scaling_is_scipys():
    z, y = logits_of()
    c = centered(z)
    other = minimize(lambda t: loss(softmax(c * t[:4] + t[4:], axis=1), y), np.repeat([1.0, 0], 4))
    fitted = VectorScaling().fit(z, y)
    assert fitted.fit_.loss == pytest.approx(other.fun, abs=THEIRS)
    assert loss(fitted.predict(z), y) == pytest.approx(fitted.fit_.loss, abs=SAME)


@pytest.mark.parametrize("penalty", [(0.05, 0.0), (0.3, 0.2), (0.0, 0.5)])
def test_the_penalized_objective_is_scipys(penalty):
    """mean log loss + lambda sum_{i != j} W_ij^2 / (C (C - 1)) + mu |b|^2 / C, written out."""
    z, y = logits_of()
    c = centered(z)

    def objective(t):
        w, b = t[:16].reshape(4, 4), t[16:]
        off = w - np.diag(np.diag(w))
        rest = penalty[0] * (off**2).sum() / 12 + penalty[1] * (b**2).sum() / 4
        return loss(softmax(c @ w.T + b, axis=1), y) + rest

    fitted = MatrixScaling(penalty).fit(z, y)
    other = minimize(objective, np.r_[np.eye(4).ravel(), np.zeros(4)])
    assert fitted.penalty_ == penalty
    assert objective(np.r_[fitted.matrix_.ravel(), fitted.intercept_]) == pytest.approx(
        other.fun, abs=THEIRS
    )


@pytest.mark.parametrize("k", [3, 4, 13])
def test_without_a_penalty_it_is_scikit_learns_logistic_regression(k):
    """With few classes by Newton's method, with many by L-BFGS."""
    z, y = logits_of(n=2500, k=k)
    c = centered(z)
    theirs = LogisticRegression(C=np.inf, tol=1e-8, max_iter=2000).fit(c, y)
    ours = MatrixScaling(0.0, fallback="none").fit(z, y)
    assert ours.fit_.loss == pytest.approx(loss(theirs.predict_proba(c), y), abs=THEIRS)
    np.testing.assert_allclose(ours.predict(z), theirs.predict_proba(c), atol=5e-3)


def test_dirichlet_is_logistic_regression_on_log_probabilities():
    z, y = logits_of(n=1000, k=3)
    p = softmax(z, axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-9, max_iter=5000).fit(np.log(p), y)
    ours = DirichletCalibration(0.0).fit(p, y)
    assert ours.fit_.loss == pytest.approx(loss(theirs.predict_proba(np.log(p)), y), abs=THEIRS)
    from_logits = DirichletCalibration(0.0, inputs="logits").fit(z, y)
    np.testing.assert_allclose(from_logits.predict(z), ours.predict(p), atol=1e-6)


def test_an_infinite_penalty_is_vector_scaling():
    z, y = logits_of()
    stiff = MatrixScaling((1e7, 0.0)).fit(z, y)
    np.testing.assert_allclose(stiff.predict(z), VectorScaling().fit(z, y).predict(z), atol=1e-4)


# -- a known world -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known():
    """Logits overscaled class by class, mixed and with a letter bias; 2000 rows to fit."""
    rng = np.random.default_rng(1)
    z = rng.normal(0, 1.6, (22_000, 4))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    seen = z @ (np.diag([2.2, 1.6, 1.9, 2.4]) + 0.15).T + np.array([1.5, 0.0, -0.5, -1.0])
    return seen[:2000], y[:2000], seen[2000:], y[2000:], z[2000:]


def judged(p, y):
    right = p.argmax(axis=1) == y
    return right.mean(), ece(p.max(axis=1), right, n_bins=15), loss(p, y)


def test_what_each_scaling_repairs(known):
    x, y, x_test, y_test, truth = known
    accuracy, error, _ = judged(softmax(x_test, axis=1), y_test)
    assert accuracy == pytest.approx(0.60, abs=0.02)
    assert error == pytest.approx(0.20, abs=0.02)
    cooled = judged(ClassTemperatureScaling().fit(x, y).predict(x_test), y_test)
    assert cooled[0] == accuracy
    assert cooled[1] < 0.035
    repaired = judged(MatrixScaling().fit(x, y).predict(x_test), y_test)
    assert repaired[0] > accuracy + 0.01
    assert repaired[1] < 0.02
    best = judged(softmax(truth, axis=1), y_test)
    assert best[2] < repaired[2] < best[2] + 0.015
    assert repaired[2] < cooled[2] - 0.02


def test_sixty_rows_overfit_a_matrix_and_the_fallback_does_not(known):
    x, y, x_test, y_test, _ = known
    results = []
    for start in range(0, 600, 60):
        rows = slice(start, start + 60)
        scalings = (
            ClassTemperatureScaling(),
            MatrixScaling(0.0, fallback="none"),
            MatrixScaling(0.0),
            MatrixScaling(),
        )
        fitted = [one.fit(x[rows], y[rows]) for one in scalings]
        assert (fitted[2].chosen_, fitted[2].fit_.fallback) == ("temperature", "temperature")
        results.append([judged(one.predict(x_test), y_test) for one in fitted])
    assert (
        "60 rows are few for 4 classes: matrix scaling needs 30 * 4^2 = 480"
        in (fitted[2].fit_.notes[0])
    )
    _, error, nats = np.mean(results, axis=0).T
    assert error[1] > error[0] + 0.04
    assert nats[1] > nats[0] + 0.1
    assert nats[2] == pytest.approx(nats[0], abs=SAME)
    assert nats[3] < nats[0] + 0.02
    assert error[3] < error[1] - 0.04


def test_auto_never_loses_to_the_simpler_ones():
    for seed in range(6):
        z, y = logits_of(n=3000, seed=seed, mix=[0.0, 0.15, 0.6][seed % 3])
        z_test, y_test = logits_of(n=3000, seed=seed + 100, mix=[0.0, 0.15, 0.6][seed % 3])
        own, vector, temperature = (
            loss(cls().fit(z, y).predict(z_test), y_test)
            for cls in (MatrixScaling, VectorScaling, ClassTemperatureScaling)
        )
        assert own <= min(vector, temperature) + 1e-3


def test_fifty_classes_take_a_large_penalty_and_say_so():
    z, y = logits_of(n=3000, k=50, mix=1.0)
    z_test, y_test = logits_of(n=3000, k=50, mix=1.0, seed=5)
    fitted = MatrixScaling().fit(z, y)
    free = MatrixScaling(0.0, fallback="none").fit(z, y)
    assert fitted.chosen_ == "matrix"
    assert fitted.penalty_[0] > 1.0  # far beyond what is large for a few classes
    assert "cross-validation chose matrix scaling with lambda = " in fitted.fit_.notes[0]
    assert fitted.score(z_test, y_test) > free.score(z_test, y_test) + 0.1
    assert fitted.score(z_test, y_test) > VectorScaling().fit(z, y).score(z_test, y_test) + 0.01


# -- what must not matter ----------------------------------------------------------------------------


@EVERY_LOGIT
def test_a_constant_added_to_a_row_changes_nothing(cls):
    z, y = logits_of()
    shifted = z + np.random.default_rng(1).normal(0, 100, (z.shape[0], 1))
    np.testing.assert_allclose(
        cls().fit(shifted, y).predict(shifted), cls().fit(z, y).predict(z), atol=1e-6
    )


@EVERY_LOGIT
def test_probabilities_and_their_logits_are_one_thing(cls):
    z, y = logits_of()
    p = softmax(z, axis=1)
    np.testing.assert_allclose(
        cls(inputs="probs").fit(p, y).predict(p), cls().fit(z, y).predict(z), atol=1e-6
    )


@EVERY
def test_whole_weights_are_repetition(cls):
    X, y = rows_for(cls, n=500)
    w = np.random.default_rng(1).integers(0, 4, y.size)
    weighted = cls().fit(X, y, sample_weight=w)
    repeated = cls().fit(np.repeat(X, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-6)
    assert weighted.fit_.loss == pytest.approx(repeated.fit_.loss, abs=SAME)
    assert weighted.fit_.n == np.count_nonzero(w)


@EVERY
def test_the_order_of_the_rows_does_not_matter(cls):
    X, y = rows_for(cls)
    order = np.random.default_rng(1).permutation(y.size)
    np.testing.assert_allclose(
        cls().fit(X[order], y[order]).predict(X), cls().fit(X, y).predict(X), atol=1e-6
    )


@EVERY
def test_relabeled_classes_relabel_the_result(cls):
    X, y = rows_for(cls)
    order = np.array([2, 0, 3, 1])
    moved = cls().fit(X[:, order], np.argsort(order)[y]).predict(X[:, order])
    np.testing.assert_allclose(moved, cls().fit(X, y).predict(X)[:, order], atol=1e-6)


@EVERY
def test_inputs_stay_untouched_and_the_identity_is_never_better(cls):
    X, y = rows_for(cls)
    before = X.copy()
    fitted = cls().fit(X, y)
    fitted.predict(X)
    assert np.array_equal(X, before)
    identity = X if cls is DirichletCalibration else softmax(X, axis=1)
    assert fitted.fit_.loss <= loss(identity, y) + 1e-12
    np.testing.assert_allclose(fitted.predict(X).sum(axis=1), 1.0, atol=1e-12)


@EVERY
def test_a_state_goes_through_json_bit_for_bit(cls):
    X, y = rows_for(cls)
    fitted = cls().fit(X, y)
    state = json.loads(json.dumps(fitted.state(), allow_nan=False))
    again = cls.from_state(fitted.get_params(), state)
    assert np.array_equal(again.predict(X), fitted.predict(X))
    assert again.fit_ == fitted.fit_
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    for name in state:
        with pytest.raises(InvalidInputError, match=f"expected an entry '{name}'"):
            cls.from_state({}, {key: value for key, value in state.items() if key != name})


def test_a_state_whose_parts_do_not_go_together():
    z, y = logits_of()
    state = MatrixScaling(0.1).fit(z, y).state()
    with pytest.raises(
        InvalidInputError, match="expected null beside chosen 'vector' as 'penalty'"
    ):
        MatrixScaling.from_state({}, {**state, "chosen": "vector"})
    with pytest.raises(InvalidInputError, match=r"finite numbers of shape \(4, 4,\)"):
        MatrixScaling.from_state({}, {**state, "matrix": [[1.0]]})


def with_folded_labels(cls):
    """The class for scikit-learn's checks, whose labels know nothing of the number of columns."""

    class Folded(cls):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, self._folded(X, y), sample_weight)

        def score(self, X, y, sample_weight=None):
            return super().score(X, self._folded(X, y), sample_weight)

        def _folded(self, X, y):
            columns = class_rows(X, least=1).shape[1]
            labels = np.asarray(required(self, y))
            return labels if np.iscomplexobj(labels) else labels.astype(float) % columns

    Folded.__name__ = Folded.__qualname__ = f"Folded{cls.__name__}"
    globals()[Folded.__name__] = Folded  # where pickle looks for it
    Folded.__module__ = __name__
    return Folded


@pytest.mark.filterwarnings("ignore:.*does not inherit from:UserWarning")
@pytest.mark.parametrize(
    ("cls", "options"),
    [
        *((with_folded_labels(cls), {}) for cls in CLASSES if cls is not MatrixScaling),
        *zip([with_folded_labels(MatrixScaling)] * 2, [{}, {"center": False}], strict=True),
    ],
)
def test_every_check_of_scikit_learn_passes(cls, options):
    sys.modules.setdefault(__name__, sys.modules[cls.__module__])
    results = check_estimator(cls(inputs="logits", **options), on_skip=None)
    assert sum(one["status"] == "passed" for one in results) > 45
    skipped = {one["check_name"] for one in results if one["status"] == "skipped"}
    assert {name for name in skipped if "array_api" not in name} <= {
        "check_sample_weights_pandas_series"
    }


@EVERY
def test_clones_and_cross_validation(cls):
    X, y = rows_for(cls)
    scores = cross_val_score(clone(cls()), X, y, cv=3)
    assert np.all(scores > -1.5)


# -- scores as they are ------------------------------------------------------------------------------


def raw_scores(n=2000, k=4, seed=0):
    """Scores whose row mean is news: a distortion that an affine map undoes, and no other."""
    rng = np.random.default_rng(seed)
    mixing = np.diag(rng.uniform(1.5, 3.5, k)) + 0.6 * rng.normal(size=(k, k)) / np.sqrt(k)
    truth = rng.normal(0, 2.0, (n, k))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    return truth @ mixing.T + rng.normal(size=k), y


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e8])
@pytest.mark.parametrize("k", [2, 4, 13])
def test_uncentered_it_is_scikit_learns_regression_on_the_scores(k, offset):
    """Theirs without the offset, which it has no defense against."""
    z, y = raw_scores(k=k)
    theirs = LogisticRegression(C=np.inf, tol=1e-8, max_iter=2000).fit(z, y)
    ours = MatrixScaling(0.0, fallback="none", center=False).fit(z + offset, y)
    assert ours.fit_.converged
    assert ours.fit_.loss == pytest.approx(loss(theirs.predict_proba(z), y), abs=THEIRS)
    assert loss(ours.predict(z + offset), y) == pytest.approx(ours.fit_.loss, abs=THEIRS)
    scores = (z + offset) @ ours.matrix_.T + ours.intercept_
    np.testing.assert_allclose(softmax(scores, axis=1), ours.predict(z + offset), atol=1e-5)


def test_the_row_mean_is_news_where_it_is_kept():
    z, y = raw_scores()
    z_test, y_test = z[1000:], y[1000:]
    kept, out = (MatrixScaling(center=c).fit(z[:1000], y[:1000]) for c in (False, True))
    assert kept.score(z_test, y_test) > out.score(z_test, y_test) + 0.005
    shifted = z_test + np.linspace(-3, 3, 1000)[:, None]
    np.testing.assert_allclose(out.predict(shifted), out.predict(z_test), atol=1e-9)
    assert np.abs(kept.predict(shifted) - kept.predict(z_test)).max() > 0.05


@pytest.mark.parametrize("offset", [1e4, -1e6])
@pytest.mark.parametrize("penalty", ["auto", (0.3, 0.2)])
def test_uncentered_one_constant_for_all_rows_changes_nothing(penalty, offset):
    z, y = raw_scores()
    here = MatrixScaling(penalty, center=False).fit(z, y)
    there = MatrixScaling(penalty, center=False).fit(z + offset, y)
    np.testing.assert_allclose(there.predict(z + offset), here.predict(z), atol=1e-5)
    assert there.penalty_ == pytest.approx(here.penalty_)


def test_the_uncentered_penalty_weighs_intercepts_beside_scores_of_mean_0():
    z, y = raw_scores()
    c = z + 5.0 - (z + 5.0).mean()

    def objective(t):
        w, b = t[:16].reshape(4, 4), t[16:]
        off = w - np.diag(np.diag(w))
        rest = 0.3 * (off**2).sum() / 12 + 0.2 * (b**2).sum() / 4
        return loss(softmax(c @ w.T + b, axis=1), y) + rest

    fitted = MatrixScaling((0.3, 0.2), center=False).fit(z + 5.0, y)
    b = fitted.intercept_ + fitted.matrix_.sum(axis=1) * (z + 5.0).mean()
    other = minimize(objective, np.r_[np.eye(4).ravel(), np.zeros(4)])
    found = objective(np.r_[fitted.matrix_.ravel(), b - b.mean()])
    assert found == pytest.approx(other.fun, abs=THEIRS)


def test_uncentered_a_temperature_is_the_temperature():
    z, y = logits_of(n=60)
    z = z + np.random.default_rng(1).normal(0, 1e4, (60, 1))
    ours = MatrixScaling(0.1, center=False).fit(z, y)
    assert ours.fit_.fallback == "temperature"
    expected = ClassTemperatureScaling().fit(z, y).predict(z)
    np.testing.assert_allclose(ours.predict(z), expected, atol=1e-6)
    assert np.array_equal(ours.intercept_, np.zeros(4))


@pytest.mark.parametrize("k", [4, 13])
def test_uncentered_rows_each_with_an_offset_of_its_own(k):
    """News it is not: what is left to learn is the centered matrix, and a mean to be ignored."""
    z, y = logits_of(n=2500, k=k)
    far = z + np.random.default_rng(1).normal(0, 1e4, (2500, 1))
    ours = MatrixScaling(0.0, fallback="none", center=False).fit(far, y)
    assert ours.fit_.converged
    centered_loss = MatrixScaling(0.0, fallback="none").fit(z, y).fit_.loss
    assert centered_loss - 0.01 < ours.fit_.loss < centered_loss + SAME


def test_uncentered_log_probabilities_are_dirichlet_calibration():
    z, y = logits_of(n=1000, k=3)
    p = softmax(z, axis=1)
    ours = MatrixScaling(0.0, inputs="probs", center=False).fit(p, y)
    theirs = DirichletCalibration(0.0).fit(p, y)
    assert ours.fit_.loss == pytest.approx(theirs.fit_.loss, abs=SAME)
    np.testing.assert_allclose(ours.predict(p), theirs.predict(p), atol=1e-4)


def test_uncentered_weights_order_and_labels_of_classes():
    z, y = raw_scores(n=500)
    rng = np.random.default_rng(1)
    order, moved = rng.permutation(500), np.array([2, 0, 3, 1])
    w = rng.integers(0, 4, 500)
    for make in (
        lambda: MatrixScaling(center=False),
        lambda: MatrixScaling((0.1, 0.5), center=False),
    ):
        alone = make().fit(z, y).predict(z)
        np.testing.assert_allclose(make().fit(z[order], y[order]).predict(z), alone, atol=1e-6)
        relabeled = make().fit(z[:, moved], np.argsort(moved)[y]).predict(z[:, moved])
        np.testing.assert_allclose(relabeled, alone[:, moved], atol=1e-6)
        repeated = make().fit(np.repeat(z, w, axis=0), np.repeat(y, w)).predict(z)
        weighted = make().fit(z, y, sample_weight=w).predict(z)
        np.testing.assert_allclose(weighted, repeated, atol=1e-6)


@pytest.mark.parametrize("inputs", ["logits", "probs"])
def test_uncentered_it_keeps_the_contracts(inputs):
    """Along what is the same in all rows only the ridge holds the parameters, hence the tolerance."""
    check_calibrator(
        lambda: MatrixScaling(inputs=inputs, center=False),
        input="classes",
        inputs=inputs,
        nests_identity=True,
        refuses_few=True,
        tolerance=1e-5,
    )


def test_the_option_goes_with_the_parameters():
    z, y = raw_scores(n=500)
    before = np.asfortranarray(z)
    fitted = MatrixScaling(center=False).fit(before, y)
    assert repr(fitted) == "MatrixScaling(center=False)"
    assert repr(MatrixScaling()) == "MatrixScaling()"
    assert clone(fitted).get_params()["center"] is False
    state = json.loads(json.dumps(fitted.state(), allow_nan=False))
    again = MatrixScaling.from_state(fitted.get_params(), state)
    assert np.array_equal(again.predict(before), fitted.predict(before))
    assert np.array_equal(before, z)
    old = {name: value for name, value in MatrixScaling().get_params().items() if name != "center"}
    assert MatrixScaling.from_state(old, MatrixScaling().fit(z, y).state()).center is True


# -- groups, folds, few rows -------------------------------------------------------------------------


def test_groups_are_labels_of_any_kind_and_stay_together():
    z, y = logits_of(n=300)
    copies, labels = np.repeat(z, 4, axis=0), np.repeat(y, 4)
    names = [f"prompt {i // 4}" for i in range(labels.size)]
    grouped = MatrixScaling().fit(copies, labels, groups=names)
    assert grouped.fit_.notes[0].startswith("cross-validation chose")
    weighted = np.where(np.arange(labels.size) % 4 == 0, 1.0, 0.0)
    alone = MatrixScaling().fit(copies, labels, sample_weight=weighted, groups=names)
    assert alone.fit_.n == 300
    with pytest.raises(InvalidInputError, match="groups: expected shape"):
        MatrixScaling().fit(z, y, groups=["a"])


def test_rows_without_a_choice_take_the_temperature():
    one = MatrixScaling().fit([[2.0, 0.0]] * 10, [0, 1] * 5)
    z, y = logits_of(n=50)
    group = MatrixScaling().fit(z, y, groups=np.zeros(50))
    assert "all of one group" in group.fit_.notes[0]
    assert (one.chosen_, group.chosen_) == ("temperature", "temperature")


def test_few_rows_refused_or_not():
    z, y = logits_of(n=100)
    with pytest.raises(
        InvalidInputError, match=r"100 rows are few for 4 classes.* = 480; pass more"
    ):
        MatrixScaling(0.1, fallback="refuse").fit(z, y)
    assert MatrixScaling(0.1, fallback="none").fit(z, y).chosen_ == "matrix"
    assert MatrixScaling(0.1, min_rows=5).fit(z, y).chosen_ == "matrix"
    assert MatrixScaling(0.1).fit(z, y, sample_weight=np.full(100, 5.0)).chosen_ == "matrix"
    assert MatrixScaling(0.1).fit(z, y, sample_weight=np.full(100, 5.5)).chosen_ == "temperature"


@pytest.mark.parametrize("n", [2, 3, 5])
@EVERY
def test_a_handful_of_rows(cls, n):
    X, y = rows_for(cls, n=40)
    first, second = np.flatnonzero(y == y[0])[0], np.flatnonzero(y != y[0])[:n]
    few = np.r_[first, second]
    assert np.isfinite(cls().fit(X[few], y[few]).predict(X)).all()


# -- at the ends -------------------------------------------------------------------------------------


@EVERY
def test_a_class_that_never_occurs(cls):
    X, y = rows_for(cls)
    kept = y != 2
    fitted = unpenalized(cls).fit(X[kept], y[kept])
    assert fitted.fit_.converged
    assert "1 of the 4 classes never occur in y" in fitted.fit_.notes
    assert np.isfinite(np.log(fitted.predict(X))).all()
    if cls is not ClassTemperatureScaling:
        assert fitted.predict(X[kept])[:, 2].mean() < 1e-3


@EVERY
def test_classes_told_apart_without_an_error(cls):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    z = 3.0 * np.eye(3)[y] + rng.uniform(0, 1, (300, 3))
    X = softmax(z, axis=1) if cls is DirichletCalibration else z
    fitted = cls().fit(X, y)
    assert fitted.fit_.loss < 1e-4
    assert np.isfinite(fitted.predict(X)).all()


@EVERY_LOGIT
@pytest.mark.parametrize("size", [1e-6, 1e4, 1e12])
def test_logits_of_any_size(cls, size):
    z, y = logits_of()
    big = unpenalized(cls).fit(z * size, y)
    assert big.fit_.converged
    assert big.fit_.loss == pytest.approx(unpenalized(cls).fit(z, y).fit_.loss, abs=1e-4)
    assert np.isfinite(big.predict(np.vstack([z * size, z * size * 1e4]))).all()


def test_logits_that_point_the_wrong_way():
    z, y = logits_of(bias=0.0)
    fitted = ClassTemperatureScaling().fit(-z, y)
    assert "the logits point the wrong way" in fitted.fit_.notes[0]
    np.testing.assert_allclose(fitted.predict(-z), 0.25, atol=1e-4)


@EVERY
def test_two_classes(cls):
    X, y = rows_for(cls, k=2)
    fitted = cls().fit(X, y)
    assert fitted.fit_.converged
    assert fitted.predict(X).shape == (600, 2)


def test_one_row_more_than_classes():
    z, y = logits_of(n=5, k=4, seed=3)
    assert np.isfinite(MatrixScaling(0.0, fallback="none").fit(z, y).predict(z)).all()


def test_a_thousand_classes_on_two_thousand_rows():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, (2000, 1000)).astype(np.float32)
    y = (z / 3.0 + rng.gumbel(size=z.shape)).argmax(axis=1)
    fitted = MatrixScaling().fit(z, y)
    assert fitted.chosen_ == "temperature"
    assert 1.0 / fitted.matrix_[0, 0] == pytest.approx(3.0, rel=0.1)


def test_many_rows():
    z, y = logits_of(n=100_000, k=10)
    fitted = MatrixScaling().fit(z, y)
    assert fitted.chosen_ == "matrix"
    assert fitted.fit_.converged


# -- bad input ---------------------------------------------------------------------------------------


@EVERY
def test_one_class_only(cls):
    X, _ = rows_for(cls)
    with pytest.raises(InvalidInputError, match="got one class only"):
        cls().fit(X, np.ones(600, int))


@EVERY
def test_another_number_of_classes(cls):
    X, y = rows_for(cls)
    fitted = cls().fit(X, y)
    with pytest.raises(InvalidInputError, match="expected 4 columns; X has 3 features"):
        fitted.predict(X[:, :3])


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_names_its_row(cls, bad):
    X, y = rows_for(cls)
    X[7, 2] = bad
    with pytest.raises(InvalidInputError, match="in row 7, column 2"):
        cls().fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "some"}, 'expected "auto", a number or two numbers'),
        ({"penalty": -1.0}, "finite numbers >= 0"),
        ({"penalty": (1.0, 2.0, 3.0)}, "got 3 numbers"),
        ({"penalty": None}, "penalty: expected a number"),
        ({"fallback": "tempereture"}, "did you mean 'temperature'"),
        ({"min_rows": -1}, "min_rows: expected a finite number >= 0"),
        ({"inputs": "logit"}, "did you mean 'logits'"),
        ({"eps": 0.0}, "eps: expected a number above 0"),
        ({"center": 0}, "center: expected True or False, got 0"),
    ],
)
def test_parameters_out_of_their_ranges(options, message):
    z, y = logits_of()
    with pytest.raises(InvalidInputError, match=message):
        MatrixScaling(**options).fit(z, y)


def test_a_fit_that_does_not_converge_is_said(monkeypatch):
    z, y = logits_of()
    short = lambda *args, **options: _newton.newton(*args, **options, max_iterations=1)  # noqa: E731
    monkeypatch.setattr("levelhead.calibrators._families.newton", short)
    with pytest.warns(CalibrationWarning, match="VectorScaling: the fit did not converge"):
        fitted = VectorScaling().fit(z, y)
    assert not fitted.fit_.converged


def test_probabilities_of_zero_count_as_eps():
    p = np.array([[1.0, 0.0], [0.8, 0.2], [0.3, 0.7], [0.0, 1.0]] * 5)
    y = np.array([0, 0, 1, 1] * 4 + [1, 0, 1, 0])
    fitted = ClassTemperatureScaling(inputs="probs").fit(p, y)
    expected = log_softmax(np.log(np.maximum(p, 1e-12)) / fitted.temperature_, axis=1)
    np.testing.assert_allclose(np.log(fitted.predict(p)), expected, atol=1e-9)
