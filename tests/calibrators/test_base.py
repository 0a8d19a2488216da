"""The estimator protocol: against scikit-learn's own checks, and what its checks cannot see.

scikit-learn's checks hand every estimator several columns and classes from 0 or 1 up. A calibrator of
one confidence is skipped there, which proves nothing, so the checks run on subclasses that turn
such rows into confidences and such labels into right and wrong, and leave everything else alone.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as TheirNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from levelhead.calibrators._base import (
    ClassCalibrator,
    FitReport,
    NotFittedError,
    class_rows,
    not_fitted,
    required,
)
from levelhead.calibrators.scaling import BetaCalibration, PlattScaling, TemperatureScaling
from levelhead.calibrators.stepwise import HistogramBinning, IsotonicCalibration, VennAbers
from levelhead.errors import InvalidInputError, LevelheadError

EXACT = 1e-12
SCALAR = (
    TemperatureScaling,
    PlattScaling,
    BetaCalibration,
    IsotonicCalibration,
    HistogramBinning,
    VennAbers,
)
EVERY = pytest.mark.parametrize("cls", SCALAR)


def rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    c = np.round(rng.random(n), 2)
    return c, (rng.random(n) < 0.2 + 0.5 * c).astype(float)


class Softmax(ClassCalibrator):
    """The smallest calibrator of classes: remembers how often each occurred."""

    method, monotone, nests_identity, simplicity = "softmax", False, False, 9

    def __init__(self, strength=1.0):
        self.strength = strength

    def fit(self, X, y, sample_weight=None):
        z, labels, w = self._fit_rows(X, y, sample_weight)
        self.share_ = np.bincount(labels, w, minlength=z.shape[1]) / (
            labels.size if w is None else w.sum()
        )
        self.n_features_in_ = z.shape[1]
        self.fit_ = FitReport(self.method, labels.size, 0.0)
        return self

    def _apply(self, z):
        e = np.exp(z - z.max(axis=1, keepdims=True)) * (self.share_ + 0.1)
        return e / e.sum(axis=1, keepdims=True)

    def _state(self):
        return {"share": self.share_.tolist()}

    def _restore(self, entries):
        self.share_ = entries.array("share", (self.n_features_in_,), low=0.0, high=1.0)


def on_any_columns(cls):
    """The class for the rows of scikit-learn's checks: column 0 is squashed, odd labels are right."""

    class Adapted(cls):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
            return tags

        def fit(self, X, y, sample_weight=None):
            z = class_rows(X, least=1)
            super().fit(self._squashed(z), y, sample_weight)
            self.n_features_in_ = z.shape[1]
            return self

        def _checked(self, X):
            z = class_rows(X, least=1)
            self._check_columns(z.shape[1])
            return self._squashed(z)

        def _targets(self, c, y, sample_weight):
            labels = np.asarray(required(self, y))
            odd = labels if np.iscomplexobj(labels) else labels.astype(float) % 2
            return super()._targets(c, odd, sample_weight)

        @staticmethod
        def _squashed(z):
            return 1.0 / (1.0 + np.exp(-z[:, 0]))

    Adapted.__name__ = Adapted.__qualname__ = f"AnyColumns{cls.__name__}"
    globals()[Adapted.__name__] = Adapted  # where pickle looks for it
    Adapted.__module__ = __name__
    return Adapted


class FoldedLabels(Softmax):
    """Labels from 0 or 1 up become class indices below the number of columns."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, self._folded(X, y), sample_weight)

    def score(self, X, y, sample_weight=None):
        return super().score(X, self._folded(X, y), sample_weight)

    def _folded(self, X, y):
        columns = class_rows(X, least=1).shape[1]
        labels = np.asarray(required(self, y))
        return labels if np.iscomplexobj(labels) else labels.astype(float) % columns


ADAPTED = [*map(on_any_columns, SCALAR), FoldedLabels]


# -- scikit-learn --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*does not inherit from:UserWarning")
@pytest.mark.parametrize("cls", ADAPTED)
def test_every_check_of_sklearn_passes(cls):
    sys.modules.setdefault(__name__, sys.modules[cls.__module__])
    results = check_estimator(cls(), on_skip=None)
    assert sum(one["status"] == "passed" for one in results) > 45
    skipped = {one["check_name"] for one in results if one["status"] == "skipped"}
    assert {name for name in skipped if "array_api" not in name} <= {
        "check_sample_weights_pandas_series"
    }


@pytest.mark.filterwarnings("ignore:Can't test estimator")
@EVERY
def test_the_class_itself_passes_too(cls):
    check_estimator(cls())


def test_a_fault_in_the_protocol_is_seen():
    class Fitting(on_any_columns(PlattScaling)):
        def fit(self, X, y, sample_weight=None):
            self.eps = 0.1
            return super().fit(X, y, sample_weight)

    with (
        pytest.warns(UserWarning, match="does not inherit"),
        pytest.raises(AssertionError, match="should not change or mutate"),
    ):
        check_estimator(Fitting())


@EVERY
def test_it_works_inside_of_sklearn(cls):
    c, y = rows()
    column = c[:, np.newaxis]
    direct = cls().fit(c, y)
    pipeline = make_pipeline(FunctionTransformer(lambda X: X / 100.0), cls()).fit(column * 100.0, y)
    np.testing.assert_allclose(pipeline.predict(column * 100.0), direct.predict(c), atol=1e-9)
    assert pipeline.score(column * 100.0, y) == pytest.approx(direct.score(c, y), abs=1e-9)
    scores = cross_val_score(cls(), column, y, cv=4)
    by_hand = []
    for fold in np.array_split(np.arange(c.size), 4):
        rest = np.setdiff1d(np.arange(c.size), fold)
        p = cls().fit(c[rest], y[rest]).predict(c[fold])
        by_hand.append(np.mean(np.log(np.where(y[fold] == 1, p, 1 - p))))
    assert scores == pytest.approx(by_hand, abs=1e-9)
    assert cross_val_predict(cls(), column, y, cv=4).shape == c.shape


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (PlattScaling(), {"prior_smoothing": [True, False], "eps": [1e-6, 0.2]}),
        (HistogramBinning(), {"n_bins": [2, 50], "bins": ["mass", "width"]}),
        (IsotonicCalibration(), {"prior": [0.0, 5.0]}),
    ],
)
def test_grid_search_reaches_the_parameters(estimator, grid):
    c, y = rows()
    search = GridSearchCV(estimator, grid, cv=3).fit(c[:, np.newaxis], y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    fresh = clone(estimator).set_params(**search.best_params_).fit(c, y)
    assert np.array_equal(search.best_estimator_.predict(c), fresh.predict(c))


@EVERY
def test_clones_and_pickles(cls):
    c, y = rows()
    fitted = cls().fit(c, y)
    check_is_fitted(fitted)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(TheirNotFittedError):
        copy.predict(c)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(c), fitted.predict(c))


# -- what its checks do not look at --------------------------------------------------------------


@EVERY
def test_one_column_is_a_vector_and_inputs_are_left_alone(cls):
    c, y = rows()
    w = np.arange(c.size) % 3.0
    before = c.copy(), y.copy(), w.copy()
    for array in (c, y, w):
        array.flags.writeable = False
    one, two = cls().fit(c, y, w), cls().fit(c[:, np.newaxis], y.tolist(), w.tolist())
    assert np.array_equal(one.predict(c), two.predict(c[:, np.newaxis].tolist()))
    assert one.predict(c[:, np.newaxis]).shape == c.shape
    assert np.array_equal(one.transform(c), one.predict(c))
    assert np.array_equal(cls().fit_transform(c, y, w), one.predict(c))
    assert all(np.array_equal(a, b) for a, b in zip(before, (c, y, w), strict=True))


@EVERY
def test_the_score_is_minus_the_mean_log_loss(cls):
    c, y = rows()
    fitted = cls().fit(c, y)
    p, w = fitted.predict(c), np.arange(c.size) % 4.0
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert fitted.score(c, y) == pytest.approx(-loss.mean(), abs=EXACT)
    assert fitted.fit_.loss == pytest.approx(loss.mean(), abs=EXACT)
    assert fitted.score(c, y, w) == pytest.approx(-np.average(loss, weights=w), abs=EXACT)
    assert (fitted.fit_.method, fitted.fit_.n) == (cls.method, c.size)
    assert cls().fit(c, y, w).fit_.n == np.count_nonzero(w)


def test_the_score_of_classes_by_hand():
    fitted = Softmax().fit([[0.0, 0.0], [0.0, 0.0]], [0, 1])
    z = np.log([[0.2, 0.8], [0.5, 0.5]])
    assert fitted.predict_proba(z) == pytest.approx(np.array([[0.2, 0.8], [0.5, 0.5]]), abs=EXACT)
    assert fitted.score(z, [1, 0], [3.0, 1.0]) == pytest.approx(
        (3 * np.log(0.8) + np.log(0.5)) / 4, abs=EXACT
    )


@EVERY
def test_a_state_goes_through_json_bit_for_bit(cls):
    c, y = rows(seed=3)
    fitted = cls().fit(c, y, np.random.default_rng(0).random(c.size))
    there = json.loads(json.dumps([fitted.get_params(), fitted.state()], allow_nan=False))
    back = cls.from_state(*there)
    everywhere = np.linspace(0, 1, 5001)
    assert np.array_equal(back.predict(everywhere), fitted.predict(everywhere))
    assert back.fit_ == fitted.fit_
    assert back.state() == fitted.state()


@EVERY
def test_a_state_that_was_changed_is_refused(cls):
    c, y = rows()
    fitted = cls().fit(c, y)
    state = fitted.state()
    for name in state:
        less = {key: value for key, value in state.items() if key != name}
        with pytest.raises(InvalidInputError, match=f"^state: expected an entry '{name}'"):
            cls.from_state(fitted.get_params(), less)
        for wrong in ("text", None, [None], True, float("nan"), -1e300):
            with pytest.raises(InvalidInputError, match=r"^state: .*; fit it again$"):
                cls.from_state(fitted.get_params(), {**state, name: wrong})
    with pytest.raises(InvalidInputError, match="got 'more' as well; fit it again"):
        cls.from_state(fitted.get_params(), {**state, "more": 1})
    with pytest.raises(InvalidInputError, match=f"expected the dict of {cls.__name__}.state"):
        cls.from_state(fitted.get_params(), [state])
    with pytest.raises(InvalidInputError, match="got 'temp'"):
        cls.from_state({"temp": 1}, state)
    for name, wrong in {"converged": 1, "notes": [1], "fallback": 2, "loss": -1.0, "n": 0}.items():
        with pytest.raises(InvalidInputError, match=f"as '{name}' of {cls.__name__} .fit."):
            cls.from_state(fitted.get_params(), {**state, "fit": {**state["fit"], name: wrong}})


@EVERY
def test_parameters(cls):
    estimator = cls()
    assert estimator.set_params() is estimator
    assert repr(estimator) == f"{cls.__name__}()"
    with pytest.raises(
        InvalidInputError,
        match=f"^parameter of {cls.__name__}: expected one of .*, got 'epsilon'",
    ):
        estimator.set_params(epsilon=1)
    for name in estimator.get_params():
        wrong = cls(**{name: "nonsense"})  # untouched until it is fitted
        assert wrong.get_params()[name] == "nonsense"
        with pytest.raises(InvalidInputError, match=f"^{name}: expected"):
            wrong.fit(*rows())


def test_a_repr_shows_what_was_changed():
    assert repr(PlattScaling(prior_smoothing=True)) == "PlattScaling(prior_smoothing=True)"
    assert repr(HistogramBinning(bins="mass", n_bins=3)) == "HistogramBinning(n_bins=3)"


@EVERY
@pytest.mark.parametrize(
    ("X", "y", "w", "message"),
    [
        ([0.1, 0.9], [1, 1], None, "y: expected right and wrong rows, got one class only (all 1)"),
        (
            [0.1, 0.9],
            [1, 0],
            [1, 0],
            "y: expected right and wrong rows, got one class only (all 1)",
        ),
        ([0.1, 0.9], [0, 0], None, "got one class only (all 0) in 2 rows"),
        ([0.1], [1], None, "got one class only (all 1) in 1 rows"),
        ([], [], None, "X: expected at least one value, got none"),
        ([0.1, 87.0], [1, 0], None, "got 87.0 at index 1; percentages must be divided by 100"),
        ([0.1, -0.1], [1, 0], None, "X: expected values in [0, 1], got -0.1 at index 1"),
        (
            [0.1, float("nan")],
            [1, 0],
            None,
            "X: expected probabilities in [0, 1], got NaN at index 1",
        ),
        ([0.1, float("inf")], [1, 0], None, "X: expected values in [0, 1], got inf at index 1"),
        ([[0.1, 0.9], [0.2, 0.8]], [1, 0], None, "X: expected confidences of shape (N,) or (N, 1)"),
        (0.5, [1], None, "X: expected confidences of shape (N,) or (N, 1), got ()"),
        (["a", "b"], [1, 0], None, "X: expected numbers, got texts or dtype <U1"),
        ([0.1, 0.9], None, None, "requires y to be passed, but the target y is None"),
        ([0.1, 0.9], [1], None, "y: expected 2 values, one per row of X, got 1"),
        ([0.1, 0.9], [1, 2], None, "y: expected values in [0, 1], got 2.0 at index 1"),
        ([0.1, 0.9], [1, 0], [1], "sample_weight: expected 2 values, one per sample, got 1"),
        ([0.1, 0.9], [1, 0], [1, -1], "sample_weight: expected finite values >= 0, got -1.0"),
        ([0.1, 0.9], [1, 0], [0, 0], "sample_weight: expected at least one value above 0"),
    ],
)
def test_bad_rows_are_one_clear_sentence(cls, X, y, w, message):
    with pytest.raises(InvalidInputError) as caught:
        cls().fit(X, y, sample_weight=w)
    assert message in str(caught.value)


@EVERY
def test_a_failed_fit_leaves_it_unfitted(cls):
    estimator = cls()
    with pytest.raises(InvalidInputError):
        estimator.fit([0.1, 0.9], [1, 1])
    assert not hasattr(estimator, "n_features_in_")
    with pytest.raises(NotFittedError):
        estimator.predict([0.5])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([0.1, 0.9], [0, 1], "X: expected a 2D array (N, K) with one column per class"),
        (
            [[0.1], [0.2]],
            [0, 0],
            "got 1 feature(s) (shape=(2, 1)) while a minimum of 2 is required",
        ),
        (np.zeros((0, 3)), [], "X: expected at least one row, got none"),
        (
            [[0.0, np.nan]],
            [0],
            "X: expected finite numbers, got nan in row 0, column 1; NaN and inf",
        ),
        ([[0.0, 1.0], [-np.inf, 0.0]], [0, 1], "got -inf in row 1, column 0"),
        (csr_array(np.eye(2)), [0, 1], "Sparse data are not supported"),
        ([[1j, 0], [0, 1]], [0, 1], "Complex data not supported"),
        ([[0.0, 1.0], [1.0]], [0, 1], "X: expected an array of numbers, got"),
        ([[{}, 1.0], [1.0, 0.0]], [0, 1], "argument must be a string or a real number, not 'dict'"),
        (np.eye(2), [0, 2], "y: expected values >= 0 and below 2, got 2 at index 1"),
        (np.eye(2), [0.5, 1], "y: expected whole numbers, got fractions or NaN"),
        (np.eye(2), [1, 1], "y: expected two classes or more, got one class only (all 1)"),
        (np.eye(2), None, "Softmax requires y to be passed, but the target y is None"),
    ],
)
def test_bad_rows_of_classes(X, y, message):
    with pytest.raises(InvalidInputError) as caught:
        Softmax().fit(X, y)
    assert message in str(caught.value)


def test_a_class_calibrator_wants_the_columns_of_its_fit():
    fitted = Softmax().fit(np.eye(3), [0, 1, 2])
    message = "X has 2 features, but Softmax is expecting 3 features as input"
    for call in (fitted.predict, fitted.transform, lambda X: fitted.score(X, [0, 1])):
        with pytest.raises(InvalidInputError, match=message):
            call(np.eye(2))
    back = Softmax.from_state(fitted.get_params(), fitted.state())
    assert np.array_equal(back.predict(np.eye(3)), fitted.predict(np.eye(3)))
    with pytest.raises(InvalidInputError, match="n_features_in"):
        Softmax.from_state({}, {**fitted.state(), "n_features_in": 1})


# -- not fitted ----------------------------------------------------------------------------------


@EVERY
def test_what_is_not_fitted_says_so(cls):
    message = f"^{cls.__name__}: expected a fitted calibrator, got one that is not fitted; call fit"
    for call in (
        lambda e: e.predict([0.5]),
        lambda e: e.transform([0.5]),
        lambda e: e.score([0.5], [1]),
        lambda e: e.state(),
    ):
        with pytest.raises(NotFittedError, match=message) as caught:
            call(cls())
        assert isinstance(caught.value, TheirNotFittedError)
        assert isinstance(caught.value, LevelheadError)
        back = pickle.loads(pickle.dumps(caught.value))
        assert (type(back), str(back)) == (type(caught.value), str(caught.value))


def test_without_sklearn_nothing_of_it_is_loaded():
    code = (
        "import sys, pickle\n"
        "from levelhead.calibrators._base import NotFittedError\n"
        "from levelhead.calibrators.scaling import PlattScaling\n"
        "try: PlattScaling().predict([0.5])\n"
        "except NotFittedError as error: print(type(pickle.loads(pickle.dumps(error))).__name__)\n"
        "print(hasattr(PlattScaling(), '__sklearn_tags__') and not hasattr(PlattScaling(), 'x'))\n"
        "try: PlattScaling().__sklearn_tags__()\n"
        "except AttributeError as error: print(error)\n"
        "print(sorted({'sklearn', 'pandas'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "NotFittedError",
        "True",
        "__sklearn_tags__ has an answer where scikit-learn is loaded only",
        "[]",
    ]
    assert isinstance(not_fitted("A"), NotFittedError)
