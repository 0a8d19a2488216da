"""What a comparison of weights says, in words."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath

from levelhead._text import number, percent, plural
from levelhead._write import plain
from levelhead.diagnose.section import Section, Tone
from levelhead.diagnose.updates._result import UpdatesResult
from levelhead.diagnose.updates._run import LEVEL, OPEN_SHARE, Z_LEVEL
from levelhead.diagnose.updates._shared import SHARED
from levelhead.diagnose.updates._tensors_pairs import EMBEDDING
from levelhead.diagnose.updates._view import adapted, charts, measures, rank_words, tables

__all__ = ["section"]

TONES: dict[str, Tone] = {
    "SPARSE BEYOND ROUNDING": "bad",
    "AS ROUNDING PRODUCES": "good",
    "DENSE": "good",
}

MOST = 0.6
"""Share of the missing changes from which on one kind of matrix is named."""

ROLES = ("BASE", "TUNED", "OTHER")
EVEN = "AS ROUNDING PRODUCES"


def section(result: UpdatesResult) -> Section:
    """What the updates of a model's weights show, beside what rounding alone would show.

    Args:
        result: from `diagnose_updates`.

    Returns:
        The section; its data hold every tensor.
    """
    files = zip(ROLES, (result.base, result.tuned, result.other), strict=True)
    return Section(
        name="updates",
        title="Which weights changed",
        verdict=result.verdict,
        tone=TONES.get(result.verdict, "open"),
        headline=_headline(result),
        sentences=_sentences(result),
        measures=measures(result),
        charts=charts(result),
        tables=tables(result),
        next_steps=_next_steps(result),
        warnings=_warnings(result),
        notes=(
            *(f"{role}: {path}" for role, path in files if path is not None),
            *result.notes,
            f"seed {result.seed}",
        ),
        data=plain({**dataclasses.asdict(result), "density": result.densities[0]}),
    )


def _names(result: UpdatesResult) -> tuple[str, ...]:
    """What base, tuned and the other are called: the ends of their paths that tell them apart."""
    paths = [one for one in (result.base, result.tuned, result.other) if one is not None]
    ends = [_parts(path) for path in paths]
    for size in range(1, max(map(len, ends)) + 1):
        names = tuple("/".join(end[-size:]) for end in ends)
        if len(set(names)) == len(names) and all(names):
            return names
    return ROLES[: len(paths)]


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path that say which model it is."""
    parts = PurePath(path).parts
    if len(parts) > 1 and parts[-1].endswith("model.safetensors"):  # also of an adapter
        parts = parts[:-1]
    if len(parts) > 2 and parts[-2] == "snapshots":  # of the Hugging Face cache, by revision
        parts = (*parts[:-3], parts[-1], parts[-3].removeprefix("models--").replace("--", "/"))
    return parts


def _headline(result: UpdatesResult) -> str:
    amount, null, elsewhere = _amounts(result)
    if result.verdict == "UNCHANGED":
        return f"{amount}, as they are stored."
    if result.null_density is None:
        return f"{amount}; how many a dense step would change cannot be computed."
    if _is_uneven(result):
        return (
            f"{amount}; a dense step of even size would change more ({null}), but the weights that "
            "rounding cannot hide a step from did change, as they do after a dense step of uneven size, "
            "or where training started from more digits than BASE has."
        )
    there = "there " if elsewhere else ""
    return amount + {
        "SPARSE BEYOND ROUNDING": ", and rounding does not explain why so few: it would let a dense "
        f"step of this size change {null}.",
        EVEN: f"; a dense step of this size would change {null} after rounding.",
        "DENSE": f": {there}the update is dense, with nothing to explain.",
    }.get(
        result.verdict,
        f", against {null} of a dense step after rounding, but too few weights are small enough to tell "
        "a sparse step from an uneven one.",
    )


def _amounts(result: UpdatesResult) -> tuple[str, str, bool]:
    """How much changed, in words; the null of it; and whether tensors without a change are told apart."""
    base, tuned = _names(result)[:2]
    shares = result.densities[0], result.moved_density, result.null_density
    share, seen, null = (percent(x) for x in shares)
    if seen == null and (_is_uneven(result) or result.verdict not in ("DENSE", EVEN)):
        # What is called a difference must be seen.
        share, seen, null = ("undefined" if x is None else f"{100 * x:.1f}%" for x in shares)
    count = f"None of {result.n:,}" if result.verdict == "UNCHANGED" else f"{share} of the"
    amount = f"{count} weights changed from {base} to {tuned}"
    if adapter := rank_words(result):
        count = count.replace("None", "none")
        amount = f"{tuned} is an adapter of {adapter}. With it {count} weights of {base} changed"
    elsewhere = result.moved_density is not None and seen != share
    return amount + f", {seen} in the tensors that changed at all" * elsewhere, null, elsewhere


def _is_uneven(result: UpdatesResult) -> bool:
    """Whether a step of uneven size is why the density is below the null."""
    return result.verdict == EVEN and result.z is not None and result.z < -Z_LEVEL


def _sentences(result: UpdatesResult) -> tuple[str, ...]:
    said: list[str] = []
    if result.null_density is not None:
        said.append(
            f"Noise alone would show {percent(result.null_density)}: independent Gaussian steps on "
            "every weight, of the size that gives the mean change seen in each tensor, rounded as the "
            "weights are stored."
        )
        if result.open_n:
            said.append(
                "Rounding cannot hide such a step from the smallest weights: of "
                f"{result.open_n:,} sampled ones {percent(result.open_seen)} changed, "
                f"where the null expects {percent(result.open_expected)}."
            )
        said.append(
            f"Called sparse beyond rounding is a density below the null at a false-alarm level of "
            f"{percent(LEVEL)} with, among those smallest weights, fewer than "
            f"{percent(OPEN_SHARE)} of the changes that the null expects."
        )
    said += _where_missing(result)
    if adapted(result):
        said.append(
            "An adapter's rank is a setting, not a finding. The densities are those of the merged "
            "weights: what it adds is computed in float32 and rounded as the weights are stored."
        )
    if result.overlap is not None:
        said += _overlap_words(result)
    still = [one for one in result.tensors if one.n and not one.changed]
    if still and result.changed:
        said.append(
            f"{plural(len(still), 'tensor')} of {len(result.tensors)} did not change at all; frozen, "
            "or moved by less than rounding shows. They are not part of the null."
        )
    said.append(
        "The data cannot tell a weight that was never moved from one whose move was rounded away; "
        "only the optimizer's own float32 weights can."
    )
    return tuple(said)


def _where_missing(result: UpdatesResult) -> list[str]:
    """The kind of matrix in which most of the changes are missing that the null expects."""
    if result.z is None or result.z >= -Z_LEVEL:
        return []
    missing: dict[str, float] = {}
    for one in result.tensors:
        if one.null_density is not None:
            less = max(one.n * one.null_density - one.changed, 0.0)
            missing[one.kind] = missing.get(one.kind, 0.0) + less
    kind = max(missing, key=lambda name: missing[name], default="")
    share = missing[kind] / sum(missing.values()) if missing and any(missing.values()) else 0.0
    if len(missing) < 2 or share < MOST:
        return []
    words = f"{percent(share)} of the missing changes are in {kind}"
    if EMBEDDING.search(f"{kind}.weight"):
        words += ": words that the training never met leave their rows as they were"
    return [words + "."]


def _overlap_words(result: UpdatesResult) -> list[str]:
    found = result.overlap
    if found is None or found.one_sided is None or found.matched is None:
        return ["The overlap of the two runs is undefined: one of them changed nothing."]
    tuned, other = _names(result)[1:]
    words = [
        f"{percent(found.one_sided)} of the weights that {tuned} changed were changed by {other} "
        f"too. If changes lay anywhere it would be {percent(found.chance)}; among weights of like "
        f"size in the same tensor, {percent(found.matched)}."
    ]
    left, z = found.shared, found.shared_z
    seen = "" if left is None else number(round(left, 2) + 0.0, 2)  # 0.00 is as near as it gets
    if left is None or z is None:
        words.append(
            "Whether the runs share more was not tested: that takes matrices of 16 rows and columns or "
            "more that both changed, and a comparison that was not interrupted."
        )
    elif _alike(result):
        words.append(
            f"The runs have more in common than sizes, rows and columns: with these taken out, their "
            f"changes still correlate by {seen} (z = {number(z, 1)}; independent runs: 0, false-alarm "
            f"level {percent(LEVEL)}). The data cannot tell why; training on the same samples does it, "
            "and so do digits of their common start that BASE does not have."
        )
    elif found.z is not None and found.z > Z_LEVEL:
        words.append(
            "The difference is rows and columns that move more than others, in both runs or in either: "
            f"with these taken out nothing is left (correlation {seen}, z = {number(z, 1)}). Independent "
            "runs show that too, so it is no finding."
        )
    else:
        words.append(
            f"That is what two independent runs share (correlation of what is left {seen}, "
            f"z = {number(z, 1)}): the overlap comes from rounding, which hides steps from the same "
            "large weights in both."
        )
    return words


def _next_steps(result: UpdatesResult) -> list[str]:
    base, tuned = _names(result)[:2]
    steps: list[str] = []
    if result.verdict == "UNCHANGED":
        steps.append(f"Check that {tuned} was saved after the training and is no copy of {base}.")
        if any(one.rank is not None and one.rank.rank for one in adapted(result)):
            steps = [
                "Keep the adapter apart from the model, or merge it in float32: rounding loses it."
            ]
    elif result.verdict == "SPARSE BEYOND ROUNDING":
        steps.append(
            "Look in the tables for what lies far below its null, and in the recipe for what leaves "
            "weights out: frozen modules, masks, an optimizer that moves few."
        )
        if result.other is None:
            steps.append(
                "Compare a second run from the same base: levelhead diagnose updates BASE TUNED "
                "--other TUNED2 tells whether both leave out the same weights."
            )
    elif result.verdict == "AS ROUNDING PRODUCES":
        steps.append(
            "Do not take the density for a property of the training. To see what rounding hid, compare "
            "the optimizer's own float32 weights, saved before they are rounded."
        )
        if adapted(result):
            steps = ["To keep what rounding hides, leave the adapter apart instead of merging it."]
    elif result.verdict == "UNDECIDED":
        steps.append(
            "Compare a later checkpoint, or the optimizer's own float32 weights: a larger step or more "
            "digits leave more weights that rounding cannot hide it from."
        )
    if _alike(result):
        steps.append(
            "Give a run on other samples as --other: if what is shared goes, the samples were why."
        )
    return steps


def _alike(result: UpdatesResult) -> bool:
    """Whether the runs share more than sizes, rows and columns."""
    found = result.overlap
    if found is None or found.shared is None or found.shared_z is None:
        return False
    return found.shared_z > Z_LEVEL and found.shared >= SHARED


def _warnings(result: UpdatesResult) -> tuple[str, ...]:
    said = []
    if not result.complete:
        said.append(
            f"interrupted: {len(result.tensors)} of {result.expected_tensors} tensors were compared"
        )
    lost = [one for one in result.tensors if one.nonfinite]
    if lost:
        said.append(
            f"{sum(one.nonfinite for one in lost):,} weights are NaN or infinite and left out, in "
            f"{plural(len(lost), 'tensor')} such as {lost[0].name}"
        )
    if result.excluded:
        name, why = next(iter(result.excluded.items()))
        said.append(f"{plural(len(result.excluded), 'tensor')} not compared, such as {name}: {why}")
    return tuple(said)
