"""How hard the prompts are, what the estimator makes of that, and whether shortcuts were learned."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from levelhead._arrays import BoolArray, FloatArray
from levelhead.advantages import AdvantageFunction
from levelhead.diagnose.difficulty._amplify import (
    EstimatorCounts,
    count_advantages,
    expected_batch,
    flip_share,
    size_or_error,
    update_by_counts,
)
from levelhead.diagnose.difficulty._bands import (
    BANDS,
    HARD,
    Bands,
    PassCounts,
    pass_bands,
    pass_counts,
)
from levelhead.diagnose.difficulty._examples import examples_of
from levelhead.diagnose.difficulty._section import section_of
from levelhead.diagnose.difficulty._shortcuts import (
    MARGIN,
    ShortcutTest,
    Traces,
    read_traces,
    shortcut_test,
)
from levelhead.diagnose.difficulty._suite import RegressionSuite, regression_suite
from levelhead.diagnose.difficulty._text import (
    Content,
)
from levelhead.diagnose.difficulty._view import BandRow, DifficultyResult, Example
from levelhead.diagnose.section import Section
from levelhead.errors import InvalidInputError
from levelhead.records import Predictions

__all__ = ["diagnose_difficulty", "section"]


@dataclasses.dataclass(frozen=True)
class _Samples:
    """The samples of one model whose prompt and truth are known."""

    right: FloatArray
    prompts: list[str]
    places: list[tuple[int, int]]  # which answer to its prompt, from 1, of how many
    texts: list[str | None] | None
    warnings: list[str]


def diagnose_difficulty(
    tuned: Predictions,
    baseline: Predictions | None = None,
    *,
    estimator: str | AdvantageFunction = "grpo",
    options: Mapping[str, Any] | None = None,
    group_size: int = 8,
    text: Sequence[str] | None = None,
    content: Content = "arithmetic",
    suite: Collection[str] | None = None,
    alpha: float = 0.05,
    margin: float = MARGIN,
    n_permutations: int = 1999,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> DifficultyResult:
    """Did samples that were too hard teach shortcuts, and how much did the estimator weigh them?

    Args:
        tuned: answers with prompt ids, several samples per prompt.
        baseline: the base model's answers to the same prompts; difficulty is that for the base. None:
            difficulty is that for the tuned model, and nothing can be said of what was learned.
        estimator: a name of `levelhead.advantages.TABLE`, `module:function`, or a function.
        options: its keyword arguments.
        group_size: G of the training, 2 to 1024.
        text: columns that together are a response; `text` where it is there unless given.
        content: `code` counts statements instead of operations.
        suite: prompts that were solved before; chosen on half of the base's samples unless given.
        alpha: the false-alarm level of the verdict, in (0, 0.5).
        margin: an excess of flagged answers that does not matter, in (0, 1).
        n_permutations: swaps of the test.
        seed: of every random number.
        advance: told how many more texts were read.

    Returns:
        Bands, the share of the update that each gets, the test of shortcuts, and the suite.

    Raises:
        InvalidInputError: no prompt ids, events instead of answers, no prompt in common, a suite of which
            both models answered nothing, a column that is not there, or an argument outside its range.

    Edge cases: without texts or a base the verdict is INCONCLUSIVE and says why.
    Properties: the verdict SHORTCUTS has the false-alarm level `alpha` for a model whose right answers
        are like the base's.
    Reference: arXiv:2605.28388.
    """
    size = size_or_error(group_size)
    mine = _samples(tuned, text, "tuned")
    base = None if baseline is None else _samples(baseline, text, "baseline")
    warnings = [*mine.warnings, *([] if base is None else base.warnings)]
    counts = pass_counts(mine.right, mine.prompts)
    before = counts if base is None else pass_counts(base.right, base.prompts)
    _comparable(tuned.model, counts, before)
    bands = pass_bands(before)
    batch = expected_batch(before.passed, before.samples, size)
    by_count = count_advantages(estimator, size, options=options, batch=batch)
    plain = count_advantages("grpo_no_std", size)
    if int(before.samples.min()) < size:
        warnings.append(
            f"some prompts have fewer samples than a group, {size}: what their groups would get is "
            "predicted from a uniform prior, which gives prompts that were never solved some update"
        )
    kept = _suite(mine, base, suite, seed, warnings)
    found = _shortcuts(mine, base, bands, content, alpha, margin, n_permutations, seed, advance)
    return DifficultyResult(
        tuned=tuned.model,
        base=None if baseline is None else baseline.model,
        bands=bands,
        after=counts if base is not None else None,
        by_count=by_count,
        rows=_rows(bands, counts if base is not None else None, by_count, plain, found.shares),
        flip=flip_share(estimator, size, options=options),
        true_flip=flip_share("grpo_no_std", size),
        has_texts=mine.texts is not None,
        test=found.test,
        never=found.never,
        suite=kept,
        examples=found.examples,
        warnings=tuple(warnings),
        seed=seed,
    )


def _comparable(model: str, counts: PassCounts, before: PassCounts) -> None:
    """Raise where the models share no prompt, or no prompt was sampled twice."""
    if not set(counts.prompts) & set(before.prompts):
        raise InvalidInputError(
            f"baseline: expected prompts that {model} answered too, got none in common; the same prompt "
            "needs the same prompt id"
        )
    if int(before.samples.max()) < 2:
        raise InvalidInputError(
            "prompt_id: expected several samples of some prompts, got one of each; difficulty is told "
            "from repeated samples"
        )


def _suite(
    mine: _Samples,
    base: _Samples | None,
    wanted: Collection[str] | None,
    seed: int,
    warnings: list[str],
) -> RegressionSuite | None:
    """The suite; one that was frozen must be found in both models' samples."""
    if base is None:
        if wanted is not None:
            raise InvalidInputError(
                "suite: expected a baseline to compare with, got none; name the base's samples"
            )
        return None
    found = regression_suite(
        mine.right, mine.prompts, base.right, base.prompts, suite=wanted, seed=seed
    )
    if wanted is None:
        return found
    given = sorted({str(name) for name in wanted})
    if found is None:
        raise InvalidInputError(
            f"suite: expected ids of prompts that both models answered, got none of {len(given):,}, such "
            f"as {given[0] if given else ''!r}"
        )
    missing = sorted(set(given) - set(found.prompts))
    if missing:
        warnings.append(
            f"{len(missing):,} of {len(given):,} prompts of the suite were not answered by both models "
            f"and count nowhere, such as {missing[0]!r}"
        )
    return found


def section(result: DifficultyResult) -> Section:
    """The diagnosis in words, numbers and pictures.

    Args:
        result: from `diagnose_difficulty`.

    Returns:
        The section.
    """
    return section_of(result)


def _samples(predictions: Predictions, columns: Sequence[str] | None, name: str) -> _Samples:
    if predictions.kind != "answer":
        raise InvalidInputError(
            f"{name}: expected answers that are right or wrong, got events in {predictions.model}; "
            "whether an event happened says nothing of how hard it was"
        )
    if predictions.prompt_id is None:
        raise InvalidInputError(
            f"{name}: expected prompt ids in {predictions.model}, got none; name their column "
            "(--prompt-id)"
        )
    ids: list[str | None] = predictions.prompt_id.to_pylist()
    named = np.array([one is not None for one in ids], dtype=np.bool_)
    keep = named & ~np.isnan(predictions.label)
    left_out = int((~keep).sum())
    warnings = [] if not left_out else [
        f"{predictions.model}: {left_out:,} of {keep.size:,} rows name no prompt or have no truth, and "
        "were left out"
    ]  # fmt: skip
    texts = _texts(predictions, columns)
    rows = np.flatnonzero(keep).tolist()
    seen: Counter[str | None] = Counter()
    place: list[int] = []
    for one in ids:
        seen[one] += 1
        place.append(seen[one])
    return _Samples(
        predictions.label[keep],
        [str(ids[i]) for i in rows],
        [(place[i], seen[ids[i]]) for i in rows],
        None if texts is None else [texts[i] for i in rows],
        warnings,
    )


def _texts(predictions: Predictions, columns: Sequence[str] | None) -> list[str | None] | None:
    there = predictions.columns.column_names
    if columns is None:
        columns = [name for name in ("text",) if name in there]
        if not columns:
            return None
    missing = [name for name in columns if name not in there]
    if missing or not columns:
        raise InvalidInputError(
            f"text: expected columns of {predictions.model} ({', '.join(there) or 'none'}), got "
            f"{', '.join(missing) or 'none'}"
        )
    parts = [predictions.columns[name].to_pylist() for name in columns]
    return [
        "\n".join(str(part) for part in row if part is not None) for row in zip(*parts, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the detectors found."""

    test: ShortcutTest | None = None
    never: tuple[float, int, int] | None = None
    shares: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(
        default_factory=dict
    )
    examples: tuple[Example, ...] = ()


def _shortcuts(
    mine: _Samples,
    base: _Samples | None,
    bands: Bands,
    content: Content,
    alpha: float,
    margin: float,
    n_permutations: int,
    seed: int,
    advance: Callable[[int], None] | None,
) -> _Found:
    if mine.texts is None or (base is not None and base.texts is None):
        return _Found()
    number = {name: i for i, name in enumerate(bands.counts.prompts)}
    parts = [mine] if base is None else [mine, base]
    texts: list[str | None] = []
    codes: list[int] = []
    tuned: list[bool] = []
    places: list[tuple[int, int]] = []
    for part in parts:
        rows = zip(part.right, part.prompts, part.texts or [], part.places, strict=True)
        for right, prompt, said, place in rows:
            if right == 1.0 and prompt in number:
                texts.append(said)
                places.append(place)
                codes.append(number[prompt])
                tuned.append(part is mine)
    code, own = np.array(codes, dtype=np.int64), np.array(tuned, dtype=np.bool_)
    if code.size == 0:
        return _Found()
    traces = read_traces(texts, content=content, advance=advance)
    usual = _usual(traces, code, ~own, bands.band.size) if base is not None else None
    each = np.full(code.size, np.nan) if usual is None else usual[code]
    flagged = traces.flagged(each)
    rare = bands.counts.rate <= HARD + 1e-9
    test = None
    if base is not None:
        near = rare[code]
        test = shortcut_test(
            traces.take(near), code[near], own[near], alpha=alpha, margin=margin,
            n_permutations=n_permutations, seed=seed,
        )  # fmt: skip
    never = own & (bands.counts.passed[code] == 0) if base is not None else np.zeros(0, np.bool_)
    shown = own & flagged & (rare[code] if rare[code].any() else True)
    return _Found(
        test,
        (float(flagged[never].mean()), int(never.sum()), np.unique(code[never]).size)
        if never.any()
        else None,
        {
            name: (_mean(flagged[here & own]), _mean(flagged[here & ~own]))
            for k, name in enumerate(BANDS)
            if (here := bands.band[code] == k).any()
        },
        examples_of(texts, shown, code, places, each, bands, content),
    )


def _usual(traces: Traces, code: np.ndarray, of_base: BoolArray, size: int) -> FloatArray:
    """(P,) median operations in right answers of the base; NaN where it has none."""
    by_prompt: defaultdict[int, list[float]] = defaultdict(list)
    for i, operations in zip(code[of_base], traces.operations[of_base], strict=True):
        by_prompt[int(i)].append(float(operations))
    out = np.full(size, np.nan)
    for i, values in by_prompt.items():
        out[i] = np.median(values)
    return out


def _mean(flagged: BoolArray) -> float | None:
    return float(flagged.mean()) if flagged.size else None


def _rows(
    bands: Bands,
    after: PassCounts | None,
    by_count: EstimatorCounts,
    plain: EstimatorCounts,
    flagged: Mapping[str, tuple[float | None, float | None]],
) -> tuple[BandRow, ...]:
    counts = bands.counts
    update = update_by_counts(by_count, counts.passed, counts.samples)
    gradient = update_by_counts(plain, counts.passed, counts.samples)
    later = {} if after is None else dict(zip(after.prompts, after.rate.tolist(), strict=True))
    rows: list[BandRow] = []
    for k, name in enumerate(BANDS):
        here = bands.band == k
        again = [
            later[p] for p, yes in zip(counts.prompts, here, strict=True) if yes and p in later
        ]
        tuned, base = flagged.get(name, (None, None))
        rows.append(
            BandRow(
                name,
                int(here.sum()),
                float(counts.rate[here].mean()) if here.any() else None,
                float(np.mean(again)) if again else None,
                float(update[here].sum() / update.sum()) if update.sum() > 0.0 else None,
                float(gradient[here].sum() / gradient.sum()) if gradient.sum() > 0.0 else None,
                tuned,
                base,
            )
        )
    return tuple(rows)
