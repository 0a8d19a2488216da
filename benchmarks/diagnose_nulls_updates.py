"""How often noise is called a finding: dense steps called sparse, independent runs called alike.

500 small models in bfloat16 get a dense Gaussian step of a random size, and a second independent one.
No weight is left out and the runs share nothing, so every alarm is a false one. Then the same with
steps that are dense but not Gaussian, or larger in some rows and columns than in others: how far the
verdict can be trusted beyond its own null.

    python benchmarks/diagnose_nulls_updates.py            # some minutes
    python benchmarks/diagnose_nulls_updates.py --quick    # 25 repeats; writes nothing
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import RESULTS, machine, one_thread, write
from scipy.stats import binomtest

from levelhead.diagnose.updates import diagnose_updates
from levelhead.diagnose.updates._shared import SHARED

REPEATS, QUICK_REPEATS = 500, 25
Z_LEVEL, LEVEL = 2.3263478740408408, 0.01
COLUMNS = "sparse", "below", "alike", "by size"
SHAPES = {"a.weight": (160, 120), "b.weight": (64, 64), "c.weight": (300, 40)}
Rng = np.random.Generator
Draw = Callable[[Rng, tuple[int, ...]], np.ndarray]


def gaussian(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """A dense step of even size."""
    return rng.standard_normal(shape)


@dataclasses.dataclass(frozen=True)
class Step:
    """How the steps of two runs are drawn, which share no step.

    Attributes:
        draw: what every weight gets.
        rows: spread of the logarithm of the size that each row has.
        columns: the same of each column.
        shared: whether both runs have the same sizes.
        dense: whether a finding is a false alarm.
    """

    draw: Draw = gaussian
    rows: float = 0.0
    columns: float = 0.0
    shared: bool = False
    dense: bool = True

    def sizes(self, rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        """Of every weight's step, beside the model's."""
        row, column = (rng.standard_normal(n) for n in shape)
        return np.exp(self.rows * row[:, None] + self.columns * column[None, :])


STEPS = {
    "Gaussian": Step(),
    "Laplace": Step(lambda rng, shape: rng.laplace(size=shape)),
    "Student t, 3 degrees of freedom": Step(lambda rng, shape: rng.standard_t(3, shape)),
    "equal size, random sign": Step(lambda rng, shape: rng.choice([-1.0, 1.0], shape)),
    "rows of uneven size (log-normal, 1), of each run its own": Step(rows=1.0),
    "the same, and the same rows in both runs": Step(rows=1.0, shared=True),
    "columns of uneven size, the same in both runs": Step(columns=1.0, shared=True),
    "rows and columns of uneven size, the same in both runs": Step(
        rows=1.0, columns=1.0, shared=True
    ),
    "rows of more uneven size (log-normal, 1.5)": Step(rows=1.5),
    "Gaussian on half of the weights (no false alarm)": Step(
        lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.5), dense=False
    ),
}


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16 numbers."""
    wide = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype("<u2")


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write bits of bfloat16 numbers as safetensors."""
    header, start = {}, 0
    for name, bits in tensors.items():
        header[name] = {"dtype": "BF16", "shape": bits.shape,
                        "data_offsets": [start, start + bits.nbytes]}  # fmt: skip
        start += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(bits.tobytes() for bits in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def alarms(step: Step, repeats: int, folder: Path) -> dict[str, float]:
    """Shares of the runs that are called sparse, fail the Gaussian test, or overlap beyond a null."""
    found: dict[str, list[bool]] = {name: [] for name in COLUMNS}
    for i in range(repeats):
        rng = np.random.default_rng([7, i])
        size = 10 ** rng.uniform(-5.2, -3.3)
        base = {name: bfloat16(rng.normal(0, 0.02, shape)) for name, shape in SHAPES.items()}
        save(folder / "base.safetensors", base)
        uneven = {name: step.sizes(rng, shape) for name, shape in SHAPES.items()}
        for run in ("one", "two"):
            if not step.shared:
                uneven = {name: step.sizes(rng, shape) for name, shape in SHAPES.items()}
            new = {
                name: bfloat16(
                    (bits.astype(np.uint32) << 16).view(np.float32)
                    + size * uneven[name] * step.draw(rng, bits.shape)
                )
                for name, bits in base.items()
            }
            save(folder / f"{run}.safetensors", new)
        files = [folder / f"{name}.safetensors" for name in ("base", "one", "two")]
        result = diagnose_updates(*files, ranks=0, seed=i, threads=1)
        found["sparse"].append(result.verdict == "SPARSE BEYOND ROUNDING")
        found["below"].append(result.z is not None and result.z < -Z_LEVEL)
        common = result.overlap
        found["by size"].append(common is not None and (common.z or 0.0) > Z_LEVEL)
        found["alike"].append(
            common is not None
            and (common.shared_z or 0.0) > Z_LEVEL
            and (common.shared or 0.0) >= SHARED
        )
    return {name: float(np.mean(x)) for name, x in found.items()}


def main() -> None:
    """Simulate and write the table."""
    one_thread()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    repeats = QUICK_REPEATS if parser.parse_args().quick else REPEATS
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for kind, step in STEPS.items():
            found[kind] = alarms(step, repeats, Path(place))
            print(kind, found[kind], flush=True)
    promised = {
        "Gaussian": ("sparse", "below", "by size", "alike"),
        **{kind: ("alike",) for kind, step in STEPS.items() if step.rows or step.columns},
    }
    above = [
        (kind, name)
        for kind, names in promised.items()
        for name in names
        if binomtest(round(found[kind][name] * repeats), repeats, LEVEL, "greater").pvalue < 0.01
    ]
    text = table(found, repeats)
    print(text)
    if repeats == REPEATS:
        write("diagnose_nulls_updates", {"machine": machine(), "repeats": repeats, "shares": found})
        (RESULTS / "diagnose_nulls_updates.md").write_text(text)
    if above:
        raise SystemExit(f"above the level: {above}")


def table(found: dict[str, dict[str, float]], repeats: int) -> str:
    """The page of results."""
    rows = [
        f"| {kind} | " + " | ".join(f"{one[name]:.3f}" for name in COLUMNS) + " |"
        for kind, one in found.items()
    ]
    weights = sum(int(np.prod(shape)) for shape in SHAPES.values())
    return "\n".join(
        [
            "# Noise called a finding: which weights changed",
            "",
            f"{repeats} models of {weights:,} weights in bfloat16, two independent steps each, of a size "
            f"between 6e-6 and 5e-4. Level {LEVEL}. In all rows but the last every alarm is a false one.",
            "",
            "| step | called SPARSE BEYOND ROUNDING | density below the Gaussian null | two independent "
            "runs called alike | overlap above the null by size alone |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "The level is promised for Gaussian steps, and for calling runs alike also where the size "
            "of the steps depends on row and column. The second column of numbers is why there is a "
            "second test of sparsity: dense steps of uneven size change fewer weights than Gaussian "
            "ones, and the weights that rounding cannot hide a step from tell them from sparse ones, "
            "as long as the sizes are not too uneven. The last column is why runs are not called alike "
            "by the null by size: rows or columns that move more than others are enough.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
