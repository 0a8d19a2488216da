"""How often noise is called a finding: dense steps called sparse, independent runs called alike.

500 small models in bfloat16 get a dense Gaussian step of a random size, and a second independent one.
No weight is left out and the runs share nothing, so every alarm is a false one. Then the same with
steps that are dense but not Gaussian: how far the verdict can be trusted beyond its own null.

    python benchmarks/diagnose_nulls_updates.py            # some minutes
    python benchmarks/diagnose_nulls_updates.py --quick    # 50 repeats; writes nothing
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import RESULTS, machine, one_thread, write
from scipy.stats import binomtest

from levelhead.diagnose.updates import diagnose_updates

REPEATS, QUICK_REPEATS = 500, 50
Z_LEVEL, LEVEL = 2.3263478740408408, 0.01
SHAPES = {"a.weight": (160, 120), "b.weight": (64, 64), "c.weight": (300, 40)}
Rng = np.random.Generator

STEPS: dict[str, Callable[[Rng, tuple[int, ...]], np.ndarray]] = {
    "Gaussian": lambda rng, shape: rng.standard_normal(shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "Student t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape),
    "Gaussian, rows of uneven size (log-normal, 1)": lambda rng, shape: (
        rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1)))
    ),
    "equal size, random sign": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    "Gaussian on half of the weights (no false alarm)": lambda rng, shape: (
        rng.standard_normal(shape) * (rng.random(shape) < 0.5)
    ),
}
"""How a step is drawn; all but the last are dense."""


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


def alarms(kind: str, repeats: int, folder: Path) -> dict[str, float]:
    """Shares of the runs that are called sparse, fail the Gaussian test, or overlap beyond the null."""
    sparse, narrow, alike = [], [], []
    for i in range(repeats):
        rng = np.random.default_rng([7, i])
        size = 10 ** rng.uniform(-5.2, -3.3)
        base = {name: bfloat16(rng.normal(0, 0.02, shape)) for name, shape in SHAPES.items()}
        save(folder / "base.safetensors", base)
        for run in ("one", "two"):
            new = {
                name: bfloat16(
                    (bits.astype(np.uint32) << 16).view(np.float32)
                    + size * STEPS[kind](rng, bits.shape)
                )
                for name, bits in base.items()
            }
            save(folder / f"{run}.safetensors", new)
        files = [folder / f"{name}.safetensors" for name in ("base", "one", "two")]
        found = diagnose_updates(*files, ranks=0, seed=i, threads=1)
        sparse.append(found.verdict == "SPARSE BEYOND ROUNDING")
        narrow.append(found.z is not None and found.z < -Z_LEVEL)
        common = found.overlap
        alike.append(common is not None and common.z is not None and common.z > Z_LEVEL)
    return {name: float(np.mean(x)) for name, x in
            (("sparse", sparse), ("below", narrow), ("alike", alike))}  # fmt: skip


def main() -> None:
    """Simulate and write the table."""
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    repeats = QUICK_REPEATS if parser.parse_args().quick else REPEATS
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in STEPS:
            found[kind] = alarms(kind, repeats, Path(place))
    rows = [
        f"| {kind} | {one['sparse']:.3f} | {one['below']:.3f} | {one['alike']:.3f} |"
        for kind, one in found.items()
    ]
    null = found["Gaussian"]
    kept = {
        name: binomtest(round(null[name] * repeats), repeats, LEVEL, "greater").pvalue > 0.01
        for name in ("sparse", "below", "alike")
    }
    text = "\n".join(
        [
            "# Noise called a finding: which weights changed",
            "",
            f"{repeats} models of {sum(int(np.prod(s)) for s in SHAPES.values()):,} weights in bfloat16, "
            f"two independent dense steps each, of a size between 6e-6 and 5e-4. Level {LEVEL}.",
            "",
            "| step | called SPARSE BEYOND ROUNDING | density below the Gaussian null | two independent "
            "runs called alike |",
            "|---|---|---|---|",
            *rows,
            "",
            "The level is promised for the first row. The second column of numbers is why there is a "
            "second test: dense steps of uneven size change fewer weights than Gaussian ones, and the "
            "weights that rounding cannot hide a step from tell them from sparse ones. The last row is "
            "sparse: there, alarms are right.",
            "",
        ]
    )
    print(text)
    if repeats == REPEATS:
        write("diagnose_nulls_updates", {"machine": machine(), "repeats": repeats, "shares": found})
        (RESULTS / "diagnose_nulls_updates.md").write_text(text)
    if not all(kept.values()):
        raise SystemExit(f"above the level: {kept}")


if __name__ == "__main__":
    main()
