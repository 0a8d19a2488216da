"""What two runs share beyond sizes, rows and columns: known chances, known correlations, noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates import _shared as shared
from levelhead.diagnose.updates._bits import FORMATS, encode, rounded
from levelhead.diagnose.updates._null import change_probability
from levelhead.diagnose.updates._tensors import Files, open_checkpoint
from levelhead.diagnose.updates._tensors_pairs import Pairs, pair_tensors

torch.set_num_threads(1)
BF16 = FORMATS["bfloat16"]


def uneven(rng: np.random.Generator, shape: tuple[int, int], spread: float = 1.0) -> np.ndarray:
    """Sizes of steps that depend on row and column."""
    row, column = (np.exp(spread * rng.standard_normal(n)) for n in shape)
    return row[:, None] * column[None, :]


def moved(rng: np.random.Generator, w: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Which weights an independent Gaussian step changes."""
    return rounded(w + step * rng.standard_normal(w.shape), BF16) != w


def test_spacings_by_hand() -> None:
    w = np.array([[1.0, 1.5, -1.25], [2.0, 3.0, 0.5], [-0.75, 1.0, 0.0]])
    # In order of size: 0, 1/2, above it, 1, above it, 2, above it; 0 comes out as a power as well.
    assert shared.spacings(encode(w, BF16), BF16).tolist() == [[4, 3, 3], [6, 5, 2], [1, 4, 0]]


def test_the_fit_is_the_chance_that_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    w = rounded(rng.normal(0, 0.02, (192, 192)), BF16)
    step = 2e-5 * uneven(rng, w.shape)
    true = np.array([[change_probability(w[i : i + 1, j], step[i, j], BF16)[0] for j in range(40)]
                     for i in range(40)])  # fmt: skip
    changed = moved(rng, w, step)
    left = shared.residuals(changed, shared.spacings(encode(w, BF16), BF16))
    fitted = (changed - left)[:40, :40]
    assert np.corrcoef(fitted.ravel(), true.ravel())[0, 1] > 0.98
    # Rows and columns of 192 weights miss by one or less; before the fit, by 40.
    assert np.abs(left.sum(axis=0)).max() < 2.0
    assert np.abs(left.sum(axis=1)).max() < 2.0


def test_runs_that_move_the_same_rows_and_columns_more_share_nothing_else() -> None:
    zs, by_size = [], []
    for seed in range(80):
        rng = np.random.default_rng([1, seed])
        w = rounded(rng.normal(0, 0.02, (90, 110)), BF16)
        step = 10 ** rng.uniform(-5, -3.5) * uneven(rng, w.shape)
        one, two = moved(rng, w, step), moved(rng, w, step)
        stratum = shared.spacings(encode(w, BF16), BF16)
        found = shared.Shared()
        found.add(shared.residuals(one, stratum), shared.residuals(two, stratum))
        zs.append(found.z)
        by_size.append(np.corrcoef(one.ravel(), two.ravel())[0, 1])
    assert sum(z > 2.326 for z in zs) <= 4  # more than 4 of 80 at 1% happen once in 1,000 times
    assert abs(np.mean(zs)) < 0.6  # five standard errors
    assert 0.7 < np.std(zs) < 1.3
    assert np.mean(by_size) > 0.5


def test_the_correlation_of_runs_that_share_a_mask() -> None:
    rng = np.random.default_rng(2)
    mask, open_to = 0.3, 0.4
    masked = rng.random((300, 300)) < mask
    found = shared.Shared()
    found.add(*(shared.residuals(masked & (rng.random(masked.shape) < open_to), np.zeros((300, 300), int))
                for _ in range(2)))  # fmt: skip
    # Of two masked coins: covariance m q^2 (1 - m) over variance m q (1 - m q).
    want = open_to * (1 - mask) / (1 - mask * open_to)
    assert found.correlation == pytest.approx(want, abs=0.02)
    assert found.z is not None
    assert found.z > 20
    assert (found.matrices, found.n) == (1, 90_000)


def test_what_the_spacing_decides_alone_leaves_nothing() -> None:
    changed = np.zeros((20, 20), bool)
    changed[:10] = True
    left = shared.residuals(changed, changed.astype(int))
    assert not left.any()
    found = shared.Shared()
    found.add(left, left)
    assert (found.correlation, found.z) == (None, None)


def runs(folder: Path, *models: dict[str, torch.Tensor]) -> tuple[Pairs, Pairs, Files]:
    """BASE with each of two runs."""
    paths = [folder / f"{i}.safetensors" for i in range(3)]
    for path, model in zip(paths, models, strict=True):
        save_file(model, path)
    files = Files()
    base, one, two = (open_checkpoint(path, "BASE") for path in paths)
    return pair_tensors(base, one, files), pair_tensors(base, two, files), files


def test_drawn_of_files_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = torch.Generator().manual_seed(0)
    shapes = {"a.weight": (400, 230), "still.weight": (60, 60), "b.weight": (30, 15), "c": (5000,)}
    base = {k: (0.02 * torch.randn(s, generator=dice)).bfloat16() for k, s in shapes.items()}
    mask = {k: torch.rand(s, generator=dice) < 0.2 for k, s in shapes.items()}
    mask["still.weight"][:] = False
    after = [{k: (v.float() + 1e-3 * mask[k] * torch.randn(v.shape, generator=dice)).bfloat16()
              for k, v in base.items()} for _ in range(2)]  # fmt: skip
    first, second, files = runs(tmp_path, base, *after)
    found = shared.shared_changes(first, second, tuple(base), files, np.random.default_rng(0))
    # Only the first is wide enough and changed; 192 rows and columns of it are drawn.
    assert (found.matrices, found.n) == (1, 192 * 192)
    assert found.correlation is not None
    assert found.correlation > 0.5
    monkeypatch.setattr(shared, "READ", 700)
    again = shared.shared_changes(first, second, tuple(base), files, np.random.default_rng(0))
    assert again == found
    monkeypatch.setattr(shared, "SIDE", 1000)
    whole = shared.shared_changes(first, second, tuple(base), files, np.random.default_rng(0))
    assert whole.n == 400 * 230
    none = shared.shared_changes(first, second, ("b.weight", "c"), files, np.random.default_rng(0))
    assert (none.matrices, none.correlation) == (0, None)
