"""Pairs of tensors out of two models: matched by name, in one format, tied weights once."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from levelhead.diagnose.updates._bits import Bits, Format, decode, encode
from levelhead.diagnose.updates._tensors import CODES, Checkpoint, Files, Tensor
from levelhead.diagnose.updates._tensors_lora import LowRank
from levelhead.errors import InvalidInputError

__all__ = ["Pair", "Pairs", "in_format", "in_one_format", "pair_tensors"]

EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|embeddings|shared)\.weight$"
)
HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output|score)\.weight$")
NORM = re.compile(r"(norm|(^|[._])ln)[^.]*\.|layernorm", re.IGNORECASE)
LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.")

NAMED = 3
"""Tensors that an error names."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A tensor before and after.

    Attributes:
        name: in BASE.
        shape: its dimensions.
        form: the format in which both are compared.
        base: before.
        tuned: after; None where only `update` says what changed.
        update: what an adapter adds, or None.
    """

    name: str
    shape: tuple[int, ...]
    form: Format
    base: Tensor
    tuned: Tensor | None
    update: LowRank | None = None

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def layer(self) -> int | None:
        """The number of its layer, by its name."""
        found = LAYER.search(self.name)
        return int(found[1]) if found else None

    @property
    def kind(self) -> str:
        """What it is in each layer, e.g. `q_proj` or `input_layernorm`."""
        parts = self.name.split(".")
        if parts[-1] == "weight" and len(parts) > 1:
            return parts[-2]
        return ".".join(parts[-2:])

    @property
    def is_matrix(self) -> bool:
        """Whether it has a rank that says something: two dimensions, and no norm."""
        return len(self.shape) == 2 and min(self.shape) > 1 and not NORM.search(self.name)

    def bits(self, files: Files, start: int, stop: int) -> tuple[Bits, Bits]:
        """The numbers before and after in the common format; whole rows of what has an adapter."""
        before = in_format(files.read(self.base, start, stop), self.base, self.form)
        if self.update is not None:
            columns = self.shape[1]
            rows = self.update.rows(start // columns, stop // columns)
            after = encode(decode(before, self.form) + rows.reshape(-1), self.form)
        elif self.tuned is None:
            after = before
        else:
            after = in_format(files.read(self.tuned, start, stop), self.tuned, self.form)
        return before, after

    def drop(self, files: Files, start: int, stop: int) -> None:
        """Let go of the memory of a slice that was read."""
        for one in (self.base, self.tuned):
            if one is not None:
                files.drop(one, start, stop)


def in_format(bits: Bits, tensor: Tensor, form: Format) -> Bits:
    """The bits of a tensor in another format."""
    own = CODES[tensor.code]
    return bits if own == form else encode(decode(bits, own), form)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What is compared, and what is not.

    Attributes:
        pairs: by name, in the order of BASE.
        excluded: names that are not compared, with why.
        notes: casts and tied weights, in words.
    """

    pairs: Mapping[str, Pair]
    excluded: Mapping[str, str]
    notes: tuple[str, ...]


def pair_tensors(base: Checkpoint, tuned: Checkpoint, files: Files, role: str = "TUNED") -> Pairs:
    """Match the tensors of two models by name.

    Args:
        base: before; not an adapter.
        tuned: after, or an adapter of `base`.
        files: to find tied weights with.
        role: what `tuned` is called in errors.
    """
    if base.updates is not None:
        raise InvalidInputError(
            f"BASE: expected the model that the adapter belongs to, got an adapter in "
            f"{str(base.path)!r}; give the model's folder first"
        )
    if tuned.updates is not None:
        return _adapted(base, tuned, files, role)
    notes: list[str] = []
    theirs, ours = dict(tuned.tensors), dict(base.tensors)
    for own, other in ((ours, theirs), (theirs, ours)):
        _drop_tied_extra(own, other, files, notes)
    _check_names(ours, theirs, base, role)
    pairs: dict[str, Pair] = {}
    excluded: dict[str, str] = {}
    for name, before in ours.items():
        after = theirs[name]
        reason = _why_not(name, before, after, role)
        if reason:
            excluded[name] = reason
            continue
        form = min(CODES[before.code], CODES[after.code], key=lambda one: one.digits)
        pairs[name] = Pair(name, before.shape, form, before, after)
    _note_casts(pairs.values(), notes)
    _drop_tied(pairs, files, notes)
    return _checked(Pairs(pairs, excluded, tuple(notes)), base)


def in_one_format(first: Pairs, second: Pairs) -> tuple[Pairs, Pairs]:
    """Two runs of one base, each tensor in the coarsest of the three formats: only then do their changes
    compare. Notes say what was cast, and what the second lacks."""
    mine, theirs = dict(first.pairs), dict(second.pairs)
    casts = 0
    for name in mine.keys() & theirs.keys():
        one, two = mine[name], theirs[name]
        if one.form != two.form:
            form = min(one.form, two.form, key=lambda form: form.digits)
            mine[name] = dataclasses.replace(one, form=form)
            theirs[name] = dataclasses.replace(two, form=form)
            casts += 1
    notes = list(second.notes)
    if casts:
        notes.append(
            f"{casts} tensors of the two runs are stored in different formats; both runs were rounded to "
            "the coarser, for the density as well"
        )
    lost = [name for name in mine if name not in theirs]
    if lost:
        why = second.excluded.get(lost[0], "the second run does not have it")
        notes.append(f"{len(lost)} tensors are not part of the overlap, such as {lost[0]}: {why}")
    return (
        dataclasses.replace(first, pairs=mine),
        dataclasses.replace(second, pairs=theirs, notes=tuple(notes)),
    )


def _checked(found: Pairs, base: Checkpoint) -> Pairs:
    if not found.pairs:
        raise InvalidInputError(
            f"BASE: expected floating-point tensors to compare in {str(base.path)!r}, got none"
        )
    return found


def _adapted(base: Checkpoint, tuned: Checkpoint, files: Files, role: str) -> Pairs:
    updates = dict(tuned.updates or {})
    wanted = {**updates, **tuned.tensors}
    names = _found_in(wanted, base.tensors)
    _check_adapter(names, base, role)
    by_base = {base_name: name for name, base_name in names.items()}
    pairs: dict[str, Pair] = {}
    excluded: dict[str, str] = {}
    for name, before in base.tensors.items():
        if before.code not in CODES or not before.size:
            excluded[name] = f"{before.code} of shape {before.shape}: no floating-point numbers"
            continue
        own = by_base.get(name, "")
        update, after = updates.get(own), tuned.tensors.get(own)
        reason = None if after is None else _why_not(name, before, after, role)
        if reason:
            excluded[name] = reason
            continue
        if update is not None and update.shape != before.shape:
            raise InvalidInputError(
                f"{role}: expected an update of shape {before.shape} for tensor {name!r}, got "
                f"{update.shape}; the adapter belongs to another model"
            )
        form = CODES[before.code]
        if after is not None:
            form = min(form, CODES[after.code], key=lambda one: one.digits)
        pairs[name] = Pair(name, before.shape, form, before, after, update)
    notes = [
        f"{role} is an adapter: {len(updates)} tensors get a low-rank update, which is added in "
        "float32 and rounded to the format of BASE; the others are as in BASE"
    ]
    _note_casts(pairs.values(), notes)
    return _checked(Pairs(pairs, excluded, tuple(notes)), base)


def _found_in(names: Iterable[str], tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """The base's name of what an adapter calls otherwise; prefixes differ between classes of models."""
    longer: dict[str, list[str]] = {}
    for one in tensors:
        for end in _ends(one):
            longer.setdefault(end, []).append(one)
    found: dict[str, str | None] = {}
    for name in names:
        like = longer.get(name, []) + [end for end in _ends(name) if end in tensors]
        found[name] = name if name in tensors else like[0] if len(like) == 1 else None
    return found


def _ends(name: str) -> list[str]:
    """What is left of a name without its first part, without its first two, and so on."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(1, len(parts))]


def _check_adapter(names: Mapping[str, str | None], base: Checkpoint, role: str) -> None:
    lost = [name for name, found in names.items() if found is None]
    if lost:
        raise InvalidInputError(
            f"{role}: expected an adapter of BASE, got updates of {_listed(lost)}, which "
            f"{str(base.path)!r} does not have; give the adapter's own base model"
        )


def _check_names(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], base: Checkpoint, role: str
) -> None:
    missing = [name for name in ours if name not in theirs]
    added = [name for name in theirs if name not in ours]
    if not missing and not added:
        return
    got = []
    if missing:
        got.append(f"none for {_listed(missing)}")
    if added:
        got.append(f"{_listed(added)}, which BASE does not have")
    hint = ""
    if missing and added:
        like = [other for other in added if theirs[other].shape == ours[missing[0]].shape]
        near = difflib.get_close_matches(missing[0], like or added, 1, 0.3)
        hint = f" ({missing[0]!r} may be {near[0]!r})" if near else ""
    raise InvalidInputError(
        f"{role}: expected the tensors of BASE ({base.path}), got {' and '.join(got)}{hint}; "
        "compare models of one architecture, saved by one library"
    )


def _listed(names: list[str]) -> str:
    text = ", ".join(repr(name) for name in names[:NAMED])
    return text if len(names) <= NAMED else f"{text} and {len(names) - NAMED} more"


def _why_not(name: str, before: Tensor, after: Tensor, role: str) -> str | None:
    """Why a tensor is not compared; an error where it should have been."""
    odd = [one.code for one in (before, after) if one.code not in CODES]
    if odd:
        return f"{odd[0]} is not a floating-point format that is compared"
    if before.shape == after.shape:
        return None if before.size else "it is empty"
    if (EMBEDDING.search(name) or HEAD.search(name)) and before.shape[1:] == after.shape[1:]:
        return f"resized from {before.shape[0]} to {after.shape[0]} rows"
    raise InvalidInputError(
        f"{role}: expected tensor {name!r} of shape {before.shape} as in BASE, got {after.shape}; "
        "compare models of one architecture"
    )


def _note_casts(pairs: Iterable[Pair], notes: list[str]) -> None:
    casts: dict[tuple[str, str, str], int] = {}
    for pair in pairs:
        if pair.tuned is not None and pair.base.code != pair.tuned.code:
            key = (CODES[pair.base.code].name, CODES[pair.tuned.code].name, pair.form.name)
            casts[key] = casts.get(key, 0) + 1
    notes += [
        f"{count} tensors are {a} before and {b} after; both were rounded to {form}"
        for (a, b, form), count in casts.items()
    ]


def _drop_tied_extra(
    own: dict[str, Tensor], other: Mapping[str, Tensor], files: Files, notes: list[str]
) -> None:
    """Take the head out of a model that stores it twice where the other stores it once."""
    for name in [one for one in own if one not in other and HEAD.search(one)]:
        for embedding in [one for one in own if one in other and EMBEDDING.search(one)]:
            if _same(own[name], own[embedding], files):
                del own[name]
                notes.append(f"{name} is tied to {embedding} and counted once")
                break


def _drop_tied(pairs: dict[str, Pair], files: Files, notes: list[str]) -> None:
    """Count a head that equals the embedding in both models once."""
    for name in [one for one in pairs if HEAD.search(one)]:
        for embedding in [one for one in pairs if EMBEDDING.search(one)]:
            head, table = pairs[name], pairs[embedding]
            if head.tuned is None or table.tuned is None:
                continue
            if _same(head.base, table.base, files) and _same(head.tuned, table.tuned, files):
                del pairs[name]
                notes.append(f"{name} is tied to {embedding} and counted once")
                break


def _same(a: Tensor, b: Tensor, files: Files, step: int = 1 << 19) -> bool:
    if (a.code, a.shape) != (b.code, b.shape) or a.code not in CODES:
        return False
    for start in range(0, a.size, step):
        stop = min(start + step, a.size)
        if not np.array_equal(files.read(a, start, stop), files.read(b, start, stop)):
            return False
        files.drop(a, start, stop)
        files.drop(b, start, stop)
    return True
