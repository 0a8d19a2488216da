"""Formats as bits, beside torch and a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from levelhead.diagnose.updates._bits import (
    CHUNK,
    FORMATS,
    Scratch,
    decode,
    encode,
    format_named,
    half_gaps,
    rounded,
    tally,
)
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)
TYPES = {
    "bfloat16": (torch.bfloat16, torch.int16),
    "float16": (torch.float16, torch.int16),
    "float32": (torch.float32, torch.int32),
    "float64": (torch.float64, torch.int64),
}
LEVELS = (0.0, 1e-6, 1e-5, 1e-4)


@pytest.mark.parametrize("name", TYPES)
def test_rounding_is_torchs(name: str) -> None:
    form = FORMATS[name]
    x = np.random.default_rng(1).standard_normal(4000) * 10.0 ** np.arange(-20, 20).repeat(100)
    x = np.r_[x, 0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, np.inf, -np.inf, np.nan]
    if name != "float64":
        x = x.astype(np.float32)
    kind, whole = TYPES[name]
    wanted = torch.from_numpy(x).to(kind)
    kept = ~np.isnan(x)
    assert np.array_equal(
        encode(x, form)[kept].view(form.bits.replace("u", "i")), wanted.view(whole).numpy()[kept]
    )
    np.testing.assert_array_equal(rounded(x, form), wanted.double().numpy())


def test_a_tie_goes_to_the_even_neighbor() -> None:
    assert rounded(np.array([1 + 2**-8, 1 + 3 * 2**-8]), FORMATS["bfloat16"]).tolist() == [
        1.0,
        1.015625,
    ]


def test_half_gaps_by_hand() -> None:
    # bfloat16 has 8 digits: from 1 upward the numbers lie 2^-7 apart, below 1 2^-8.
    away, toward = half_gaps(np.array([1.0, -1.0, 1.5, 0.0]), FORMATS["bfloat16"])
    np.testing.assert_array_equal(away[:3], 2.0**-8)
    np.testing.assert_array_equal(toward[:3], [2.0**-9, 2.0**-9, 2.0**-8])
    assert away[3] == toward[3] == 2.0**-134
    # A number of its own, a quarter of a gap above 1.5, is nearer to the upper middle.
    away, toward = half_gaps(np.array([1.5 + 2.0**-9]), FORMATS["bfloat16"])
    assert (away[0], toward[0]) == (2.0**-9, 2.0**-8 + 2.0**-9)


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_tally_is_the_slow_loops(name: str, share: float) -> None:
    form, rng = FORMATS[name], np.random.default_rng(3)
    n = CHUNK + 777
    a = rounded(rng.normal(0, 0.02, n), form).astype(np.float64)
    step = rng.normal(0, 1, n) * 10.0 ** rng.integers(-6, -2, n) * (rng.random(n) < share)
    b = rounded(a + step, form).astype(np.float64)
    found = tally(encode(a, form), encode(b, form), form, LEVELS)
    d = np.abs(b - a)
    assert found.n == n
    assert found.changed == int((d != 0).sum())
    assert found.above.tolist() == [int((d > t).sum()) for t in LEVELS]
    assert found.relative == int((d > np.abs(a) / 256).sum())
    assert found.total == pytest.approx(d.sum(), rel=1e-4)
    assert found.squares == pytest.approx((d**2).sum(), rel=1e-4)
    assert found.nonfinite == 0


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_not_finite_is_counted_apart(changed: bool) -> None:
    form = FORMATS["bfloat16"]
    a = np.full(1000, 0.5)
    b = a + 0.25 if changed else a.copy()
    a[3], b[3] = np.nan, np.nan
    a[7], b[7] = np.inf, np.inf
    b[20], b[21] = np.inf, 0.75
    found = tally(encode(a, form), encode(b, form), form, (0.0,))
    assert (found.n, found.nonfinite) == (997, 3)
    assert found.changed == (997 if changed else 1)
    assert found.total == pytest.approx(0.25 * found.changed)


@pytest.mark.parametrize("lost", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_seen_where_nothing_else_changed(lost: float) -> None:
    form = FORMATS["bfloat16"]
    bits = encode(np.array([-0.5, -0.25, lost, -0.5]), form)
    found = tally(bits, bits, form, (0.0,))
    assert (found.n, found.nonfinite, found.changed) == (3, 1, 0)


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("places", [(0, 1), (1, 0), (1, 1)])
def test_models_need_not_lie_at_even_places(places: tuple[int, int], every: int) -> None:
    form, rng = FORMATS["bfloat16"], np.random.default_rng(5)
    a = encode(rng.normal(size=1001), form)
    b = a.copy()
    b[::every] = encode(rng.normal(size=b[::every].size), form)
    moved = [np.r_[np.zeros(k, a.dtype), x][k:][:1000] for k, x in zip(places, (a, b), strict=True)]
    found, wanted = tally(*moved, form, LEVELS), tally(a[:1000], b[:1000], form, LEVELS)
    assert found.changed == np.count_nonzero(a[:1000] != b[:1000]) >= 142
    assert np.array_equal(found.above, wanted.above)
    assert found.total == pytest.approx(
        np.abs(decode(a, form) - decode(b, form))[:1000].sum(), rel=1e-5
    )


def test_the_two_zeros_are_one_number() -> None:
    form = FORMATS["bfloat16"]
    a, b = np.zeros(100), np.full(100, -0.0)
    assert tally(encode(a, form), encode(b, form), form, (0.0,)).changed == 0
    b[0] = 1.0
    assert tally(encode(a, form), encode(b, form), form, (0.0,)).changed == 1


def test_memory_is_used_again() -> None:
    form, rng = FORMATS["bfloat16"], np.random.default_rng(0)
    scratch = Scratch(form)
    for _ in range(3):
        a = encode(rng.normal(size=500), form)
        b = encode(rng.normal(size=500), form)
        again, fresh = tally(a, b, form, (0.0,), scratch), tally(a, b, form, (0.0,))
        assert (again.total, again.changed) == (fresh.total, fresh.changed)
        assert again.total == pytest.approx(
            np.abs(decode(a, form) - decode(b, form)).sum(), rel=1e-5
        )


def test_an_unknown_format() -> None:
    with pytest.raises(InvalidInputError, match="storage format"):
        format_named("bf16")
