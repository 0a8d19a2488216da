"""Whole comparisons of small models, beside torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelhead.diagnose.updates import UpdatesResult, density, diagnose_updates, gini
from levelhead.diagnose.updates._bits import FORMATS
from levelhead.diagnose.updates._null import change_probability
from levelhead.errors import InvalidInputError

torch.set_num_threads(1)
Weights = dict[str, torch.Tensor]


def weights(seed: int = 0, kind: torch.dtype = torch.bfloat16) -> Weights:
    """A model of two layers."""
    dice = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (300, 64), "model.norm.weight": (64,)}
    for i in range(2):
        shapes[f"model.layers.{i}.self_attn.q_proj.weight"] = (64, 64)
        shapes[f"model.layers.{i}.mlp.up_proj.weight"] = (200, 64)
    return {
        name: (0.02 * torch.randn(shape, generator=dice)).to(kind) for name, shape in shapes.items()
    }


def moved(before: Weights, step: float, seed: int, share: float = 1.0) -> Weights:
    """After a Gaussian step on a random share of the weights."""
    dice = torch.Generator().manual_seed(seed)
    return {
        name: (w.double() + step * torch.randn(w.shape, generator=dice).double()
               * (torch.rand(w.shape, generator=dice) < share)).to(w.dtype)
        for name, w in before.items()
    }  # fmt: skip


def compared(folder: Path, *models: Weights, **options: object) -> UpdatesResult:
    """Save the models and compare them; without ranks unless asked."""
    options = {"ranks": 0, **options}
    files = []
    for i, model in enumerate(models):
        files.append(folder / f"{i}.safetensors")
        save_file(model, files[-1])
    return diagnose_updates(*files, threads=1, **options)  # type: ignore[arg-type]


def test_densities_are_torchs(tmp_path: Path) -> None:
    base = weights()
    tuned = moved(base, 3e-5, 1)
    found = compared(tmp_path, base, tuned, tolerances=(1e-5, 1e-3), ranks=8)
    d = torch.cat([(tuned[k].double() - base[k].double()).abs().reshape(-1) for k in base])
    w = torch.cat([base[k].double().abs().reshape(-1) for k in base])
    assert found.tolerances == (0.0, 1e-5, 1e-3)
    assert found.densities == pytest.approx(
        [float((d > t).double().mean()) for t in (0, 1e-5, 1e-3)]
    )
    assert found.relative == pytest.approx(float((d > w / 256).double().mean()))
    assert found.n == d.numel()
    one = next(t for t in found.tensors if t.kind == "up_proj")
    change = tuned[one.name].float() - base[one.name].float()
    assert one.norm == pytest.approx(float(change.norm()), rel=1e-5)
    assert one.mean_change == pytest.approx(float(change.abs().mean()), rel=1e-5)
    assert one.rank is not None
    assert one.rank.rank == int(torch.linalg.matrix_rank(change))
    assert one.rank.how == "exact"
    assert found.complete


@pytest.mark.parametrize(
    ("step", "share", "verdict"),
    [
        (2e-5, 1.0, "AS ROUNDING PRODUCES"),
        (1e-4, 0.1, "SPARSE BEYOND ROUNDING"),
        (1e-4, 0.5, "SPARSE BEYOND ROUNDING"),
        (2e-3, 1.0, "DENSE"),
        (0.0, 1.0, "UNCHANGED"),
    ],
)
def test_verdicts(tmp_path: Path, step: float, share: float, verdict: str) -> None:
    base = weights()
    assert compared(tmp_path, base, moved(base, step, 2, share)).verdict == verdict


def test_an_uneven_dense_step_is_not_called_sparse(tmp_path: Path) -> None:
    base, dice = weights(), torch.Generator().manual_seed(4)
    tuned = {
        name: (w.double() + 1e-5 * torch.exp(torch.randn(w.shape, generator=dice)).double()
               * torch.randn(w.shape, generator=dice).double()).to(w.dtype)
        for name, w in base.items()
    }  # fmt: skip
    found = compared(tmp_path, base, tuned)
    assert found.z is not None
    assert found.z < -5  # no Gaussian step
    assert found.verdict == "AS ROUNDING PRODUCES"


def test_false_alarms_stay_at_their_level(tmp_path: Path) -> None:
    rng, alarms, zs = np.random.default_rng(0), 0, []
    for i in range(60):
        base = {"x.weight": (0.02 * torch.randn(100, 60, generator=torch.Generator().manual_seed(i)))
                .bfloat16()}  # fmt: skip
        found = compared(tmp_path, base, moved(base, 10 ** rng.uniform(-5, -3.5), 100 + i))
        alarms += found.verdict == "SPARSE BEYOND ROUNDING"
        zs.append(found.z)
    assert alarms <= 3  # more than 3 of 60 at 1% happen once in 3,000 times
    assert sum(z < -2.326 for z in zs if z is not None) <= 4


def test_two_runs_of_noise_overlap_as_the_matched_null_says(tmp_path: Path) -> None:
    base = weights()
    found = compared(tmp_path, base, moved(base, 1e-5, 5), moved(base, 1e-5, 6)).overlap
    assert found is not None
    assert found.one_sided is not None
    assert found.one_sided > 3 * found.chance
    assert found.one_sided == pytest.approx(found.matched, abs=0.03)
    assert found.z is not None
    assert abs(found.z) < 3.5


def test_two_runs_that_move_the_same_weights_overlap_beyond_it(tmp_path: Path) -> None:
    base, dice = weights(), torch.Generator().manual_seed(9)
    mask = {name: torch.rand(w.shape, generator=dice) < 0.2 for name, w in base.items()}
    one, two = (
        {k: torch.where(mask[k], v, base[k]) for k, v in moved(base, 1e-4, seed).items()}
        for seed in (7, 8)
    )
    found = compared(tmp_path, base, one, two).overlap
    assert found is not None
    assert found.z is not None
    assert found.z > 20
    both = sum(int(((one[k] != base[k]) & (two[k] != base[k])).sum()) for k in base)
    first = sum(int((one[k] != base[k]).sum()) for k in base)
    assert found.both == both
    assert found.one_sided == both / first


def test_runs_that_move_the_same_rows_more_are_not_called_alike(tmp_path: Path) -> None:
    base, dice = weights(), torch.Generator().manual_seed(12)
    rows = {k: torch.exp(torch.randn(w.shape[0], generator=dice)) for k, w in base.items()}

    def run(seed: int, mask: float) -> Weights:
        own = torch.Generator().manual_seed(seed)
        shared = torch.Generator().manual_seed(99)
        return {
            name: (w.double() + 2e-5 * rows[name].reshape((-1,) + (1,) * (w.ndim - 1))
                   * (torch.rand(w.shape, generator=shared) < mask)
                   * torch.randn(w.shape, generator=own).double()).to(w.dtype)
            for name, w in base.items()
        }  # fmt: skip

    found = compared(tmp_path, base, run(1, 1.0), run(2, 1.0)).overlap
    assert found is not None
    assert found.z is not None
    assert found.z > 20  # by size alone
    assert found.shared is not None
    assert found.shared_z is not None
    assert abs(found.shared) < 0.03
    assert abs(found.shared_z) < 3.5
    # The same weights of these rows in both runs: a finding.
    found = compared(tmp_path, base, run(1, 0.5), run(2, 0.5)).overlap
    assert found is not None
    assert found.shared is not None
    assert found.shared_z is not None
    assert found.shared > 0.2
    assert found.shared_z > 20


def test_tensors_that_lie_at_odd_places_in_one_file_only(tmp_path: Path) -> None:
    base = {"odd.bias": torch.zeros(3, dtype=torch.bfloat16), **weights()}
    tuned = moved(base, 3e-4, 1)
    files = []
    for name, order in (("a", list(base)), ("b", list(base)[::-1])):
        header, data = {}, b""
        for key in order:
            bits = (base if name == "a" else tuned)[key].view(torch.int16).numpy().tobytes()
            place = [len(data), len(data) + len(bits)]
            header[key] = {"dtype": "BF16", "shape": list(base[key].shape), "data_offsets": place}
            data += bits
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        files.append(tmp_path / f"{name}.safetensors")
        files[-1].write_bytes(len(text).to_bytes(8, "little") + text + data)
    found = diagnose_updates(*files, threads=1)
    for one in found.tensors:
        change = tuned[one.name].double() - base[one.name].double()
        assert one.changed == int((change != 0).sum())
        assert one.norm == pytest.approx(float(change.norm()), rel=1e-5)


def test_a_second_run_in_another_format(tmp_path: Path) -> None:
    base = weights(kind=torch.float32)
    one, two = moved(base, 1e-5, 5), moved(base, 1e-5, 6)
    found = compared(tmp_path, base, one, {k: w.bfloat16() for k, w in two.items()})
    assert found.overlap is not None
    # In float32 every weight changed; what compares is what rounding left of both.
    assert found.overlap.chance == pytest.approx(found.overlap.other_chance, abs=0.03)
    assert found.densities[0] < 0.5
    assert any("stored in different formats" in note for note in found.notes)


def test_a_file_that_is_cut_off_while_it_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.diagnose.updates._run.BLOCK", 1000)
    base = weights()
    save_file(base, tmp_path / "a.safetensors")
    save_file(moved(base, 1e-4, 1), tmp_path / "b.safetensors")

    def cut(_: int) -> None:
        with (tmp_path / "b.safetensors").open("r+b") as file:
            file.truncate(12_000)

    for threads in (1, 2):
        save_file(moved(base, 1e-4, 1), tmp_path / "b.safetensors")
        with pytest.raises(InvalidInputError, match=r"b.safetensors: .*the file was cut off while"):
            diagnose_updates(
                tmp_path / "a.safetensors", tmp_path / "b.safetensors", on_read=cut, threads=threads
            )


def test_the_weights_in_the_open_are_those_of_every_tensor(tmp_path: Path) -> None:
    base = weights()
    tuned = moved(base, 3e-5, 1)
    found = compared(tmp_path, base, tuned)
    count = seen = 0
    share = total = 0.0
    for one in found.tensors:
        assert one.null_step is not None
        w = base[one.name].double().reshape(-1)
        changed = (tuned[one.name] != base[one.name]).reshape(-1)
        p = change_probability(w.numpy(), one.null_step, FORMATS["bfloat16"])
        small = torch.from_numpy(p >= 0.9)
        count, seen = count + int(small.sum()), seen + int(changed[small].sum())
        share, total = share + one.n * (one.null_density or 0.0), total + one.n
    # So few weights are all in the sample.
    assert (found.open_n, found.open_seen) == (count, seen / count)
    assert found.null_density == pytest.approx(share / total)
    assert found.moved_density == found.densities[0]


def test_the_weights_in_the_open_count_for_as_many_as_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.diagnose.updates._run.LEAST", 1000)
    monkeypatch.setattr("levelhead.diagnose.updates._run.SAMPLE", 1000)
    dice = torch.Generator().manual_seed(0)
    base = {name: (0.02 * torch.randn(n, 100, generator=dice)).bfloat16()
            for name, n in (("large", 600), ("small", 20))}  # fmt: skip
    tuned = moved(base, 1e-4, 1)
    held = torch.rand(base["large"].shape, generator=dice) < 0.6
    tuned["large"] = torch.where(held, base["large"], tuned["large"])
    found = compared(tmp_path, base, tuned)
    seen = expected = total = 0.0
    for one in found.tensors:
        assert one.null_step is not None
        w = base[one.name].double().reshape(-1)
        p = change_probability(w.numpy(), one.null_step, FORMATS["bfloat16"])
        changed = (tuned[one.name] != base[one.name]).reshape(-1).numpy()
        seen, total = seen + changed[p >= 0.9].sum(), total + (p >= 0.9).sum()
        expected += p[p >= 0.9].sum()
    assert found.open_n < total / 20
    # Of the small tensor's 95% changed, of the large one's 38%; counted alike it would be 70%.
    assert found.open_seen == pytest.approx(seen / total, abs=0.08)
    assert found.open_seen < 0.5
    assert found.open_expected == pytest.approx(expected / total, abs=0.02)
    assert found.verdict == "SPARSE BEYOND ROUNDING"
    # Points of the curve are weighed likewise: over all sizes they come to the density.
    small = [one for one in found.by_size if one[0] < 0.001]
    assert all(one[1] < 0.6 for one in small)


def test_points_of_the_curve_lie_between_powers_of_two(tmp_path: Path) -> None:
    base = {"x.weight": torch.tensor([[0.0] * 3 + [1.0] * 400 + [1.5] * 400 + [3.0] * 198
                                      + [4.0] * 5]).bfloat16()}  # fmt: skip
    tuned = {"x.weight": base["x.weight"].clone()}
    tuned["x.weight"][0, 3:203] *= 2  # 200 of the 800 in [1, 2)
    tuned["x.weight"][0, 803:810] *= 2  # 7 of the 198 in [2, 4); 5 beyond are too few for a point
    sizes, seen, _ = zip(*compared(tmp_path, base, tuned).by_size, strict=True)
    assert sizes == (1.25, 3.0)
    assert seen == pytest.approx((200 / 800, 7 / 203))


def test_the_gini_is_of_matrices_alone(tmp_path: Path) -> None:
    base = weights()
    tuned = moved(base, 3e-5, 1)
    tuned["model.norm.weight"] = base["model.norm.weight"]
    found = compared(tmp_path, base, tuned)
    assert found.gini == pytest.approx(gini([one.density or 0.0 for one in found.matrices]))
    assert found.gini < 0.1


def test_the_sample_does_not_stay_in_one_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.diagnose.updates._run.SAMPLE", 64)
    monkeypatch.setattr("levelhead.diagnose.updates._run.LEAST", 64)
    base = {"x.weight": (torch.ones(64, 64) * 2.0 ** -torch.arange(64.0)).bfloat16()}
    found = compared(tmp_path, base, moved(base, 1e-3, 1))
    assert len({size for size, _, _ in found.by_size}) > 6


def test_threads_blocks_and_seeds_change_nothing_that_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = weights()
    one = compared(tmp_path, base, moved(base, 3e-5, 1), moved(base, 3e-5, 2))
    monkeypatch.setattr("levelhead.diagnose.updates._run.BLOCK", 1000)
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    many = diagnose_updates(*files, threads=3, ranks=0)
    again = diagnose_updates(*files, threads=1, seed=1, ranks=0)
    assert many.densities == one.densities == again.densities
    assert many.null_density == one.null_density != again.null_density
    assert many.overlap is not None
    assert one.overlap is not None
    assert (many.overlap.both, many.overlap.one_sided) == (one.overlap.both, one.overlap.one_sided)


def test_numbers_of_bfloat16_in_float32(tmp_path: Path) -> None:
    base = weights()
    tuned = moved(base, 1e-5, 3)
    narrow = compared(tmp_path, base, tuned)
    wide = compared(
        tmp_path, {k: v.float() for k, v in base.items()}, {k: v.float() for k, v in tuned.items()}
    )
    assert wide.densities == narrow.densities
    assert wide.verdict == narrow.verdict == "AS ROUNDING PRODUCES"
    assert wide.null_density == pytest.approx(narrow.null_density, abs=0.02)
    assert any("hold bfloat16 numbers" in note for note in wide.notes)


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    base = weights()
    tuned = moved(base, 1e-4, 3)
    tuned["model.norm.weight"][:5] = torch.nan
    base["model.embed_tokens.weight"][0, 0] = torch.inf
    found = compared(tmp_path, base, tuned)
    lost = {one.kind: one.nonfinite for one in found.tensors if one.nonfinite}
    assert lost == {"norm": 5, "embed_tokens": 1}
    assert found.n == sum(w.numel() for w in base.values()) - 6
    assert found.null_density is not None


def test_an_adapter_has_a_low_rank_and_a_density_after_rounding(tmp_path: Path) -> None:
    base, dice = weights(), torch.Generator().manual_seed(1)
    name = "model.layers.1.mlp.up_proj.weight"
    a, b = (0.02 * torch.randn(shape, generator=dice) for shape in ((4, 64), (200, 4)))
    folder = tmp_path / "adapter"
    folder.mkdir()
    place = "base_model.model." + name.removesuffix(".weight")
    save_file({place + ".lora_A.weight": a, place + ".lora_B.weight": b},
              folder / "adapter_model.safetensors")  # fmt: skip
    (folder / "adapter_config.json").write_text('{"lora_alpha": 4}')
    save_file(base, tmp_path / "base.safetensors")
    found = diagnose_updates(tmp_path / "base.safetensors", folder, threads=1)
    merged = {**base, name: (base[name].float() + b @ a).bfloat16()}
    save_file(merged, tmp_path / "merged.safetensors")
    whole = diagnose_updates(
        tmp_path / "base.safetensors", tmp_path / "merged.safetensors", threads=1
    )
    assert found.densities == pytest.approx(whole.densities, abs=1e-4)
    rank = next(one.rank for one in found.tensors if one.name == name)
    assert rank is not None
    assert (rank.rank, rank.full, rank.how) == (4, 64, "adapter")
    assert sum(one.changed > 0 for one in found.tensors) == 1
    both = diagnose_updates(tmp_path / "base.safetensors", folder, tmp_path / "merged.safetensors")
    assert both.overlap is not None
    assert both.overlap.jaccard == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_keeps_what_was_compared(tmp_path: Path, threads: int) -> None:
    base = weights()
    save_file(base, tmp_path / "a.safetensors")
    save_file(moved(base, 1e-4, 1), tmp_path / "b.safetensors")
    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 4:
            raise KeyboardInterrupt

    files = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    found = diagnose_updates(*files, on_read=stop, on_start=seen.append, threads=threads)
    assert seen[0] == sum(w.numel() for w in base.values())
    assert not found.complete
    assert (len(found.tensors), found.expected_tensors) == (2, 6)
    assert found.n == sum(seen[1:3])
    with pytest.raises(KeyboardInterrupt):
        diagnose_updates(*files, on_read=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerances": (-1.0,)}, "tolerance: expected a number of 0 or more, got -1"),
        ({"tolerances": (float("nan"),)}, "tolerance: expected a number of 0 or more, got nan"),
        ({"ranks": -1}, "ranks: expected a number of matrices"),
        ({"threads": 0}, "threads: expected 1 or more, got 0"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        diagnose_updates("nowhere", "nowhere", **options)  # type: ignore[arg-type]


def test_density_by_hand_and_its_errors() -> None:
    assert density([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.5], [3.0, 4.001]]) == 0.5
    assert density([1.0, 2.0], [1.0, 2.5], tolerance=0.5) == 0.0
    with pytest.raises(InvalidInputError, match="expected equal shapes with numbers in them"):
        density([1.0], [1.0, 2.0])
    with pytest.raises(InvalidInputError, match="got NaN or an infinity"):
        density([1.0], [np.nan])
