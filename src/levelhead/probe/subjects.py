"""From what a user names to what is probed: ours, TRL's, verl's, or a function in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from levelhead import __version__
from levelhead._arrays import FloatArray, IntArray
from levelhead._registry import load_callable
from levelhead.adapters import trl, verl
from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError, MissingDependencyError, unknown_name
from levelhead.lab.lengths import AGGREGATIONS
from levelhead.probe.blackbox import AdvantageFunction, BlackBox, instances
from levelhead.probe.reading import LengthReading, Reading
from levelhead.probe.run import probe_loss, read

__all__ = ["PACKAGES", "Subject", "everything", "measure", "resolve"]

PACKAGES: dict[str, ModuleType] = {"trl": trl, "verl": verl}
"""Packages whose installed code can be probed, by the prefix of their subjects."""

TITLES = {"trl": "TRL", "verl": "verl"}

OURS = f"levelhead {__version__}"


@dataclasses.dataclass(frozen=True)
class Subject:
    """Something that can be probed.

    Attributes:
        name: as the user writes it.
        version: package and version; empty for a user's own function.
        how: whether installed code runs, or a published formula; empty for functions of ours.
        note: what must be known about how it is driven.
        reason: why it cannot be driven; empty where it can.
        make: returns an estimator without a past; None for a loss, or where there is a reason.
        weights: lengths (B,) -> factors (B,); None for an estimator.
        known: the name of one of ours, whose expectation is known at any size; empty for others.
    """

    name: str
    version: str = ""
    how: str = ""
    note: str = ""
    reason: str = ""
    make: Callable[[], AdvantageFunction] | None = None
    weights: Callable[[IntArray], FloatArray] | None = None
    known: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether it is a way to add up the losses of tokens."""
        return self.weights is not None


def resolve(names: Sequence[str]) -> list[Subject]:
    """The subjects that names stand for, in their order, each once.

    Args:
        names: `grpo` and the other names in `levelhead.advantages.TABLE`; `ours:all`; `trl:NAME`,
            `verl:NAME`, `trl:all`, `verl:all`; `loss:NAME`, `loss:all`, `trl:loss`, `verl:loss`;
            `file.py:function` or `module:function`.

    Returns:
        One subject or more per name.

    Raises:
        InvalidInputError: a name that stands for nothing.
        MissingDependencyError: the package of a name is not installed.

    Example:
        >>> [subject.name for subject in resolve(["grpo", "loss:token_mean"])]
        ['grpo', 'loss:token_mean']
    """
    found: dict[str, Subject] = {}
    for name in names:
        for subject in _one(name):
            found.setdefault(subject.name, subject)
    return list(found.values())


def everything() -> tuple[list[Subject], list[str]]:
    """Every subject of ours and of the packages that are installed.

    Returns:
        The subjects, and a sentence for every package that is not installed.
    """
    found, missing = [*_ours(), *_our_losses()], list[str]()
    for package in PACKAGES:
        try:
            found += [*_peers(package), *_peer_losses(package)]
        except MissingDependencyError as error:
            missing.append(f"{package} is not installed: {error}")
    return found, missing


def measure(
    subject: Subject,
    *,
    reward: str = "log",
    groups: str = "shared",
    group_size: int = 8,
    seed: int = 0,
) -> Reading | LengthReading:
    """Probe one subject.

    Args:
        subject: what to probe.
        reward: a name in `levelhead.rewards.TABLE`; unused for a loss, like everything below.
        groups: `shared` or `independent`.
        group_size: samples per group.
        seed: of everything random.

    Returns:
        Its reading.
    """
    about = (subject.name, subject.version, subject.how, subject.note)
    if subject.weights is not None:
        name, version, how, note = about
        return probe_loss(subject.weights, name=name, version=version, how=how, note=note)
    empty = Reading(*about, reward, groups, group_size, seed)
    if subject.make is None:
        return dataclasses.replace(
            empty, failure=subject.reason, headline=f"not measured: {subject.reason}"
        )
    return read(BlackBox(subject.name, subject.make, subject.known), empty)


def _one(name: str) -> list[Subject]:
    prefix, colon, rest = name.partition(":")
    lower = prefix.lower()
    if colon and lower != prefix and lower in (*PACKAGES, "ours", "loss"):
        raise InvalidInputError(
            f"{name}: names are in lower case; did you mean {f'{lower}:{rest.lower()}'!r}?"
        )
    if not colon:
        return [_named("estimator", name, _ours(), name)]
    if prefix == "ours":
        return _ours() if rest == "all" else [_named("estimator", rest, _ours(), rest)]
    if prefix == "loss":
        losses = _our_losses()
        wanted = f"loss:{rest.replace('-', '_')}"
        return losses if rest == "all" else [_named("loss", rest, losses, wanted)]
    if prefix in PACKAGES:
        if rest == "all":
            return _peers(prefix)
        if rest == "loss":
            return _peer_losses(prefix)
        both = [*_peers(prefix), *_peer_losses(prefix)]
        return [_named(f"{prefix} estimator or loss", name, both, name)]
    return [_own(name)]


def _named(kind: str, written: str, subjects: Sequence[Subject], name: str) -> Subject:
    for subject in subjects:
        if subject.name == name:
            return subject
    names = [subject.name for subject in subjects]
    if kind == "estimator":
        if written.endswith(".py"):
            raise InvalidInputError(
                f"{written}: expected file.py:function, got a file; name the function in it"
            )
        names += ["ours:all", "trl:all", "verl:all"]
    same = next((known for known in names if known.lower() == name.lower()), None)
    if same is not None:
        raise InvalidInputError(
            f"{kind}: names are in lower case, got {written!r}; did you mean {same!r}?"
        )
    raise unknown_name(kind, written, names)


def _ours() -> list[Subject]:
    return [
        Subject(row.name, OURS, note=row.reference, make=row.start, known=row.name)
        for row in TABLE.values()
    ]


def _our_losses() -> list[Subject]:
    return [
        Subject(f"loss:{name}", OURS, weights=function) for name, function in AGGREGATIONS.items()
    ]


def _peers(package: str) -> list[Subject]:
    return [
        Subject(
            peer.name,
            f"{package} {peer.version}",
            peer.how,
            peer.note,
            peer.reason,
            None if peer.call is None else instances(peer.call),
        )
        for peer in _listed(package, "estimators")
    ]


def _listed(package: str, what: str) -> list[Any]:
    try:
        return getattr(PACKAGES[package], what)()
    except MissingDependencyError as error:
        raise MissingDependencyError(f"the probe of {TITLES[package]}", error.extra) from error


def _peer_losses(package: str) -> list[Subject]:
    """Names with `loss` in them, because TRL has an estimator and a loss of one name."""
    return [
        Subject(
            f"{package}:loss:{peer.name.partition(':')[2]}",
            f"{package} {peer.version}",
            peer.how,
            peer.note,
            weights=peer.weights,
        )
        for peer in _listed(package, "aggregations")
    ]


def _own(name: str) -> Subject:
    return Subject(name, make=instances(load_callable(name)))
