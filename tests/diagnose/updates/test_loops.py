"""Compiled loops beside a slow loop, and beside numpy's."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates import _run, diagnose_updates
from levelhead.diagnose.updates._bits import FORMATS, Bits, Format, Scratch, encode, rounded
from levelhead.diagnose.updates._loops import PART, PLAIN, Loops, compiled

pytest.importorskip("numba")
LEVELS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.1)
BFLOAT16, FLOAT32 = FORMATS["bfloat16"], FORMATS["float32"]


@pytest.fixture(scope="module")
def loops() -> Loops:
    found = compiled()
    assert found is not None
    return found


def fixed(values: np.ndarray, form: Format) -> Bits:
    """Bits that are not to be written to, as those of a file are."""
    bits = encode(values, form)
    bits.flags.writeable = False
    return bits


def noise(shape: object, seed: int, size: float = 0.02) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, shape)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("levels", [LEVELS, (0.0,)])
def test_sums_are_the_slow_loops(
    loops: Loops, name: str, share: float, levels: tuple[float, ...]
) -> None:
    form, rng = FORMATS[name], np.random.default_rng(1)
    n = 3 * PART + 777
    a = rounded(noise(n, 2), form).astype(np.float64)
    step = rng.normal(0, 1, n) * 10.0 ** rng.integers(-6, -1, n) * (rng.random(n) < share)
    b = rounded(a + step, form).astype(np.float64)
    found = loops.tally(fixed(a, form), fixed(b, form), form, levels, Scratch(form))
    d = np.abs(b - a)
    assert (found.n, found.nonfinite, found.changed) == (n, 0, int((d != 0).sum()))
    assert found.above.tolist() == [int((d > t).sum()) for t in levels]
    assert found.relative == int((d > np.abs(a) / 256).sum())
    assert found.total == pytest.approx(d.sum(), rel=1e-6)
    assert found.squares == pytest.approx((d**2).sum(), rel=1e-6)


def test_the_two_zeros_are_one_number_and_the_least_one_is_none(loops: Loops) -> None:
    a, b = np.zeros(100), np.full(100, -0.0)
    b[0] = 2.0**-133
    found = loops.tally(fixed(a, BFLOAT16), fixed(b, BFLOAT16), BFLOAT16, (0.0,), Scratch(BFLOAT16))
    assert (found.changed, found.relative, found.total) == (1, 1, 2.0**-133)


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_what_is_not_finite_is_counted_apart(
    loops: Loops, lost: float, before: bool, after: bool
) -> None:
    a, b = np.full(PART + 5, 0.5), np.full(PART + 5, 0.75)
    a[PART], b[PART] = (lost if side else 0.5 for side in (before, after))
    found = loops.tally(fixed(a, BFLOAT16), fixed(b, BFLOAT16), BFLOAT16, (0.0,), Scratch(BFLOAT16))
    assert (found.n, found.nonfinite) == ((PART + 4, 1) if before or after else (PART + 5, 0))
    assert found.total == pytest.approx(0.25 * (PART + 4))


def test_a_change_too_large_for_the_format_is_infinite_and_no_weight_is(loops: Loops) -> None:
    a = np.array([3e38, 1.0])
    found = loops.tally(
        fixed(a, BFLOAT16), fixed(-a, BFLOAT16), BFLOAT16, LEVELS, Scratch(BFLOAT16)
    )
    assert (found.n, found.nonfinite, found.changed, found.total) == (2, 0, 2, np.inf)


@pytest.mark.parametrize("name", FORMATS)
def test_moves_are_numpys_to_the_last_digit(loops: Loops, name: str) -> None:
    form = FORMATS[name]
    w = rounded(noise(4001, 3) * 10.0 ** np.arange(-20, 20).repeat(101)[:4001], form)
    w = np.where(np.isfinite(w), w, 0.0).astype(np.float64)
    w[:4] = 1.0, -1.0, 0.0, 60_000.0
    z = noise(4001, 4, 1.0)
    z[:2] = 1.0, -3.0  # with a step of 2^-8 these end in the middle between two numbers
    for step in (2.0**-8, 1e-5, 1e30, 3e38):
        found = loops.moves(w, z, step, form)
        with np.errstate(over="ignore"):
            assert np.array_equal(found, PLAIN.moves(w, z, step, form))
    if name == "bfloat16":
        assert loops.moves(w[:2], z[:2], 2.0**-8, form).tolist() == [0.0, 2.0**-6]


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_added_to_their_groups(loops: Loops, name: str) -> None:
    form, rng = FORMATS[name], np.random.default_rng(5)
    a, b = (rounded(noise((50, 37), seed), form).astype(np.float64) for seed in (6, 7))
    group, sign = rng.integers(0, 4, 60), rng.choice(np.array([-1, 1], np.float32), 60)
    sums = np.ones((4, 37), np.float32)
    slow = np.ones((4, 37))
    for i in range(50):
        slow[group[i]] += sign[i] * (b[i] - a[i])
    loops.add_rows(fixed(a, form), fixed(b, form), form, group, sign, sums)
    np.testing.assert_allclose(sums, slow, rtol=1e-5, atol=1e-6)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path, Path]:
    torch.manual_seed(0)
    base = {f"model.layers.{i}.mlp.up_proj.weight": torch.randn(600, 500) * 0.02 for i in (0, 1)}
    base["model.norm.weight"] = torch.ones(301)
    for name, step in (("base", 0.0), ("one", 3e-5), ("two", 1e-4)):
        (tmp_path / name).mkdir()
        moved = {key: (x + step * torch.randn_like(x)).bfloat16() for key, x in base.items()}
        save_file(moved, tmp_path / name / "model.safetensors")
    return tmp_path / "base", tmp_path / "one", tmp_path / "two"


def test_a_comparison_is_the_same_with_and_without(
    models: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_run, "BLOCK", 100_000)
    plain = diagnose_updates(*models)
    monkeypatch.setattr(_run, "MANY", 0)
    used: list[Format] = []
    ours = compiled()
    assert ours is not None

    def tally(*args: object) -> object:
        used.append(args[2])  # type: ignore[arg-type]
        return ours.tally(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(_run, "compiled", lambda: Loops(tally, ours.moves, ours.add_rows))  # type: ignore[arg-type]
    fast, again = diagnose_updates(*models), diagnose_updates(*models, threads=3)
    assert used
    assert fast == again
    assert (fast.changed, fast.densities, fast.relative, fast.verdict, fast.overlap) == (
        plain.changed,
        plain.densities,
        plain.relative,
        plain.verdict,
        plain.overlap,
    )
    assert fast.null_density == pytest.approx(plain.null_density, rel=1e-3)
    for one, other in zip(fast.tensors, plain.tensors, strict=True):
        assert one.mean_change == pytest.approx(other.mean_change, rel=1e-6)
        assert (one.rank is None) == (other.rank is None)
        if one.rank is not None and other.rank is not None:
            assert one.rank.effective == pytest.approx(other.rank.effective, rel=1e-4)


def test_without_the_compiler_numpy_does_it(
    models: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = diagnose_updates(*models[:2])
    monkeypatch.setattr(_run, "MANY", 0)
    monkeypatch.setattr(_run, "compiled", compiled.__wrapped__)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled.__wrapped__() is None
    assert diagnose_updates(*models[:2]) == wanted


BROKEN = {
    "another numpy": "raise ImportError('Numba needs NumPy 2.2 or less')",
    "half installed": "import llvmlite_that_is_not_there",
    "no library": "raise OSError('Could not load shared object file: libllvmlite.so')",
    "empty": "",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_compiler_that_is_broken_is_none(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numba.py").write_text(BROKEN[kind])
    for name in [name for name in sys.modules if name.split(".")[0] == "numba"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert compiled.__wrapped__() is None


def bits_of(n: int) -> Bits:
    return encode(noise(n, 8), BFLOAT16)


@pytest.mark.parametrize(
    "flaw", [RuntimeError("cannot cache function: no locator available"), pickle.UnpicklingError()]
)
def test_without_a_place_to_keep_what_was_compiled_it_is_compiled_anew(
    flaw: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    numba = importlib.import_module("numba")
    njit = numba.njit

    def failing(*args: object, cache: bool, **options: object) -> object:
        if cache:
            raise flaw
        return njit(*args, cache=False, **options)

    monkeypatch.setattr(numba, "njit", failing)
    found = compiled.__wrapped__()
    assert found is not None
    tally = found.tally(bits_of(9), bits_of(9)[::-1].copy(), BFLOAT16, (0.0,), Scratch(BFLOAT16))
    assert tally.changed == 8  # the one in the middle stays


def test_a_tolerance_beyond_single_precision_and_no_weights_at_all(loops: Loops) -> None:
    levels = (3e38, 0.0, 1e300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (0, 1, PART + 1):
            found = loops.tally(bits_of(n), bits_of(n) ^ 1, BFLOAT16, levels, Scratch(BFLOAT16))
            assert (found.n, found.changed, found.above.tolist()) == (n, n, [0, n, 0])
