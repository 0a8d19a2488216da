"""`levelhead doctor`: what is installed beside levelhead, and whether it really works together."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import click

__all__ = ["Check", "doctor", "lacking"]

OK, MISSING, BROKEN = "ok", "missing", "broken"
COLORS = {OK: "green", MISSING: "dim", BROKEN: "bold red"}

TESTED = {"trl": ((1, 16), (1, 17)), "verl": ((0, 9), (0, 10))}
"""Versions from, and up to but not with, that the adapters are tested with."""

MARK = "levelhead-doctor:"
"""What the line begins with in which a fresh process says what it found."""

SECONDS = 180

TORCH = """
import torch, transformers
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
say(torch=torch.__version__, transformers=transformers.__version__, gpus=gpus)
"""
TRL = """
from trl import GRPOConfig, GRPOTrainer
say()
"""
RAY = """
import ray
say()
"""
VERL = """
import verl
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
from levelhead.adapters.verl_estimators import estimators
from levelhead.adapters.verl_plugin import why_not_loaded
reason, ours = why_not_loaded(), list(estimators())
say(reason=reason, ours=len(ours), estimators=sorted(ADV_ESTIMATOR_REGISTRY))
"""
"""verl is imported first: what counts is what its own import loads."""

ENGINES = ("vllm", "sglang")

EPILOG = """\b
Example:
  levelhead doctor
  levelhead doctor --json | jq '.checks[] | select(.status == "broken")'

Exit status: 0 whatever is installed works (missing is not broken), 1 something does not.
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """One line.

    Attributes:
        name: what was looked at.
        status: ok, missing or broken.
        found: what was found.
        advice: what to do; "" where there is nothing to do.
    """

    name: str
    status: str
    found: str
    advice: str = ""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(as_json: bool) -> int:
    """Check torch, GPUs, TRL, Ray and verl, and whether verl has loaded our plug-in.

    Each is imported in a process of its own, so that one that is broken stops nothing. verl logs
    nothing where a plug-in fails to load; here is where it shows.
    """
    from levelhead.cli._output import still_open
    from levelhead.cli._progress import Bar

    parts = (_levelhead, _torch, _trl, _ray, _verl)
    found: list[Check] = []
    with Bar("looking") as bar:
        for done, part in enumerate(parts):
            found += part()
            bar.set((done + 1) / len(parts))
    with still_open():
        if as_json:
            checks = [dataclasses.asdict(one) for one in found]
            click.echo(json.dumps({"checks": checks, "broken": _broken(found)}))
        else:
            _show(found)
    return int(_broken(found))


def _broken(found: list[Check]) -> bool:
    return any(one.status == BROKEN for one in found)


def _show(found: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from levelhead.cli._output import clean, console

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found:
        text = one.found if not one.advice else f"{one.found}: {one.advice}"
        table.add_row(one.name, Text(one.status, COLORS[one.status]), Text(clean(text)))
    console().print(table)


def _levelhead() -> list[Check]:
    from levelhead import __version__

    version = ".".join(map(str, sys.version_info[:3]))
    return [Check("levelhead", OK, f"{__version__}, Python {version}")]


def _torch() -> list[Check]:
    if _version("torch") is None:
        return [_missing("torch", "train", "training")]
    hidden = _hidden("torch", "transformers")
    found, problem = ({}, hidden) if hidden else _fresh(TORCH)
    if problem:
        return [Check("torch", BROKEN, f"{_version('torch')}", problem)]
    versions = f"{found['torch']}, transformers {found['transformers']}"
    names: list[str] = found["gpus"]
    advice = "small models train on the CPU; verl needs GPUs"
    gpu = Check("GPU", OK, f"{len(names)} x {names[0]}") if names else None
    return [Check("torch", OK, versions), gpu or Check("GPU", MISSING, "torch sees none", advice)]


def _trl() -> list[Check]:
    return [_imported("trl", "TRL", TRL, "trl", "our rewards and estimators in TRL")]


def _ray() -> list[Check]:
    return [_imported("ray", "Ray", RAY, "verl", "verl, and audits beyond one machine")]


def _verl() -> list[Check]:
    checked = _imported("verl", "verl", "", "verl", "our rewards and estimators in verl")
    if checked.status == MISSING:
        return [checked]
    hidden = _hidden("verl", "ray")
    if hidden:
        return [Check("verl", BROKEN, checked.found, hidden)]
    found, problem = _fresh(VERL)
    if problem:
        return [Check("verl", BROKEN, checked.found, problem)]
    reason, names = found["reason"], found["estimators"]
    said = f"{found['ours']} estimators of levelhead among {len(names)} that verl resolves"
    plugin = Check("verl plug-in", OK, said)
    if reason:
        plugin = Check("verl plug-in", BROKEN, "not loaded", reason)
    return [checked, plugin, _rollouts(), _trainer()]


def lacking(engine: str, *, gpus: int, queue: bool) -> list[Check]:
    """What verl needs to train on this machine alone and does not find.

    Args:
        engine: of rollouts, `vllm` or `sglang`; another is not looked for.
        gpus: how many verl asks for; 0 where it trains on something else.
        queue: whether its trainer is the one that needs TransferQueue.

    Returns:
        The checks that are not ok; [] where nothing is lacking.
    """
    found: list[Check] = []
    hidden = _hidden("verl", "ray", "torch", "transformers")
    if hidden:
        found.append(Check("folder", BROKEN, "a file has the name of a package", hidden))
    for one in _torch() if gpus else ():
        if one.name != "GPU" or one.status != OK:
            found.append(one)
        elif int(one.found.partition(" ")[0]) < gpus:
            advice = "say how many: --engine-set trainer.n_gpus_per_node=N"
            found.append(Check("GPU", MISSING, f"{one.found}, not {gpus}", advice))
    found += [_rollouts((engine,))] if engine in ENGINES else []
    found += [_trainer()] if queue else []
    return [one for one in found if one.status != OK]


def _rollouts(engines: tuple[str, ...] = ENGINES) -> Check:
    there = [f"{name} {_version(name)}" for name in engines if _version(name) is not None]
    if there:
        return Check("verl rollouts", OK, ", ".join(there))
    if len(engines) == 1:
        return Check(
            "verl rollouts", MISSING, f"no {engines[0]}", f"pip install 'verl[{engines[0]}]'"
        )
    advice = "verl generates with one of them: pip install 'verl[vllm]'"
    return Check("verl rollouts", MISSING, "neither vllm nor sglang", advice)


def _trainer() -> Check:
    """What verl's trainer imports and its plain installation does not bring."""
    version = _version("TransferQueue")
    if version is not None:
        return Check("verl trainer", OK, f"TransferQueue {version}")
    advice = (
        "verl's trainer needs it: pip install 'verl[verl-core]', or take the older one with "
        "trainer.use_v1=false"
    )
    return Check("verl trainer", MISSING, "no TransferQueue", advice)


def _imported(package: str, name: str, code: str, extra: str, purpose: str) -> Check:
    """Whether a package is there, in the tested range, and can be imported."""
    version = _version(package)
    if version is None:
        return _missing(name, extra, purpose)
    lowest, beyond = TESTED.get(package, ((), ()))
    if lowest and not lowest <= _numbers(version) < beyond:
        low, high = (".".join(map(str, one)) for one in (lowest, beyond))
        advice = f"tested from {low} up to {high}: pip install '{package}>={low},<{high}'"
        return Check(name, BROKEN, version, advice)
    problem = _hidden(package)
    problem = _fresh(code)[1] if code and not problem else problem
    return Check(name, BROKEN if problem else OK, version, problem)


def _hidden(*packages: str) -> str:
    """Which file of this folder Python imports in place of an installed package; "" where none."""
    import importlib.machinery
    from pathlib import Path

    here = Path.cwd()
    elsewhere = [one for one in sys.path if Path(one or here).resolve() != here.resolve()]
    for name in packages:
        files = (here / name / "__init__.py", here / f"{name}.py")
        ours = next((file for file in files if file.is_file()), None)
        # A checkout that is worked in, and installed as it stands, hides nothing.
        if ours is not None and importlib.machinery.PathFinder.find_spec(name, elsewhere):
            place = ours.parent if ours.name == "__init__.py" else ours
            return f"{place} hides the installed {name}; rename it, or work in another folder"
    return ""


def _missing(name: str, extra: str, purpose: str) -> Check:
    return Check(name, MISSING, "not installed", f"{purpose}: pip install 'levelhead[{extra}]'")


def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    parts = version.split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def _fresh(code: str) -> tuple[dict[str, Any], str]:
    """What a new process finds, or the sentence in which it failed."""
    import subprocess

    say = f"import json\ndef say(**found): print({MARK!r} + json.dumps(found), flush=True)\n"
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", say + code],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, f"importing it takes more than {SECONDS} s"
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK)), ""
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    last = errors[-1].strip() if errors else f"it ended with exit status {done.returncode}"
    return {}, f"importing it fails: {last}; install it again"
