"""Minimal files with the settings of a public configuration, in the form in which it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent / "corpus"
SUFFIXES = {"yaml": ".yaml", "python": ".py", "spread": ".py"}


def entries() -> list[dict[str, Any]]:
    """Every configuration of the corpus."""
    return yaml.safe_load((FOLDER / "configs.yaml").read_text(encoding="utf-8"))


def render(entry: dict[str, Any]) -> tuple[str, str]:
    """The name of a file and its text."""
    form = entry["form"]
    text = _yaml(entry) if form == "yaml" else _python(entry) if form in SUFFIXES else _shell(entry)
    return f"config{SUFFIXES.get(form, '.sh')}", text


def _yaml(entry: dict[str, Any]) -> str:
    tree: dict[str, Any] = {}
    for key, value in entry["settings"].items():
        *above, last = key.split(".")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return yaml.safe_dump(tree, sort_keys=False)


def _python(entry: dict[str, Any]) -> str:
    config, trainer = entry.get("config", "GRPOConfig"), entry.get("trainer", "GRPOTrainer")
    pairs = "".join(f"        {key}={value},\n" for key, value in entry["settings"].items())
    rewards = entry.get("rewards", "unknown_argument")
    names = [name.strip() for name in rewards.strip("[]").split(",")]
    functions = [name for name in names if name.isidentifier() and name != "unknown_argument"]
    head = f"from trl import {config}, {trainer}\n\n\n"
    head += "".join(
        f"def {name}(completions, **kwargs):\n    return []\n\n\n" for name in functions
    )
    head += "def train(cfg, args, run, max_seq_length, max_prompt_length, unknown_argument):\n"
    if entry["form"] == "spread":
        return head + f"    params: dict = dict(\n{pairs}    )\n    return {config}(**params)\n"
    return (
        head
        + f"    training_args = {config}(\n        output_dir='x',\n{pairs}    )\n"
        + f"    trainer = {trainer}(\n        model='m',\n        args=training_args,\n"
        + f"        reward_funcs={rewards},\n    )\n    trainer.train()\n"
    )


def _shell(entry: dict[str, Any]) -> str:
    if entry["tool"] == "verl":
        program = f"python3 -m {entry.get('program', 'verl.trainer.main_ppo')}"
        words = [f"{key}={value}" for key, value in entry["settings"].items()]
    else:
        program = "python3 -m openrlhf.cli.train_ppo_ray"
        words = [
            f"--{key}" if value is True else f"--{key} {value}"
            for key, value in entry["settings"].items()
        ]
    lines = " \\\n    ".join(words)
    if entry["form"] == "words":
        return f"set -x\n\n{program} \\\n    {lines} $@\n"
    if entry["form"] == "arrays":
        half = len(words) // 2
        first, second = "\n    ".join(words[:half]), "\n    ".join(words[half:])
        return (
            f"set -xeuo pipefail\n\nONE=(\n    {first}\n)\n"
            f"TWO=(\n    # more\n    {second}\n)\nEXTRA=(\n)\n\n"
            f'{program} \\\n    "${{ONE[@]}}" \\\n    ${{TWO[@]}} \\\n    "${{EXTRA[@]}}" \\\n    "$@"\n'
        )
    if entry["form"] == "variable":
        return f'CONFIG="\n    {lines}"\n\n{program} \\\n    --config-name=$NAME \\\n    $CONFIG\n'
    module = program.removeprefix("python3 -m ")
    return (
        f"read -r -d '' training_commands <<EOF\n{module} \\\n   {lines}\nEOF\n\n"
        "if [[ ${1} != slurm ]]; then\n    deepspeed --module $training_commands > log 2>&1 &\nfi\n"
    )
