"""Wrong versions of the comparison of weights."""

from __future__ import annotations

from mutant import Mutant

BITS = "levelhead.diagnose.updates._bits"
LOOPS = "levelhead.diagnose.updates._loops"
NULL = "levelhead.diagnose.updates._null"
RANK = "levelhead.diagnose.updates._rank"
RUN = "levelhead.diagnose.updates._run"
SHARED = "levelhead.diagnose.updates._shared"
TENSORS = "levelhead.diagnose.updates._tensors"
PAIRS = "levelhead.diagnose.updates._tensors_pairs"
LORA = "levelhead.diagnose.updates._tensors_lora"
VIEW = "levelhead.diagnose.updates._view"

MUTANTS = [
    Mutant(
        target=BITS,
        old="near = ((wide + (np.uint32(0x7FFF) + even)) >> np.uint32(16)).astype(np.uint16)",
        new="near = (wide >> np.uint32(16)).astype(np.uint16)",
        why="cuts digits off instead of rounding to the nearest",
        tests=["tests/diagnose/updates/test_bits.py::test_rounding_is_torchs"],
    ),
    Mutant(
        target=BITS,
        old="return (here + above) / 2 - size, size - (here + below) / 2",
        new="return (here + above) / 2 - size, (here + above) / 2 - size",
        why="takes the spacing for the same on both sides of a power of two",
        tests=["tests/diagnose/updates/test_bits.py::test_half_gaps_by_hand"],
    ),
    Mutant(
        target=NULL,
        old="return ndtr(-away / step) + ndtr(-toward / step)\n\n\n@dataclasses",
        new="return 2 * ndtr(-2 * away / step)\n\n\n@dataclasses",
        why="a step must cross the whole gap, and not half of it, to be rounded away from a number",
        tests=["tests/diagnose/updates/test_null.py::test_what_rounding_makes_of_two_dense_steps"],
    ),
    Mutant(
        target=NULL,
        old="    starts[powers] = True\n",
        new="    starts[powers] = starts[powers]\n",
        why="strata by size alone: within one the spacing differs, and noise overlaps beyond the null",
        tests=["tests/diagnose/updates/test_null.py::test_strata_hold_weights_of_one_spacing_only"],
    ),
    Mutant(
        target=NULL,
        old="    rest, other = ((x > 0) - slope * x for x in",
        new="    rest, other = ((x > 0) * 1.0 for x in",
        why="forgets that the step's size is matched to the same changes: z is too narrow",
        tests=[
            "tests/diagnose/updates/test_null.py::test_z_is_standard_where_every_weight_is_sampled"
        ],
    ),
    Mutant(
        target=NULL,
        old="    variance = within * (1 / n + 1 / m) + between * max(1 / m - 1 / n, 0.0)\n",
        new="    variance = (within + between) * (1 / n + 1 / m)\n",
        why="takes the same weights for ones that were drawn anew: the test is far too timid",
        tests=[
            "tests/diagnose/updates/test_null.py::test_z_is_standard_where_every_weight_is_sampled"
        ],
    ),
    Mutant(
        target=NULL,
        old="    small = (expected >= OPEN_P) & (w != 0)\n",
        new="    small = expected >= OPEN_P\n",
        why="weights that a mask holds at 0 make a dense step look sparse",
        tests=[
            "tests/diagnose/updates/test_null.py::test_weights_held_at_zero_are_not_open_to_a_step"
        ],
    ),
    Mutant(
        target=SHARED,
        old="        for part, axis in ((row, 1), (column, 0)):\n",
        new="        for part, axis in ((row, 1),):\n",
        why="columns that move more in any run are sold as what two runs share",
        tests=[
            "tests/diagnose/updates/test_shared.py::test_the_fit_is_the_chance_that_was_drawn_from"
        ],
    ),
    Mutant(
        target=SHARED,
        old="    return -fitted()[0] * open_to[stratum]\n",
        new="    return -fitted()[0]\n",
        why="the last digits of two fits agree, and count as something shared",
        tests=[
            "tests/diagnose/updates/test_shared.py::test_what_the_spacing_decides_alone_leaves_nothing"
        ],
    ),
    Mutant(
        target=PAIRS,
        old="            form = min(one.form, two.form, key=lambda form: form.digits)\n",
        new="            form = max(one.form, two.form, key=lambda form: form.digits)\n",
        why="compares the changes of a rounded run with those of one that was not",
        tests=[
            "tests/diagnose/updates/test_tensors_pairs.py::test_two_runs_are_compared_in_the_coarsest_format_of_three"
        ],
    ),
    Mutant(
        target=TENSORS,
        old="        if (now := held.size()) < end:\n",
        new="        if (now := held.size()) < 0:\n",
        why="a file that is cut off while it is read ends the process without a word",
        tests=[
            "tests/diagnose/updates/test_tensors.py::test_a_file_that_is_cut_off_while_it_is_read_is_an_error"
        ],
    ),
    Mutant(
        target=RANK,
        old="    p = s[s > 0] / total\n",
        new="    p = s[s > 0] ** 2 / np.sum(s**2)\n",
        why="the entropy of the squared singular values",
        tests=["tests/diagnose/updates/test_rank.py"],
    ),
    Mutant(
        target=RUN,
        old="    if z >= -Z_LEVEL:\n",
        new="    if abs(z) <= Z_LEVEL:\n",
        why="more changes than the null expects count as too few",
        tests=["tests/diagnose/updates/test_run.py"],
    ),
    Mutant(
        target=LORA,
        old='math.sqrt(rank) if settings.get("use_rslora") else rank',
        new="rank",
        why="rank-stabilized adapters are scaled by the root of the rank",
        tests=["tests/diagnose/updates/test_tensors_lora.py::test_updates_are_pefts"],
    ),
    Mutant(
        target=RUN,
        old="    alike = total**2 / sum(one.open_n * one.stands_for**2 for one in nulls)\n",
        new="    alike = float(sum(one.open_n for one in nulls))\n",
        why="a handful of weights that stand for nearly all of the model decide the verdict",
        tests=["tests/diagnose/updates/test_run.py"],
    ),
    Mutant(
        target=VIEW,
        old="    return dict(sorted(groups.items()))\n",
        new="    return groups\n",
        why="layers in the order of their names: 0, 1, 10, 11, ..., 2",
        tests=["tests/diagnose/updates/test_view.py"],
    ),
    # numba keeps what it compiled by the steps of the code: constants alone would not be seen to differ.
    Mutant(
        target=LOOPS,
        old="count += np.int32(change[i] > tolerance)",
        new="count += np.int32(change[i] >= tolerance)",
        why="counts weights that did not change at all",
        tests=["tests/diagnose/updates/test_loops.py::test_sums_are_the_slow_loops"],
    ),
    Mutant(
        target=LOOPS,
        old="(wide + HALF + ((wide >> UPPER) & ONE)) & KEPT",
        new="(wide + HALF + ONE) & KEPT",
        why="rounds what lies in the middle upward, and not to the even neighbor",
        tests=["tests/diagnose/updates/test_loops.py::test_moves_are_numpys_to_the_last_digit"],
    ),
    Mutant(
        target=LOOPS,
        old="if not np.isfinite(total):",
        new="if np.isinf(total):",
        why="takes a sum over weights that are no numbers for one",
        tests=["tests/diagnose/updates/test_loops.py::test_what_is_not_finite_is_counted_apart"],
    ),
    Mutant(
        target=LOOPS,
        old="out[i] += weight * (b - a)",
        new="out[i] += b - a",
        why="adds rows up without their signs",
        tests=["tests/diagnose/updates/test_loops.py::test_rows_are_added_to_their_groups"],
    ),
    Mutant(
        target=LOOPS,
        old="    for cache in (True, False):",
        new="    for cache in (True,):",
        why="where nothing can be kept the comparison is done without the loops",
        tests=[
            "tests/diagnose/updates/test_loops.py::"
            "test_without_a_place_to_keep_what_was_compiled_it_is_compiled_anew"
        ],
    ),
    Mutant(
        target=LOOPS,
        old="except (MissingDependencyError, *FLAWS):",
        new="except MissingDependencyError:",
        why="a numba that does not fit its numpy ends the comparison",
        tests=["tests/diagnose/updates/test_loops.py::test_a_compiler_that_is_broken_is_none"],
    ),
]
