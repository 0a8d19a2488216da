"""`levelhead lab`: the experiments on a world whose truth is known."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from levelhead._text import plural
from levelhead._write import check_writable, write_text
from levelhead.cli._output import console, still_open
from levelhead.cli._progress import Bar
from levelhead.lab.experiments import (
    TABLES,
    Outcome,
    Row,
    RowResult,
    judge,
    limit,
    rows,
    runs_of,
    save_predictions,
)
from levelhead.lab.runner import train_all
from levelhead.lab.simulate import Run
from levelhead.lab.table import TITLES, cells, markdown, to_json
from levelhead.lab.world import World, paper_world

__all__ = ["lab", "run_rows"]

PAPER_UPDATES, PAPER_LR = 50_000, 3e-3
QUICK_UPDATES, QUICK_LR = 5_000, 3e-2

TABLE2_EPILOG = """\b
Examples:
  levelhead lab table2 --quick
  levelhead lab table2 --seeds 5 --tables published,clipped,ours --out table2
  levelhead audit table2/predictions/grpo-on-seed0-single.parquet
"""

FIGURES_EPILOG = """\b
Example:
  levelhead lab figures --out figures
"""


@click.group(epilog="Example: levelhead lab table2 --quick")
def lab() -> None:
    """Train tabular policies, where every expectation is known exactly."""


@lab.command(epilog=TABLE2_EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-lab"),
    show_default=True,
    help="Folder for the table, the runs and their predictions.",
)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--tables",
    default="published,clipped,ours",
    show_default=True,
    metavar="NAMES",
    help="Which tables, separated by commas.",
)
@click.option(
    "--quick",
    is_flag=True,
    help=f"{QUICK_UPDATES:,} updates at ten times the rate, in place of {PAPER_UPDATES:,}.",
)
@click.option(
    "--updates", type=click.IntRange(10), default=None, help="Updates in all, at the same rate."
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=None,
    help="Processes. [default: one for each core]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def table2(
    out: Path,
    seeds: int,
    tables: str,
    quick: bool,
    updates: int | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """The appendix table of arXiv:2508.11800, with intervals and exact limits.

    Writes table2.md, table2.json and the predictions of every run, which `levelhead audit` reads.
    Interrupt it at any time: finished runs are kept, and the same command goes on from there.
    """
    chosen = rows([name.strip() for name in tables.split(",") if name.strip()])
    n_updates, lr = (QUICK_UPDATES, QUICK_LR) if quick else (PAPER_UPDATES, PAPER_LR)
    n_updates = updates or n_updates
    world = paper_world()
    start, cpu = time.perf_counter(), _cpu_seconds()
    results = run_rows(
        world, chosen, range(seeds), out, n_updates=n_updates, lr=lr, jobs=jobs, save=True
    )
    about = {
        "world": f"{world.n_questions:,} questions in {world.n_categories} categories, "
        f"{world.n_tokens} tokens; log-likelihood reward, groups of 10 (PPO: 1)",
        "schedule": f"{n_updates:,} updates at a learning rate of {lr:g}, " + plural(seeds, "seed"),
        "names": "`on`: each rollout serves one update; `off`: ten; `clip`: ten, and clipped",
        "took": f"{time.perf_counter() - start:.0f} s, {_cpu_seconds() - cpu:.0f} CPU s "
        "(runs that were there already not counted)",
    }
    write_text(out / "table2.md", markdown(results, about))
    found = to_json(results, about)
    write_text(out / "table2.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    with still_open():
        if as_json:
            click.echo(json.dumps(found, allow_nan=False))
            return
        _show(results)
        click.echo(f"{about['schedule']}; {about['took']}")
        click.echo(f"\ntable: {out / 'table2.md'}\npredictions: {out / 'predictions'}")


def run_rows(
    world: World,
    chosen: Sequence[Row],
    seeds: Sequence[int],
    out: Path,
    *,
    n_updates: int,
    lr: float,
    jobs: int | None = None,
    save: bool = False,
) -> list[RowResult]:
    """Train, judge and, if wanted, save the predictions of every row, with a progress bar."""
    predictions = out / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    check_writable(out / "table2.md")
    runs = {row.name: runs_of(row, seeds, n_updates=n_updates, lr=lr) for row in chosen}
    outcomes: dict[Run, Outcome] = {}
    wanted = [run for members in runs.values() for run in members]
    done: list[Run] = []
    try:
        with Bar("training") as bar:
            policies = train_all(
                world,
                wanted,
                out / "runs",
                jobs=jobs or os.cpu_count() or 1,
                on_progress=bar.set,
                on_done=lambda run, _: done.append(run),
            )
    except KeyboardInterrupt:
        click.echo(
            f"{len(done)} of {plural(len(set(wanted)), 'run')} are kept in {out / 'runs'}; "
            "the same command goes on from there",
            err=True,
        )
        raise
    results: list[RowResult] = []
    with Bar("judging") as bar:
        limits: dict[str, Outcome | None] = {}
        for i, row in enumerate(chosen):
            for run in runs[row.name]:
                if run not in outcomes:
                    outcomes[run] = judge(world, policies[run], run.seed)
                if save:
                    save_predictions(world, policies[run], row.name, run.seed, predictions)
            key = f"{row.estimator} {row.applied}"
            if key not in limits:
                limits[key] = limit(world, row)
            found = {run.seed: outcomes[run] for run in runs[row.name]}
            results.append(RowResult(row, found, limits[key]))
            bar.set((i + 1) / len(chosen))
    return results


def _show(results: Sequence[RowResult]) -> None:
    out = console()
    for name, members in TABLES.items():
        shown = [result for result in results if result.row in members]
        if not shown:
            continue
        table = Table(box=None, pad_edge=False, header_style="bold", title=TITLES[name])
        table.title_justify = "left"
        for column in ("estimator", "upd", "clip", "paper", "mean of 100", "one", "limit", "AUROC"):
            left = column == "estimator"
            table.add_column(column, justify="left" if left else "right", no_wrap=True)
        for result in shown:
            label, updates, clip, paper, mean, single, lim, auroc, _, _ = cells(result)
            table.add_row(label, updates, clip, paper, mean, single.split(" ")[0], lim, auroc)
        out.print(table)
        out.print()
    out.print("upd: updates per rollout. ECE: in the paper, of the mean of 100 samples (± 95% over")
    out.print("seeds), of one sample, in the exact limit. AUROC of the mean of 100.")


@lab.command(epilog=FIGURES_EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("levelhead-figures"),
    show_default=True,
    help="Folder for the pictures (PNG and SVG) and their captions.",
)
@click.option("--full", is_flag=True, help="At the paper's sizes: minutes, not seconds.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1))
def figures(out: Path, full: bool, seed: int) -> None:
    """The figures of arXiv:2508.11800 and four of ours, exact curves over sampled points."""
    from levelhead.lab.figures import all_figures

    out.mkdir(parents=True, exist_ok=True)
    with Bar("drawing") as bar:

        def tell(name: str, done: int, total: int) -> None:
            bar.say(name)
            bar.set(done / total)

        paths = all_figures(out, seed=seed, scale="full" if full else "quick", progress=tell)
    with still_open():
        for path in paths:
            click.echo(str(path))


def _cpu_seconds() -> float:
    """Of this process and of its finished children."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
