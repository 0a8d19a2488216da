"""The gradient with the answer summed out: exact by differences, unbiased by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.rao_blackwell import prefix_gradient, rb_gradient, sampled_gradient

EXACT = 1e-10
P, FLOOR = 0.7, -4.6


def model(n_prefixes: int, n_tokens: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logits of prefixes (Z,) and answers (Z, K + 1), the last one invalid, and log rewards."""
    rng = np.random.default_rng(seed)
    values = np.linspace(0.1, 0.9, n_tokens)
    logits = rng.normal(size=n_prefixes), rng.normal(size=(n_prefixes, n_tokens + 1))
    return *logits, np.stack([np.log(1.0 - values), np.log(values)])


def probabilities(logits: FloatArray) -> FloatArray:
    out = np.exp(logits)
    return out / out.sum(axis=-1, keepdims=True)


def test_the_exact_gradient_by_differences() -> None:
    z, k, rewards = model(3, 4, 0)

    def value(zl: FloatArray, kl: FloatArray) -> float:
        q = np.append(P * rewards[1] + (1.0 - P) * rewards[0], FLOOR)
        return float(probabilities(zl) @ (probabilities(kl) @ q))

    step = 1e-5
    wanted_z = [(value(z + step * e, k) - value(z - step * e, k)) / (2.0 * step) for e in np.eye(3)]
    wanted_k = [
        (value(z, k + step * e.reshape(k.shape)) - value(z, k - step * e.reshape(k.shape)))
        / (2.0 * step)
        for e in np.eye(k.size)
    ]
    got = prefix_gradient(probabilities(z), probabilities(k)[:, :-1], P, rewards, floor=FLOOR)
    assert got[0] == pytest.approx(np.array(wanted_z), abs=1e-8)
    assert got[1].ravel() == pytest.approx(np.array(wanted_k), abs=1e-8)


def test_both_estimators_are_unbiased_by_enumeration() -> None:
    """Every outcome, pair of prefixes and pair of answers, the invalid one included."""
    z, k, rewards = model(2, 2, 1)
    pz, pk = probabilities(z), probabilities(k)
    exact = prefix_gradient(pz, pk[:, :-1], P, rewards, floor=FLOOR)
    sums = [[0.0, 0.0], [0.0, 0.0]]
    for a, zs in itertools.product((0, 1), itertools.product(range(2), repeat=2)):
        chance = (P if a else 1.0 - P) * math.prod(pz[i] for i in zs)
        got = rb_gradient(pz, pk[:, :-1], rewards, [zs], [a], floor=FLOOR)
        sums[0] = [s + chance * part[0] for s, part in zip(sums[0], got, strict=True)]
        for ks in itertools.product(range(3), repeat=2):
            both = chance * math.prod(pk[i, j] for i, j in zip(zs, ks, strict=True))
            one = sampled_gradient(pz, pk[:, :-1], rewards, [zs], [ks], [a], floor=FLOOR)
            sums[1] = [s + both * part[0] for s, part in zip(sums[1], one, strict=True)]
    for estimator in sums:
        for got, expected in zip(estimator, exact, strict=True):
            assert got == pytest.approx(expected, abs=EXACT)


def draws(
    pz: FloatArray, pk: FloatArray, many: int, size: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(2)
    a = (rng.random(many) < P).astype(int)
    z = rng.choice(pz.size, (many, size), p=pz)
    k = np.sum(np.cumsum(pk, axis=1)[z] < rng.random((many, size, 1)), axis=2)
    return a, z, np.minimum(k, pk.shape[1] - 1)


def test_summing_the_answer_out_lowers_the_variance() -> None:
    """Four prefixes, nine tokens and an invalid answer, groups of four."""
    z, k, rewards = model(4, 9, 3)
    k[:, -1] -= 1.0
    pz, pk = probabilities(z), probabilities(k)
    many = 20_000
    a, zs, ks = draws(pz, pk, many, 4)
    exact = prefix_gradient(pz, pk[:, :-1], P, rewards, floor=FLOOR)
    summed = rb_gradient(pz, pk[:, :-1], rewards, zs, a, floor=FLOOR)
    drawn = sampled_gradient(pz, pk[:, :-1], rewards, zs, ks, a, floor=FLOOR)
    for i in (0, 1):
        for got in (summed[i], drawn[i]):
            error = got.std(axis=0) / math.sqrt(many)
            assert (np.abs(got.mean(axis=0) - exact[i]) < 4.0 * error).all()
        ratio = drawn[i].var(axis=0).sum() / summed[i].var(axis=0).sum()
        assert ratio > 2.0


def test_invalid_mass_is_never_renormalized() -> None:
    """One prefix, half of the mass invalid: the invalid logit is pushed down by what it costs."""
    _, k = rb_gradient([1.0], [[0.25, 0.25]], [[0, 0], [1.0, 3.0]], [[0, 0]], [1], floor=-2.0)
    mean = 0.25 * 1.0 + 0.25 * 3.0 + 0.5 * -2.0
    assert k[0, 0] == pytest.approx(
        [0.25 * (1.0 - mean), 0.25 * (3.0 - mean), 0.5 * (-2.0 - mean)], abs=EXACT
    )


def test_what_does_not_fit_is_said() -> None:
    good = dict(prefix=[1.0], answer=[[0.5, 0.25]], rewards=np.zeros((2, 2)), floor=0.0)
    with pytest.raises(InvalidInputError, match=r"prefix: expected probabilities that sum to 1"):
        prefix_gradient([0.5], [[0.5, 0.25]], P, np.zeros((2, 2)), floor=0.0)
    with pytest.raises(InvalidInputError, match=r"answer: expected rows of probabilities that sum"):
        prefix_gradient([1.0], [[0.9, 0.2]], P, np.zeros((2, 2)), floor=0.0)
    with pytest.raises(InvalidInputError, match=r"answer: expected shape \(Z, K\) with Z = 1"):
        prefix_gradient([1.0], [0.9, 0.1], P, np.zeros((2, 2)), floor=0.0)
    with pytest.raises(InvalidInputError, match=r"prefixes: expected shape \(B, G\) with G >= 2"):
        rb_gradient(**good, prefixes=[[0]], outcomes=[1])
    with pytest.raises(InvalidInputError, match=r"outcomes: expected 1 values, 0 or 1"):
        rb_gradient(**good, prefixes=[[0, 0]], outcomes=[2])
    with pytest.raises(
        InvalidInputError, match=r"answers: expected shape \(1, 2\) and values from"
    ):
        sampled_gradient(**good, prefixes=[[0, 0]], answers=[[0, 3]], outcomes=[1])
