"""`run.json`: what somebody needs to know to repeat a run, or to doubt it."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from levelhead import __version__
from levelhead._write import plain, write_text
from levelhead.errors import RecordError
from levelhead.tasks import Prompt, Task

__all__ = ["data_hash", "environment", "write_run"]

NAME = "run.json"
SCHEMA_VERSION = "1"
PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "peft", "vllm"),
    *("numpy", "pyarrow", "pydantic", "math-verify", "statsmodels"),
)
"""Packages whose version can change a result."""

GIT_SECONDS = 10


def write_run(
    folder: str | os.PathLike[str],
    recipe: Mapping[str, Any],
    *,
    task: Task | None = None,
    device: str | torch.device = "cpu",
    processes: int = 1,
    started: float | None = None,
    ended: float | None = None,
    resumed: bool = False,
    result: Mapping[str, Any] | None = None,
) -> Path:
    """Write `run.json` into the folder of a run; once at the start and again at the end.

    Args:
        folder: of the run; must exist.
        recipe: its settings, as plain values.
        task: its data, of which a digest is written.
        device: where the model is.
        processes: how many ranks there are.
        started: when this process began, in seconds since 1970.
        ended: likewise; None while it runs.
        resumed: whether this process goes on with a run that is in the folder.
        result: what else to keep: final metrics, the reason for an early end.

    Returns:
        The file.

    Raises:
        RecordError: it cannot be written.

    Edge cases: a resumed run keeps its first `started`, and `resumed` counts how often it was resumed;
        `seconds` are those of the last process.
    """
    path = Path(folder) / NAME
    before = _before(path) if resumed else {}
    again = (
        resumed and before.get("session") != started
    )  # the same one writes at its start and its end
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": recipe.get("name"),
        "seed": recipe.get("seed"),
        "started": before.get("started") or _time(started),
        "ended": _time(ended),
        "seconds": None if ended is None or started is None else round(ended - started, 3),
        "resumed": int(before.get("resumed") or 0) + again,
        "device": _device(torch.device(device)),
        "processes": processes,
        "data": None if task is None else _data(task),
        "result": None if result is None else dict(result),
        "environment": environment(),
        "recipe": dict(recipe),
        "session": started,
    }
    write_text(path, json.dumps(plain(content), indent=1, allow_nan=False, default=str) + "\n")
    return path


def environment() -> dict[str, Any]:
    """Versions, machine and code.

    Returns:
        `levelhead`, `python`, `packages` (those that are installed), `platform`, `processors`, `git`
        (commit of the working directory, and whether it was changed since; None outside of a
        repository) and `command`.
    """
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "levelhead": __version__,
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "git": _git(Path.cwd()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
    }


def data_hash(prompts: Iterable[Prompt]) -> str:
    """Digest of prompts and their truths, in their order.

    Args:
        prompts: any number.

    Returns:
        SHA-256 in hexadecimal; another if a message, an id, an outcome, a target or the order differs.
        Columns do not count: nothing is trained on them.

    Example:
        >>> data_hash([]) == data_hash(iter(()))
        True
    """
    digest = hashlib.sha256()
    for prompt in prompts:
        said = [[m.get("role"), m.get("content")] for m in prompt.messages]
        record = [prompt.prompt_id, said, prompt.outcome, list(prompt.targets)]
        digest.update(json.dumps(record).encode() + b"\n")
    return digest.hexdigest()


def _data(task: Task) -> dict[str, Any]:
    return {
        "task": task.name,
        "kind": task.kind,
        "train": {"prompts": len(task.train), "sha256": data_hash(task.train)},
        "evaluation": {"prompts": len(task.evaluation), "sha256": data_hash(task.evaluation)},
    }


def _before(path: Path) -> dict[str, Any]:
    """What an earlier session of the same run wrote."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecordError(
            "expected the run.json of this run, got a file that cannot be read; move it away",
            str(path),
        ) from error
    return found if isinstance(found, dict) else {}


def _device(device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        memory = int(about.total_memory)
        return {"type": "cuda", "name": about.name, "bytes": memory, "cuda": torch.version.cuda}
    return {"type": device.type, "name": platform.processor() or platform.machine()}


def _git(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in a folder, or None outside of a repository."""
    commit = _run_git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": None if changed is None else bool(changed)}


def _run_git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository, or no answer in time."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
