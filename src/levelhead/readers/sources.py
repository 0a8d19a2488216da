"""Which files belong to which model: files, folders and quoted globs as named groups of files."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from levelhead.errors import LevelheadError, RecordError, unknown_name
from levelhead.readers._base import ReadLog
from levelhead.readers._files import one_line, reading, show
from levelhead.readers._remote import AnyPath, RemotePath, absolute, as_path, children

__all__ = ["Source", "chosen", "is_chosen", "pooled", "resolve"]

Found = TypeVar("Found")

TABLES = (".parquet", ".pq", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson", ".csv", ".tsv")
LOGS = (".eval", ".man", ".json")
BESIDE = frozenset({"state.json", "dataset_info.json", "dataset_dict.json", "metrics.json"})
"""Files that lie beside predictions and hold none."""

MAX_POOLED = 3
"""Names of sources that the name of all of them together lists."""

MAX_NAMED = 5
"""Names of skipped files that a message lists."""

DEEPEST = 4
"""How many levels of folders are searched below the one that was named."""

_SHARD = (
    re.compile(r"^(?P<stem>.*?)[-_.]?(?P<i>[0-9]+)[-_.]of[-_.](?P<n>[0-9]+)(?P<rest>.*)$"),
    re.compile(r"^(?P<stem>.*?)[-_.]?(?:part|shard|chunk)[-_.]?(?P<i>[0-9]+)(?P<rest>.*)$"),
    re.compile(r"^(?P<stem>.*?)[-_.](?P<i>[0-9]+)[-_.](?P<n>[0-9]+)(?P<rest>)$"),
)
_TOO_GENERAL = frozenset({"", "data", "preds", "predictions", "pred", "train", "test", "validation",
                          "val", "eval", "results", "output", "outputs", "samples"})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of one model.

    Attributes:
        name: the model's name.
        files: its files, in the order in which they are read.
    """

    name: str
    files: tuple[AnyPath, ...]


def pooled(sources: Sequence[Source]) -> Source:
    """All files as those of one model, which bears their names.

    Args:
        sources: at least one.

    Returns:
        One source.

    Example:
        >>> pooled([Source("val", (Path("val.csv"),)), Source("test", (Path("test.csv"),))]).name
        'val+test'
    """
    names = [source.name for source in sources]
    more = f"+{len(names) - MAX_POOLED} more" if len(names) > MAX_POOLED else ""
    return Source("+".join(names[:MAX_POOLED]) + more, tuple(f for s in sources for f in s.files))


def is_chosen(name: str, only: str) -> bool:
    """Whether a model is the one that was asked for, by its name or without the name of its file."""
    return name == only or name.endswith(f"/{only}")


def chosen(models: Mapping[str, Found], only: str | None) -> dict[str, Found]:
    """The models that were asked for.

    Args:
        models: what was found, by name.
        only: the name of a model, without that of its file where it is in several; None asks for
            all.

    Returns:
        Those of that name.

    Raises:
        InvalidInputError: there is no model of that name.

    Example:
        >>> chosen({"run/base": 1, "run/tuned": 2}, "tuned")
        {'run/tuned': 2}
    """
    if only is None or only in models:
        return {name: found for name, found in models.items() if only in (None, name)}
    found = {name: found for name, found in models.items() if is_chosen(name, only)}
    if not found:
        raise unknown_name("--only", only, models)
    return found


@dataclasses.dataclass
class _Group:
    """Files that belong together, with names for them from the plainest to the most precise."""

    files: list[AnyPath]
    names: tuple[str, ...]
    total: int | None = None


def resolve(
    arguments: Iterable[str | os.PathLike[str] | RemotePath],
    *,
    name: str | None = None,
    log: ReadLog | None = None,
    is_known: Callable[[AnyPath], bool] | None = None,
) -> list[Source]:
    """The models that the arguments name.

    A folder is one model, named after it; shards of one set in one folder are one model; any other
    file is a model of its own, named after it.

    Args:
        arguments: files, folders and globs, on this machine or at addresses that pyarrow opens.
        name: puts all files together as one model of that name.
        log: takes what was put together.
        is_known: whether a reader knows a `.json` file found in a folder; all of them when left
            out.

    Returns:
        One source for each model, in the order of the arguments.

    Raises:
        RecordError: a file or folder does not exist, cannot be read, or holds nothing to read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "base.jsonl")
        >>> _ = path.write_text('{"confidence": 0.9, "correct": 1}')
        >>> [source.name for source in resolve([path])]
        ['base']
    """
    log = ReadLog() if log is None else log
    loose: list[AnyPath] = []
    groups: list[_Group] = []
    for argument in arguments:
        for path in _expanded(argument):
            if _is_folder(path):
                groups += _shards(loose)
                loose = []
                groups += _folder(path, log, is_known or (lambda _: True))
            else:
                loose.append(path)
    groups += _shards(loose)
    groups = _without_repeats(groups, log)
    if not groups:
        raise RecordError("expected at least one file of predictions, got none; name one")
    if name is not None:
        return [Source(name, tuple(path for group in groups for path in group.files))]
    for group in groups:
        _announce(group, log)
    return [Source(n, tuple(g.files)) for n, g in zip(_names(groups), groups, strict=True)]


def _expanded(argument: str | os.PathLike[str] | RemotePath) -> list[AnyPath]:
    path = as_path(argument)
    if isinstance(path, RemotePath):
        with reading(path):
            at = sorted(path.matches(), key=lambda one: _natural(one.key))
        if not at:
            raise RecordError("expected files, no file matches this pattern; check it", show(path))
        return [*at]
    text = os.fspath(path)
    if "\0" in text:
        raise RecordError("expected a path, got one with a NUL byte; correct it", show(path))
    with reading(path):
        if os.path.lexists(path):
            path.stat()
            return [path]
        if not glob.has_magic(text):
            path.stat()
    found = sorted(glob.glob(text, recursive=True), key=_natural)
    if not found:
        raise RecordError("expected files, no file matches this pattern; check it", show(path))
    return [Path(one) for one in found]


def _is_folder(path: AnyPath) -> bool:
    return path.is_folder if isinstance(path, RemotePath) else path.is_dir()


def _entries(folder: AnyPath) -> list[tuple[AnyPath, bool]]:
    """What lies in a folder, by name, and whether each is a file; neither file nor folder is left out."""
    if isinstance(folder, RemotePath):
        found: list[tuple[AnyPath, bool]] = [(one, not one.is_folder) for one in children(folder)]
    else:
        scanned = [entry for entry in os.scandir(folder) if entry.is_file() or entry.is_dir()]
        found = [(Path(entry.path), entry.is_file()) for entry in scanned]
    return sorted(found, key=lambda one: _natural(one[0].name))


def _identity(path: AnyPath) -> str:
    """The same for two names of one file."""
    return f"{path.root}\0{path.key}" if isinstance(path, RemotePath) else os.path.realpath(path)


def _folder(path: AnyPath, log: ReadLog, is_known: Callable[[AnyPath], bool]) -> list[_Group]:
    seen: set[str] = set()
    groups = _search(path, 0, seen, log, is_known)
    if not groups:
        endings = ", ".join((*TABLES, *LOGS))
        raise RecordError(
            f"expected a folder with files of predictions ({endings}), found none; name a file",
            show(path),
        )
    return groups


def _search(
    path: AnyPath, depth: int, seen: set[str], log: ReadLog, is_known: Callable[[AnyPath], bool]
) -> list[_Group]:
    """The folder's own files as one group; only where it has none, the folders in it."""
    real = _identity(path)
    if real in seen or depth > DEEPEST:
        return []
    seen.add(real)
    with reading(path):
        visible = [one for one in _entries(path) if not one[0].name.startswith((".", "_"))]
    present = [entry for entry, is_file in visible if is_file]
    files = _listed_in_state(path)
    if files is None:
        files = _readable(present, path, log, is_known)
    else:
        listed = {file.name for file in files} | BESIDE
        others = [file for file in present if file.name not in listed]
        _say_skipped(others, "state.json does not list them", path, log)
    if files:
        whole = absolute(path)
        names = (whole.name or "model", f"{whole.parent.name}/{whole.name}")
        return [_Group(files, names, _total(files))]
    groups: list[_Group] = []
    for entry, is_file in visible:
        if not is_file:
            groups += _search(entry, depth + 1, seen, log, is_known)
    return groups


def _readable(
    present: list[AnyPath], folder: AnyPath, log: ReadLog, is_known: Callable[[AnyPath], bool]
) -> list[AnyPath]:
    """The files of a folder that hold predictions: its tables, or else its logs."""
    kinds: dict[str, list[AnyPath]] = {"table": [], "log": [], "other": []}
    for file in present:
        ending = file.suffix.lower()
        log_file = ending in LOGS and file.name not in BESIDE
        kinds["table" if ending in TABLES else "log" if log_file else "other"].append(file)
    tables, logs, others = kinds.values()
    _say_skipped(others, "not a format of predictions", folder, log)
    if tables:
        _say_skipped(logs, "beside tables of predictions; name a file to read it", folder, log)
        return tables
    known = [f for f in logs if f.suffix.lower() != ".json" or _quietly(is_known, f)]
    foreign = [f for f in logs if f not in known]
    _say_skipped(foreign, "their content is not a format of predictions", folder, log)
    return known


def _say_skipped(files: Sequence[AnyPath], why: str, folder: AnyPath, log: ReadLog) -> None:
    if files:
        shown = ", ".join(show(file.name) for file in files[:MAX_NAMED])
        more = f" and {len(files) - MAX_NAMED:,} more" if len(files) > MAX_NAMED else ""
        log.note(f"{show(folder)}: skipped {shown}{more} ({why})")


def _quietly(is_known: Callable[[AnyPath], bool], path: AnyPath) -> bool:
    try:
        return is_known(path)
    except LevelheadError:
        return False


def _listed_in_state(path: AnyPath) -> list[AnyPath] | None:
    """The data files of a folder that `datasets` saved, which its `state.json` lists."""
    state = path / "state.json"
    try:
        listed = json.loads(state.read_bytes())["_data_files"]
        return [path / str(one["filename"]) for one in listed] or None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _shards(files: Sequence[AnyPath]) -> list[_Group]:
    """Loose files by model: shards of one set together, every other file by itself."""
    groups: dict[object, _Group] = {}
    for path in files:
        key, stem = _shard_key(path)
        folder = absolute(path).parent.name
        if key is None:
            names = (path.stem, f"{folder}/{path.stem}", show(path))
            groups[path, len(groups)] = _Group([path], names)
            continue
        folder = folder or "model"
        general = stem.strip("-_. ").lower() in _TOO_GENERAL
        first = folder if general else stem.strip("-_. ")
        names = (first, f"{folder}/{first}", show(path))
        groups.setdefault(key, _Group([], names)).files.append(path)
    for group in groups.values():
        group.files.sort(key=lambda path: _natural(path.name))
        group.total = _total(group.files)
    return list(groups.values())


def _shard_key(path: AnyPath) -> tuple[tuple[str, ...] | None, str]:
    """What the shards of one set share, and their stem; no key for a file that is no shard."""
    for i, pattern in enumerate(_SHARD):
        match = pattern.match(path.stem)
        if match is None:
            continue
        total = match.groupdict().get("n") or ""
        if total and int(match["i"]) > int(total):
            continue
        folder = _identity(path.parent)
        return (folder, str(i), match["stem"], total, match["rest"], path.suffix), match["stem"]
    return None, path.stem


def _total(files: Sequence[AnyPath]) -> int | None:
    """How many shards their names say there are, where all of them say the same."""
    totals = {_shard_key(path)[0] for path in files}
    if len(totals) != 1:
        return None
    key = totals.pop()
    return int(key[3]) if key is not None and key[3] else None


def _without_repeats(groups: list[_Group], log: ReadLog) -> list[_Group]:
    seen: set[str] = set()
    kept: list[_Group] = []
    for group in groups:
        fresh = []
        for path in group.files:
            real = _identity(path)
            if real in seen:
                log.warn(f"{show(path)} was named twice and is read once")
            else:
                seen.add(real)
                fresh.append(path)
        if fresh:
            kept.append(dataclasses.replace(group, files=fresh))
    return kept


def _announce(group: _Group, log: ReadLog) -> None:
    n = len(group.files)
    first = show(group.files[0])
    if n > 1:
        log.note(f"{n} files ({first} to {group.files[-1].name}) are one model: {group.names[0]}")
    if group.total is not None and n < group.total and group.total > 1:
        log.warn(f"{first}: only {n} of {group.total} parts of this set were named")


def _names(groups: list[_Group]) -> list[str]:
    """The plainest names that tell the models apart."""
    chosen = [0] * len(groups)
    for _ in range(3):
        names = [g.names[min(k, len(g.names) - 1)] for g, k in zip(groups, chosen, strict=True)]
        clashes = {name for name in names if names.count(name) > 1}
        if not clashes:
            return [one_line(name) for name in names]
        chosen = [k + (name in clashes) for k, name in zip(chosen, names, strict=True)]
    return [one_line(f"{show(group.files[0])}#{i}") for i, group in enumerate(groups, start=1)]


def _natural(name: str) -> list[tuple[int, int | str]]:
    """A sorting key under which `preds-10-12` comes after `preds-2-12`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]
