"""Wrong versions of the comparison of weights."""

from __future__ import annotations

from mutant import Mutant

BITS = "levelhead.diagnose._updates_bits"
NULL = "levelhead.diagnose._updates_null"
RANK = "levelhead.diagnose._updates_rank"
RUN = "levelhead.diagnose._updates_run"
LORA = "levelhead.diagnose._tensors_lora"

MUTANTS = [
    Mutant(
        target=BITS,
        old="near = ((wide + (np.uint32(0x7FFF) + even)) >> np.uint32(16)).astype(np.uint16)",
        new="near = (wide >> np.uint32(16)).astype(np.uint16)",
        why="cuts digits off instead of rounding to the nearest",
        tests=["tests/diagnose/test_updates_bits.py"],
    ),
    Mutant(
        target=BITS,
        old="return (here + above) / 2 - size, size - (here + below) / 2",
        new="return (here + above) / 2 - size, (here + above) / 2 - size",
        why="takes the spacing for the same on both sides of a power of two",
        tests=["tests/diagnose/test_updates_bits.py"],
    ),
    Mutant(
        target=NULL,
        old="return ndtr(-away / step) + ndtr(-toward / step)\n\n\n@dataclasses",
        new="return 2 * ndtr(-2 * away / step)\n\n\n@dataclasses",
        why="a step must cross the whole gap, and not half of it, to be rounded away from a number",
        tests=["tests/diagnose/test_updates_null.py"],
    ),
    Mutant(
        target=NULL,
        old="    starts[powers] = True\n",
        new="    starts[powers] = starts[powers]\n",
        why="strata by size alone: within one the spacing differs, and noise overlaps beyond the null",
        tests=["tests/diagnose/test_updates_null.py"],
    ),
    Mutant(
        target=NULL,
        old="    rest = (size > 0) - slope * size\n",
        new="    rest = (size > 0) * 1.0\n",
        why="forgets that the step's size is matched to the same changes: z is too narrow",
        tests=["tests/diagnose/test_updates_null.py"],
    ),
    Mutant(
        target=RANK,
        old="    p = s[s > 0] / total\n",
        new="    p = s[s > 0] ** 2 / np.sum(s**2)\n",
        why="the entropy of the squared singular values",
        tests=["tests/diagnose/test_updates_rank.py"],
    ),
    Mutant(
        target=RUN,
        old="    if z >= -Z_LEVEL:\n",
        new="    if abs(z) <= Z_LEVEL:\n",
        why="more changes than the null expects count as too few",
        tests=["tests/diagnose/test_updates_run.py"],
    ),
    Mutant(
        target=LORA,
        old='(math.sqrt(rank) if settings.get("use_rslora") else rank)',
        new="rank",
        why="rank-stabilized adapters are scaled by the root of the rank",
        tests=["tests/diagnose/test_tensors_lora.py"],
    ),
]
