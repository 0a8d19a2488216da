"""Choosing a calibrator: folds, losses and standard errors by loops, the rule on made cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.calibrators import (
    AUTO,
    TABLE,
    Candidate,
    ClassTemperatureScaling,
    ConfidenceCalibrator,
    FitReport,
    IsotonicCalibration,
    MatrixScaling,
    PlattScaling,
    TemperatureScaling,
    choose,
    cross_fitted,
    make,
)
from levelhead.calibrators._cross import assign_folds, clustered_mean, fit_rows, rows_of
from levelhead.calibrators._table import AUTO_AT_MOST
from levelhead.errors import InvalidInputError

CLOSE = 1e-12
FloatArray = np.ndarray[Any, np.dtype[np.float64]]


class Power(ConfidenceCalibrator):
    """c -> c**power: nothing is fitted, so that every loss can be computed by hand."""

    method = "power"
    monotone = True
    nests_identity = False
    simplicity = 5

    def __init__(self, power: float = 1.0, converges: bool = True, method: str = "power") -> None:
        self.power, self.converges = power, converges
        self.method = method  # pyright: ignore[reportAttributeAccessIssue]

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        return FitReport(self.method, c.size, 0.0, 1, self.converges)

    def _apply(self, c: FloatArray) -> FloatArray:
        return c**self.power


class Simple(Power):
    simplicity = 3


class Seen(ConfidenceCalibrator):
    """0.9 for a confidence that was among the rows of the fit, else 0.5."""

    method = "seen"
    monotone = False
    nests_identity = False
    simplicity = 9

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        self.seen_ = set(c.tolist())
        return FitReport(self.method, c.size, 0.0)

    def _apply(self, c: FloatArray) -> FloatArray:
        return np.array([0.9 if one in self.seen_ else 0.5 for one in c.tolist()])


class Failing(Power):
    """Cannot be fitted without the largest confidence."""

    def _fit(self, c: FloatArray, y: FloatArray, w: FloatArray | None) -> FitReport:
        if c.max() < 0.99:
            raise InvalidInputError("X: expected something large, got none")
        return super()._fit(c, y, w)


def overconfident(n: int, seed: int = 0, power: float = 3.0) -> tuple[FloatArray, FloatArray]:
    draw = np.random.default_rng(seed)
    c = draw.beta(5.0, 1.5, n)
    return c, (draw.uniform(size=n) < c**power).astype(np.float64)


def by_loop(values: list[float], weights: list[float], groups: list[Any]) -> tuple[float, float]:
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    sums: dict[Any, float] = {}
    for v, w, g in zip(values, weights, groups, strict=True):
        sums[g] = sums.get(g, 0.0) + w * (v - mean)
    factor = len(sums) / (len(sums) - 1)
    return mean, math.sqrt(factor * sum(s * s for s in sums.values())) / total


LOSSES: dict[str, Callable[[float, float], float]] = {
    "log": lambda p, y: -y * math.log(p) - (1 - y) * math.log(1 - p),
    "brier": lambda p, y: y * (1 - p) ** 2 + (1 - y) * p**2,
}


@pytest.mark.parametrize("score", ["log", "brier"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_losses_and_their_errors_by_a_loop(score: Any, weighted: bool, grouped: bool) -> None:
    c, y = overconfident(60)
    y[::7] = 0.5
    draw = np.random.default_rng(1)
    w = draw.integers(1, 4, 60).astype(np.float64) if weighted else None
    g = [f"prompt {i}" for i in draw.integers(0, 15, 60)] if grouped else None
    found = choose(
        c, y, methods=[Simple(1.0, method="one"), Power(3.0, method="three")], score=score,
        sample_weight=w, groups=g,
    )  # fmt: skip
    losses = {
        name: [LOSSES[score](p**k, t) for p, t in zip(c.tolist(), y.tolist(), strict=True)]
        for name, k in (("one", 1.0), ("three", 3.0))
    }
    weights = [1.0] * 60 if w is None else w.tolist()
    units = list(range(60)) if g is None else g
    assert [one.method for one in found.candidates] == ["three", "one"]
    paired = [a - b for a, b in zip(losses["one"], losses["three"], strict=True)]
    for one in found.candidates:
        wanted = by_loop(losses[one.method], weights, units)
        assert (one.loss, one.se) == pytest.approx(wanted, rel=CLOSE)
    best, other = found.candidates
    assert (best.difference, best.difference_se) == (0.0, 0.0)
    wanted = by_loop(paired, weights, units)
    assert (other.difference, other.difference_se) == pytest.approx(wanted, rel=CLOSE)


def test_the_brier_score_and_log_loss_of_classes_by_hand() -> None:
    z = np.log([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.3, 0.3, 0.4]])
    y = [0, 1, 2, 2]
    found = choose(z, y, methods=["identity"], n_folds=2, score="brier")
    by_hand = (0.25 + 0.09 + 0.04, 0.01 + 0.04 + 0.01, 0.36 + 0.04 + 0.64, 0.09 + 0.09 + 0.36)
    assert found.candidates[0].loss == pytest.approx(sum(by_hand) / 4, rel=CLOSE)
    found = choose(z, y, methods=["identity"], n_folds=2)
    by_hand = [-math.log(p) for p in (0.5, 0.8, 0.2, 0.4)]
    assert found.candidates[0].loss == pytest.approx(sum(by_hand) / 4, rel=CLOSE)
    assert found.method == "class_identity"


def test_a_weight_of_zero_is_absence() -> None:
    c, y = overconfident(80)
    more_c, more_y = np.append(c, [1.0, 0.0]), np.append(y, [0.0, 1.0])  # certain and wrong
    w = np.append(np.ones(80), [0.0, 0.0])
    found = choose(more_c, more_y, methods=["identity", "platt"], sample_weight=w)
    assert all(math.isfinite(one.loss) for one in found.candidates)
    assert found.candidates[1].loss == pytest.approx(float(np.mean(
        [LOSSES["log"](p, t) for p, t in zip(c, y, strict=True)])), rel=CLOSE)  # fmt: skip


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200, 1e305])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_scale_of_the_weights_changes_nothing(scale: float, grouped: bool) -> None:
    c, y = overconfident(120)
    draw = np.random.default_rng(2)
    w = draw.integers(0, 4, 120).astype(np.float64)
    groups = draw.integers(0, 30, 120) if grouped else None
    wanted = clustered_mean(y - c, w, groups)
    assert clustered_mean(y - c, scale * w, groups) == pytest.approx(wanted, rel=1e-9)
    assert wanted == pytest.approx(
        by_loop(
            *((y - c)[w > 0].tolist(), w[w > 0].tolist()),
            (np.arange(120) if groups is None else groups)[w > 0].tolist(),
        ),
        rel=CLOSE,
    )
    methods = [Simple(1.0, method="simple"), Power(3.0, method="near"), Power(2.0, method="other")]
    for score in ("log", "brier"):
        once, scaled = (
            choose(c, y, methods=methods, score=score, sample_weight=one, groups=groups)
            for one in (w, scale * w)
        )
        assert scaled.method == once.method == "near"
        assert scaled.reason == once.reason
        for a, b in zip(scaled.candidates, once.candidates, strict=True):
            figures = (b.loss, b.se, b.difference, b.difference_se)
            assert (a.loss, a.se, a.difference, a.difference_se) == pytest.approx(figures, rel=1e-9)


# ---- the rule


def within(found: Candidate) -> bool:
    return found.difference <= found.difference_se


def test_the_simplest_within_one_standard_error_wins() -> None:
    c, y = overconfident(300)
    for power, near in ((2.9, True), (1.0, False)):
        methods = [Simple(power, method="simple"), Power(3.1, method="best")]
        found = choose(c, y, methods=methods)
        assert found.candidates[0].method == "best"
        assert within(found.candidates[1]) is near
        assert found.method == ("simple" if near else "best")
        assert choose(c, y, methods=methods, rule="best").method == "best"
        assert choose(c, y, methods=methods[::-1]).method == found.method


@pytest.mark.parametrize(
    ("right", "ratio", "chosen"), [(31, 1.398, "best"), (32, 1.173, "best"), (33, 0.952, "simple")]
)
def test_the_margin_is_one_standard_error(right: int, ratio: float, chosen: str) -> None:
    # All say 1/2; one predicts 1/2 and the other 1/4. The difference of their Brier scores is
    # 1/4 - 1/16 for a wrong answer and 1/4 - 9/16 for a right one: two values that are 1/2 apart.
    n, share = 100, right / 100
    mean = 3 / 16 - share / 2
    error = 0.5 * math.sqrt(share * (1 - share) / (n - 1))
    assert mean / error == pytest.approx(ratio, abs=1e-3)
    methods = [Simple(1.0, method="simple"), Power(2.0, method="best")]
    found = choose(np.full(n, 0.5), np.arange(n) < right, methods=methods, score="brier")
    other = found.candidates[1]
    assert (other.difference, other.difference_se) == pytest.approx((mean, error), rel=CLOSE)
    assert found.method == chosen


def test_ties_go_to_the_simpler_one_and_then_to_the_lower_loss() -> None:
    c, y = overconfident(200)
    same = [Power(2.0, method="complex"), Simple(2.0, method="simple")]
    for rule in ("one_se", "best"):
        for methods in (same, same[::-1]):
            found = choose(c, y, methods=methods, rule=rule)  # pyright: ignore[reportArgumentType]
            assert found.method == "simple"
            assert found.candidates[0].method == "simple"
    equal = [Simple(2.0, method="a"), Simple(2.9, method="b"), Simple(3.1, method="c")]
    found = choose(c, y, methods=equal)
    assert found.method == found.candidates[0].method


def test_groups_widen_the_error_and_so_favor_the_simple_one() -> None:
    # ten prompts, forty samples each that say the same: ten observations and not four hundred
    c, y = np.repeat(np.linspace(0.3, 0.9, 10), 40), np.repeat([0, 1, 0, 0, 1, 1, 0, 1, 1, 1], 40)
    methods = [Simple(1.0, method="simple"), Power(1.3, method="other")]
    groups = np.repeat(np.arange(10), 40)
    alone, grouped = (choose(c, y, methods=methods, groups=g) for g in (None, groups))
    # fully dependent rows: the standard error is that of ten rows, sqrt(40) times as large, up to
    # n / (n - 1), which is 400/399 and 10/9
    ratio = grouped.candidates[1].difference_se / alone.candidates[1].difference_se
    assert ratio == pytest.approx(math.sqrt(40 * (10 / 9) / (400 / 399)), rel=1e-9)


def test_the_reason_says_why() -> None:
    c, y = overconfident(300)
    simple, best = Simple(2.9, method="simple"), Power(3.1, method="best")
    found = choose(c, y, methods=[simple, best])
    low, high = found.candidates
    assert found.reason == (
        f"simple: cross-validated log loss {high.loss:.4f} ± {high.se:.4f}; best is best with "
        f"{low.loss:.4f}, within one standard error ({high.difference_se:.4f} for the paired difference "
        f"{high.difference:.4f}), and simple is simpler"
    )
    start = f"best: cross-validated log loss {low.loss:.4f} ± {low.se:.4f}"
    found = choose(c, y, methods=[Simple(1.0, method="simple"), best])
    assert found.reason == (
        f"{start}, the lowest of 2 candidates, and no simpler one is within one standard error of it"
    )
    assert choose(c, y, methods=[simple, best], rule="best").reason == (
        f"{start}, the lowest of 2 candidates"
    )
    assert choose(c, y, methods=[best]).reason == f"{start}, the only candidate"
    reason = choose(c, y, methods=[best], score="brier").reason
    assert reason.startswith("best: cross-validated Brier score 0.")
    reason = choose(c, y, methods=["identity"]).reason
    assert reason.startswith("identity (no calibration): cross-validated log loss 0.")


# ---- candidates that cannot win


def test_a_wrong_certainty_is_infinite_and_noted() -> None:
    c, y = overconfident(100)
    c[0], y[0] = 1.0, 0.0
    found = choose(c, y, methods=["identity", "platt"])
    assert found.method == "platt"
    last = found.candidates[-1]
    assert last == Candidate(
        "identity", math.inf, math.inf, math.inf, math.inf, 0,
        "infinite loss: it was certain of something that did not happen",
    )  # fmt: skip
    assert found.reason.endswith(". Out of the running: identity")
    brier = choose(c, y, methods=["identity", "platt"], score="brier")
    assert all(math.isfinite(one.loss) for one in brier.candidates)
    with pytest.raises(InvalidInputError) as error:
        choose(c, y, methods=["identity"])
    assert str(error.value) == (
        "methods: expected one that can be fitted with a finite log loss, got identity: infinite loss: "
        "it was certain of something that did not happen"
    )


def test_a_candidate_that_fails_in_a_fold_is_kept_and_cannot_win() -> None:
    c, y = overconfident(100)
    c = 0.9 * c
    c[3], y[3] = 1.0, 1.0
    found = choose(c, y, methods=[Failing(3.0, method="failing"), TemperatureScaling()])
    assert found.method == "temperature"
    last = found.candidates[-1]
    assert math.isnan(last.loss)
    assert math.isnan(last.difference)
    assert last.note in [
        f"in fold {k} of 5: X: expected something large, got none" for k in range(1, 6)
    ]


def test_a_candidate_that_does_not_converge_cannot_win() -> None:
    c, y = overconfident(100)
    methods = [Power(3.0, converges=False, method="stuck"), Simple(1.0, method="simple")]
    found = choose(c, y, methods=methods)
    assert found.method == "simple"
    assert found.candidates[-1].note == "in fold 1 of 5: it did not converge"


def test_one_class_in_a_fold_is_a_failure_of_the_candidates_and_not_a_crash() -> None:
    c = np.linspace(0.1, 0.9, 6)
    y = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    with pytest.raises(
        InvalidInputError, match=r"platt: in fold \d of 3: y: expected right and wrong"
    ):
        choose(c, y, methods=["platt"], n_folds=3)


# ---- folds


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[float], list[int], list[str]]:
    n = draw(st.integers(6, 60))
    c = draw(st.lists(st.sampled_from([0.1, 0.5, 0.7, 0.9, 1.0]), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    g = draw(st.lists(st.sampled_from("abcdefghij"), min_size=n, max_size=n))
    y[:2], g[:2] = [0, 1], ["a", "b"]
    return c, y, g


@settings(max_examples=60)
@given(grouped(), st.integers(2, 5), st.integers(0, 3))
def test_no_group_is_split_and_no_fold_is_empty(
    drawn: tuple[list[float], list[int], list[str]], n_folds: int, seed: int
) -> None:
    c, y, g = drawn
    n_folds = min(n_folds, len(set(g)))
    folds = assign_folds(rows_of(c, y, None, g), n_folds, seed)
    assert set(folds.tolist()) == set(range(n_folds))
    assert all(len({f for f, h in zip(folds, g, strict=True) if h == one}) == 1 for one in set(g))


@settings(max_examples=60)
@given(grouped(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_rows_does_not_matter(
    drawn: tuple[list[float], list[int], list[str]], random: Any, with_groups: bool
) -> None:
    c, y, g = drawn
    order = list(range(len(c)))
    random.shuffle(order)
    groups = g if with_groups else None
    n_folds = min(3, len(set(g)))
    first = assign_folds(rows_of(c, y, None, groups), n_folds, 0)
    mixed = None if groups is None else [g[i] for i in order]
    second = assign_folds(
        rows_of([c[i] for i in order], [y[i] for i in order], None, mixed), n_folds, 0
    )
    # rows that are equal may change places
    key = list(zip(first.tolist(), c, y, g if with_groups else y, strict=True))
    again = [
        (f, c[i], y[i], g[i] if with_groups else y[i])
        for f, i in zip(second.tolist(), order, strict=True)
    ]
    assert sorted(key) == sorted(again)


@given(st.integers(4, 40), st.integers(0, 40), st.integers(2, 4), st.integers(0, 3))
def test_classes_are_spread_evenly(right: int, wrong: int, n_folds: int, seed: int) -> None:
    wrong = max(wrong, 1)
    y = np.repeat([1.0, 0.0], [right, wrong])
    c = np.random.default_rng(seed).uniform(size=y.size)
    folds = assign_folds(rows_of(c, y, None, None), n_folds, seed)
    for one in (0.0, 1.0):
        counts = np.bincount(folds[y == one], minlength=n_folds)
        assert counts.max() - counts.min() <= 1
    counts = np.bincount(folds, minlength=n_folds)
    assert counts.max() - counts.min() <= 1


def test_a_rare_class_is_in_every_fold_also_with_groups() -> None:
    draw = np.random.default_rng(0)
    for seed in range(20):
        g = draw.integers(0, 60, 400)
        rare = draw.choice(60, 6, replace=False)
        y = np.isin(g, rare) & (draw.uniform(size=400) < 0.5)
        y[[int((g == one).argmax()) for one in rare]] = True  # six groups have the rare class
        rows = rows_of(draw.uniform(size=400), y, None, g)
        folds = assign_folds(rows, 5, seed)
        assert set(folds[y].tolist()) == {0, 1, 2, 3, 4}
        assert np.bincount(folds).min() > 40
    z = draw.normal(size=(275, 4))
    y = np.repeat([0, 1, 2, 3], [90, 90, 90, 5])
    assert set(assign_folds(rows_of(z, y, None, None), 5, 0)[y == 3].tolist()) == {0, 1, 2, 3, 4}


def test_rows_of_weight_zero_do_not_take_a_rare_class_s_place() -> None:
    y = np.repeat([1.0, 1.0, 0.0], [5, 50, 100])
    w = np.repeat([1.0, 0.0, 1.0], [5, 50, 100])
    c = np.random.default_rng(0).uniform(size=y.size)
    for seed in range(10):
        folds = assign_folds(rows_of(c, y, w, None), 5, seed)
        assert set(folds[:5].tolist()) == {0, 1, 2, 3, 4}


def test_another_seed_gives_other_folds() -> None:
    c, y = overconfident(100)
    rows = rows_of(c, y, None, None)
    assert (assign_folds(rows, 5, 0) == assign_folds(rows, 5, 0)).all()
    assert (assign_folds(rows, 5, 0) != assign_folds(rows, 5, 1)).any()
    rows = rows_of(c, y, None, np.arange(100) // 4)
    assert (assign_folds(rows, 5, 0) != assign_folds(rows, 5, 1)).any()


def test_copies_of_a_row_of_class_scores_share_a_fold_and_move_nobody() -> None:
    z, y = class_logits(200, np.eye(3))
    folds = assign_folds(rows_of(z, y, None, None), 5, 0)
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 1
    order = np.random.default_rng(1).permutation(600)
    for weights in (None, np.random.default_rng(2).uniform(1.0, 2.0, 600)):
        mixed = rows_of(np.tile(z, (3, 1))[order], np.tile(y, 3)[order], weights, None)
        assert (assign_folds(mixed, 5, 0) == np.tile(folds, 3)[order]).all()
    # the label is of the content, and so is the sign of nothing
    same = np.zeros((12, 2))
    same[::2] = -0.0
    labels = np.tile([0, 0, 1], 4)
    folds = assign_folds(rows_of(same, labels, None, None), 2, 0)
    assert len(set(folds[labels == 0].tolist())) == len(set(folds[labels == 1].tolist())) == 1
    assert folds[0] != folds[2]


def test_a_copy_without_weight_does_not_hide_the_class_of_the_others() -> None:
    z = np.random.default_rng(0).normal(size=(60, 2))
    y = np.repeat([0, 1], [55, 5])
    w = np.repeat(
        [1.0, 0.0], [60, 30]
    )  # weightless copies of some rows, all the rare ones among them
    for seed in range(10):
        rows = rows_of(np.append(z, z[30:], axis=0), np.append(y, y[30:]), w, None)
        folds = assign_folds(rows, 5, seed)
        assert set(folds[55:60].tolist()) == {0, 1, 2, 3, 4}
        assert (folds[60:] == folds[30:60]).all()


def test_as_many_folds_as_different_rows_at_most() -> None:
    z, y = np.tile(3.0 * np.eye(3), (20, 1)), np.tile([0, 1, 1], 20)
    with pytest.raises(InvalidInputError) as error:
        choose(z, y, methods=["temperature"])
    assert str(error.value) == "n_folds: expected at most 3, the number of different rows, got 5"
    folds = assign_folds(rows_of(z, y, None, None), 3, 0)
    assert sorted(folds[:3].tolist()) == [0, 1, 2]
    groups = np.arange(60) // 3  # with groups, they are what is dealt
    assert set(assign_folds(rows_of(z, y, None, groups), 5, 0).tolist()) == {0, 1, 2, 3, 4}


def test_equal_confidences_are_dealt_one_by_one() -> None:
    c, y = np.full(100, 0.9), np.tile([1.0, 0.0], 50)
    folds = assign_folds(rows_of(c, y, None, None), 5, 0)
    for one in (0.0, 1.0):
        assert np.bincount(folds[y == one]).tolist() == [10] * 5


# ---- out of fold


def test_no_row_is_predicted_by_a_fit_that_saw_it_or_its_group() -> None:
    c = np.linspace(0.1, 0.9, 40)
    y = np.tile([0.0, 1.0], 20)
    assert (cross_fitted(Seen(), c, y) == 0.5).all()
    said, groups = np.repeat(c[:20], 2), np.repeat(np.arange(20), 2)
    assert (cross_fitted(Seen(), said, y, groups=groups) == 0.5).all()
    assert (cross_fitted(Seen(), said, y) == 0.9).any()  # a twin in another fold gives it away


def test_cross_fitting_equals_a_loop() -> None:
    c, y = overconfident(90)
    w, g = np.tile([1.0, 2.0, 3.0], 30), np.arange(90) // 3
    rows = rows_of(c, y, w, g)
    folds = assign_folds(rows, 4, 3)
    got = cross_fitted("platt", c, y, sample_weight=w, groups=g, n_folds=4, seed=3)
    auto = cross_fitted("auto", c, y, sample_weight=w, groups=g, n_folds=4, seed=3)
    for fold in range(4):
        train, test = folds != fold, folds == fold
        fitted = PlattScaling().fit(c[train], y[train], sample_weight=w[train])
        assert (got[test] == fitted.predict(c[test])).all()
        inner = choose(
            c[train], y[train], sample_weight=w[train], groups=g[train], n_folds=4, seed=3
        )
        assert (auto[test] == inner.calibrator.predict(c[test])).all()


def test_choosing_inside_with_fewer_groups_than_folds() -> None:
    c, y = overconfident(40)
    y[:10] = np.tile([0.0, 1.0], 5)
    got = cross_fitted("auto", c, y, groups=np.arange(40) % 5, n_folds=5)
    assert np.isfinite(got).all()


def test_the_calibrator_that_was_given_stays_unfitted() -> None:
    c, y = overconfident(60)
    mine = PlattScaling(eps=1e-3)
    found = choose(c, y, methods=[mine])
    cross_fitted(mine, c, y)
    assert not hasattr(mine, "fit_")
    assert found.calibrator is not mine
    assert found.calibrator.get_params() == mine.get_params()
    assert (found.calibrator.predict(c) == PlattScaling(eps=1e-3).fit(c, y).predict(c)).all()


def test_progress_is_told() -> None:
    c, y = overconfident(60)
    told: list[str] = []
    choose(c, y, methods=["temperature", "platt"], on_step=told.append)
    assert told[:2] == ["temperature", "platt"]
    assert told[2].endswith(" on all rows")
    told.clear()
    cross_fitted("platt", c, y, n_folds=2, on_step=told.append)
    assert told == ["fold 1 of 2: platt", "fold 2 of 2: platt"]
    told.clear()
    cross_fitted("auto", c, y, n_folds=2, on_step=told.append)
    assert told[0] == "fold 1 of 2: identity"
    assert len(told) == 2 * len(AUTO["confidence"])


@pytest.mark.parametrize("n", [60, 61])
def test_a_slow_method_is_left_out_beyond_its_limit(
    monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    assert AUTO_AT_MOST == {"venn_abers": 50_000}
    monkeypatch.setitem(AUTO_AT_MOST, "venn_abers", 60)
    c, y = (np.tile(one, 2) for one in overconfident(n))  # what counts are the different ones
    found = choose(c, y)
    assert {one.method for one in found.candidates} == set(AUTO["confidence"])
    notes = {one.method: one.note for one in found.candidates}
    simplicity = TABLE["venn_abers"].simplicity
    told: list[str] = []
    if n == 60:
        assert notes["venn_abers"] == ""
    else:
        last = found.candidates[-1]
        assert (last.method, last.simplicity) == ("venn_abers", simplicity)
        assert last.note == "left out: more than 60 different confidences"
        assert all(math.isnan(v) for v in (last.loss, last.se, last.difference, last.difference_se))
        assert found.reason.endswith(". Out of the running: venn_abers")
        cross_fitted("auto", np.tile(c, 20), np.tile(y, 20), n_folds=2, on_step=told.append)
    named = choose(c, y, methods=["venn_abers"], on_step=told.append)
    assert named.method == "venn_abers"
    assert math.isfinite(named.candidates[0].loss)
    assert [one for one in told if "venn_abers" in one] == ["venn_abers", "venn_abers on all rows"]


# ---- on data whose law is known


def share_of_choices(law: Callable[[FloatArray], FloatArray], n: int = 400) -> dict[str, int]:
    counts: dict[str, int] = {}
    for seed in range(25):
        draw = np.random.default_rng(seed)
        c = draw.uniform(0.02, 0.98, n)
        y = (draw.uniform(size=n) < law(c)).astype(np.float64)
        methods = ["identity", "temperature", "platt", "isotonic"]
        name = choose(c, y, methods=methods, seed=seed).method
        counts[name] = counts.get(name, 0) + 1
    return counts


def test_the_law_decides() -> None:
    def sigmoid(x: FloatArray) -> FloatArray:
        return 1.0 / (1.0 + np.exp(-x))

    def logit(c: FloatArray) -> FloatArray:
        return np.log(c / (1.0 - c))

    assert share_of_choices(lambda c: c).get("identity", 0) >= 18
    assert share_of_choices(lambda c: sigmoid(0.3 * logit(c))).get("temperature", 0) >= 18
    assert share_of_choices(lambda c: sigmoid(0.6 * logit(c) - 1.0)).get("platt", 0) >= 18
    step = share_of_choices(lambda c: np.where(c > 0.9, 0.9, np.where(c > 0.3, 0.5, 0.1)), 4000)
    assert step.get("isotonic", 0) >= 18


# ---- input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["plat"]}, "method: expected one of beta, histogram, identity, isotonic, platt, "
         "temperature, venn_abers, got 'plat'; did you mean 'platt'?"),
        ({"methods": ["matrix"]}, "method: expected one for confidence (identity, temperature, platt, "
         "beta, histogram, isotonic, venn_abers), got 'matrix', which is for classes"),
        ({"methods": "platt"}, "methods: expected several, got the single 'platt'; put it in a list"),
        ({"methods": []}, "methods: expected at least one, got none"),
        ({"methods": ["platt", "platt"]}, "methods: expected each once, got PlattScaling() twice"),
        (
            {"methods": [3]},
            "calibrator: expected a name or a calibrator (an object with fit, predict and "
            "get_params), got int",
        ),
        ({"n_folds": 1}, "n_folds: expected a whole number of at least 2, got 1"),
        ({"n_folds": True}, "n_folds: expected a whole number of at least 2, got True"),
        ({"n_folds": 41}, "n_folds: expected at most 40, the number of rows, got 41"),
        ({"groups": np.arange(40) % 4}, "n_folds: expected at most 4, the number of groups, got 5"),
        ({"groups": [1]}, "groups: expected shape (40,), one label per sample, got (1,)"),
        ({"score": "auroc"}, "score: expected one of brier, log, got 'auroc'"),
        ({"rule": "one"}, "rule: expected one of best, one_se, got 'one'; did you mean 'one_se'?"),
        ({"sample_weight": [1.0]}, "sample_weight: expected 40 values, one per sample, got 1"),
        ({"sample_weight": -np.ones(40)},
         "sample_weight: expected finite values >= 0, got -1.0 at index 0"),
        ({"y": np.ones(40)}, "y: expected right and wrong answers, got only right ones; there is nothing "
         "to calibrate against"),
        ({"y": np.ones(3)}, "y: expected 40 values, one for each of X, got 3"),
        ({"X": np.full(40, 87.0)}, "X: expected values in [0, 1], got 87.0 at index 0; percentages "
         "must be divided by 100"),
        ({"X": np.full(40, math.nan)}, "X: expected probabilities in [0, 1], got NaN at index 0; a row "
         "without a confidence must be left out"),
        ({"X": np.zeros((40, 3)), "y": np.arange(40) % 3, "inputs": "probs"}, "X: expected rows that sum "
         "to 1, got 0 in row 0; logits must go through a softmax first"),
        ({"inputs": "logit"},
         "inputs: expected one of logits, probs, got 'logit'; did you mean 'logits'?"),
        ({"X": np.full((40, 3), math.inf)}, "X: expected finite numbers, got inf in row 0, column 0; NaN "
         "and infinity cannot be calibrated (clip probabilities of 0 before taking their logarithm)"),
        ({"X": np.zeros((40, 3)), "y": np.ones(40)}, "y: expected at least two classes, got only class "
         "1; there is nothing to calibrate against"),
        ({"X": np.zeros((40, 3)), "y": np.full(40, 3)}, "y: expected values >= 0 and below 3, got 3 at "
         "index 0"),
        ({"X": np.zeros((40, 3)), "y": np.arange(40) % 3, "methods": [PlattScaling()]}, "calibrator: "
         "expected one for classes, as X has shape (40, 3), got PlattScaling() for confidence"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_one_sentence(arguments: dict[str, Any], message: str) -> None:
    c, y = overconfident(40)
    with pytest.raises(InvalidInputError) as error:
        choose(**({"X": c, "y": y} | arguments))
    assert str(error.value) == message


def test_names_and_columns() -> None:
    c, y = overconfident(60)
    two = [PlattScaling(), PlattScaling(eps=0.01)]
    names = {one.method for one in choose(c, y, methods=two).candidates}
    assert names == {"PlattScaling()", "PlattScaling(eps=0.01)"}
    assert choose(c[:, None], y).reason == choose(c, y).reason
    assert isinstance(make("isotonic"), IsotonicCalibration)
    with pytest.raises(
        InvalidInputError, match="^input: expected one of classes, confidence, got 'both'$"
    ):
        make("platt", "both")  # pyright: ignore[reportArgumentType]
    for name, kind in TABLE.items():
        assert type(make(name, kind.input)) is kind
    assert clustered_mean(np.array([1.0]), None, None) == (1.0, math.inf)


# ---- classes


def class_logits(n: int, matrix: FloatArray, seed: int = 0) -> tuple[FloatArray, Any]:
    """Logits whose truth is a softmax of `matrix` times them."""
    draw = np.random.default_rng(seed)
    z = draw.normal(0.0, 2.0, (n, matrix.shape[0]))
    scores = z @ matrix.T + draw.gumbel(size=z.shape)
    return z, scores.argmax(axis=1)


def test_the_law_decides_between_calibrators_of_classes_too() -> None:
    names = ["identity", "temperature", "vector", "matrix"]
    z, y = class_logits(1500, np.eye(3))
    assert choose(z, y, methods=names).method == "class_identity"
    z, y = class_logits(1500, 0.3 * np.eye(3))
    assert choose(z, y, methods=names).method == "class_temperature"
    z, y = class_logits(1500, np.diag([0.2, 1.0, 0.5]))
    assert choose(z, y, methods=names).method == "vector"
    z, y = class_logits(1500, np.array([[0.6, -0.5, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.4]]))
    assert choose(z, y, methods=names).method == "matrix"


class Grouped(ClassTemperatureScaling):
    """Remembers the groups that its fits were given."""

    handed: list[Any] = []  # noqa: RUF012  # of all copies

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        self.handed.append((np.asarray(X), groups))
        return super().fit(X, y, sample_weight)


def test_a_calibrator_with_folds_of_its_own_is_handed_the_groups() -> None:
    z, y = class_logits(60, np.eye(3))
    names = [f"prompt {i // 4}" for i in range(60)]
    of_row = {row.tobytes(): name for row, name in zip(z, names, strict=True)}
    calls: list[tuple[Callable[[], object], int]] = [
        (lambda: choose(z, y, methods=[Grouped()], groups=names, n_folds=3), 4),
        (lambda: cross_fitted(Grouped(), z, y, groups=names, n_folds=3), 3),
        (lambda: fit_rows(Grouped(), rows_of(z, y, None, names)), 1),
    ]
    for call, n_fits in calls:
        Grouped.handed.clear()
        call()
        assert len(Grouped.handed) == n_fits
        for X, groups in Grouped.handed:
            wanted = [of_row[row.tobytes()] for row in X]
            pairs = set(zip(wanted, groups.tolist(), strict=True))
            assert len(pairs) == len(set(wanted)) == len(set(groups.tolist()))
    Grouped.handed.clear()
    choose(z, y, methods=[Grouped()])
    assert {groups is None for _, groups in Grouped.handed} == {True}


def test_groups_reach_the_inner_folds_and_a_fallback_is_noted() -> None:
    z, y = class_logits(120, 0.3 * np.eye(3))
    groups = np.arange(120) // 4
    found = choose(z, y, methods=[MatrixScaling(0.1), "temperature"], groups=groups)
    assert found.method == "class_temperature"
    notes = {one.method: one.note for one in found.candidates}
    assert notes["matrix"] == "fell back to temperature in 5 of 5 folds"
    got = cross_fitted("matrix", z, y, groups=groups, n_folds=3)
    folds = assign_folds(rows_of(z, y, None, groups), 3, 0)
    for fold in range(3):
        train = folds != fold
        alone = MatrixScaling().fit(z[train], y[train], groups=groups[train])
        assert (got[~train] == alone.predict(z[~train])).all()


def test_probabilities_are_declared() -> None:
    z, y = class_logits(200, 0.3 * np.eye(3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    found = choose(p, y, methods=["identity", "temperature"], inputs="probs")
    logits = choose(z, y, methods=["identity", "temperature"])
    assert found.method == logits.method == "class_temperature"
    # the identity; the temperatures differ, as the order of the content, and so the folds, do
    assert found.candidates[1].loss == pytest.approx(logits.candidates[1].loss, rel=CLOSE)
    with pytest.raises(InvalidInputError) as error:
        choose(p, y)
    assert str(error.value) == (
        "X: expected logits, got 200 rows that lie in [0, 1] and sum to 1; if they are probabilities, "
        'pass inputs="probs"'
    )


def test_the_reason_calls_methods_for_classes_as_they_are_asked_for() -> None:
    z = np.random.default_rng(3).normal(0.0, 2.0, (200, 3))
    y = np.array([np.random.default_rng(i).choice(3) for i in range(200)])
    found = choose(z, y, methods=["identity", "temperature"])
    assert found.method == "class_temperature"
    assert found.reason.startswith("temperature: cross-validated log loss ")
    assert "class_" not in found.reason
    assert "±" in found.reason
    assert "+-" not in found.reason
