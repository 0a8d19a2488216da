"""The command line: `levelhead COMMAND`. Each command loads only what it needs, when it runs."""

from __future__ import annotations

import io
import sys

import click

from levelhead import __version__
from levelhead._text import without_secrets
from levelhead.cli._lazy import LazyGroup
from levelhead.errors import LevelheadError

__all__ = ["cli", "main"]

COMMANDS = {
    "audit": (
        "levelhead.cli.audit:audit",
        "Audit predictions: can the model's confidence be trusted?",
    ),
    "predict": (
        "levelhead.cli.predict:predict",
        "Ask a model, through a server or here, and keep its predictions.",
    ),
    "lint": (
        "levelhead.cli.lint:lint_command",
        "What will a TRL, verl or OpenRLHF config do to calibration?",
    ),
    "doctor": (
        "levelhead.cli.doctor:doctor",
        "Check what is installed, and whether it works together.",
    ),
    "diagnose": (
        "levelhead.cli.diagnose:diagnose",
        "What did training change beyond accuracy? Each measure with its null.",
    ),
    "gate": (
        "levelhead.cli.gate:gate",
        "Fail (exit 1) when a candidate is worse than its baseline.",
    ),
    "calibrate": (
        "levelhead.cli.calibrate:calibrate",
        "Fit a calibrator: what is a stated confidence really worth?",
    ),
    "apply": ("levelhead.cli.calibrate:apply", "Put predictions through a calibrator."),
    "guard": (
        "levelhead.cli.guard:guard",
        "A second pass that judges the confidence; abstention with a guarantee.",
    ),
    "probe": (
        "levelhead.cli.probe:probe",
        "Where does an advantage estimator drive a policy? Yours, TRL's, verl's.",
    ),
    "train": (
        "levelhead.cli.train:train",
        "Post-train a language model that stays honest about what it knows.",
    ),
    "lab": ("levelhead.cli.lab:lab", "Experiments on a world whose truth is known."),
    "demo": ("levelhead.cli.demo:demo", "Train small policies, audit them, and write a report."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Example: levelhead audit predictions.parquet --report report.html",
)
@click.version_option(__version__, prog_name="levelhead")
def cli() -> None:
    """Measure and guard what a language model claims to know."""


def main() -> None:
    """Run the command line.

    Exit 0: fine; 1: a gate or some samples failed; 2: bad usage or input; 130: interrupted.
    """
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        click.echo(without_secrets(said.getvalue()), err=True, nl=False)
        sys.exit(2)
    except LevelheadError as error:
        click.echo(f"levelhead: {_one_line(str(error))}", err=True)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"levelhead: {without_secrets(f'{where}{error.strerror or error}')}", err=True)
        sys.exit(2)


def _one_line(text: str) -> str:
    return without_secrets(
        " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    )
