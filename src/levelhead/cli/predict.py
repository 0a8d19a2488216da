"""`levelhead predict`: ask a model, through a server or in this process, and keep what it says."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levelhead.cli._options import (
    json_option,
    on_stdout,
    out_option,
    quiet_option,
    seed_option,
    target,
)

if TYPE_CHECKING:
    from levelhead.predict import Connection, Questions, Result, Settings
    from levelhead.predict.local import Local

__all__ = ["predict"]

SOME_FAILED, INTERRUPTED = 1, 130
VOTES = 10
MOST_REASONS = 3
MOST_SHOWN = 80
MANY_UNREAD = 0.1
"""The share of unread replies from which one of them is shown."""

EPILOG = """\b
Examples:
  levelhead predict questions.jsonl --prompt '{question}' --answer answer \\
      --base-url http://127.0.0.1:8000 --model Qwen/Qwen3-4B -o qwen.parquet
  levelhead predict --task survey --model my-model-folder -o survey.parquet
  levelhead predict forecasts.csv --prompt '{event}?' --outcome happened \\
      --base-url https://api.openai.com --api-key-env OPENAI_API_KEY \\
      --model gpt-4o-mini --method options --price-in 0.15 --price-out 0.6 \\
      -o gpt.parquet
  levelhead audit qwen.parquet --report report.html

\b
Exit status: 0 every sample was answered, 1 some failed (OUT is written, they
have no label in it), 2 nothing could be asked or written, 130 interrupted.
"""


@click.command(epilog=EPILOG)
@click.argument("file", required=False)
@click.option("--model", required=True, help="Name on the server, or folder of a local model.")
@click.option("--base-url", metavar="URL", help="The server, e.g. http://127.0.0.1:8000/v1.")
@click.option("--local", is_flag=True, help="Run the model here (also without --base-url).")
@out_option("FILE", "The predictions: .parquet or .jsonl; a journal is kept beside.", required=True)
@click.option("--prompt", metavar="TEXT", help="Template of FILE's prompts, with {column} slots.")
@click.option("--messages", metavar="COLUMN", help="Instead: the column of prompts or messages.")
@click.option("--answer", metavar="COLUMN", help="Right answers, where they are known.")
@click.option("--outcome", metavar="COLUMN", help="What happened, 0 or 1: asks about events.")
@click.option("--kind", type=click.Choice(["answer", "event"]), help="What is asked for.")
@click.option(
    "--verifier",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "number", "math", "choice"]),
    help="How answers are compared.",
)
@click.option("--id", "id_column", metavar="COLUMN", help="Names the prompt.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Keep this column (repeatable).")
@click.option("--task", metavar="KIND|YAML", help="Instead of FILE: a task, as in a recipe.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Option of the task.")
@click.option(
    "--split",
    default="evaluation",
    show_default=True,
    type=click.Choice(["evaluation", "train"]),
    help="Part of the task.",
)
@click.option("--limit", type=click.IntRange(1), help="Ask the first N prompts only.")
@click.option(
    "--method",
    default="verbalized",
    show_default=True,
    type=click.Choice(["verbalized", "options", "p-true", "consistency"]),
    help="How the confidence is elicited.",
)
@click.option("--elicitation", metavar="FORMAT", help="Format of the stated confidence.")
@click.option("--options", "words", metavar="A,B,...", help="Words of the method options.")
@click.option("--samples", type=click.IntRange(1), help=f"Per prompt (1; consistency: {VOTES}).")
@click.option("--n-per-request", default=1, type=click.IntRange(1), help="Votes asked for at once.")
@click.option("--instruction", metavar="TEXT", help="Follows each prompt ('' for nothing).")
@click.option("--system", metavar="TEXT", help="System message.")
@click.option(
    "--endpoint",
    default="chat",
    show_default=True,
    type=click.Choice(["chat", "completions"]),
    help="/chat/completions or /completions.",
)
@click.option("--temperature", default=1.0, show_default=True, help="Of the answers.")
@click.option("--max-tokens", default=1024, show_default=True, help="Longest answer.")
@click.option("--top-logprobs", default=20, show_default=True, help="Alternatives asked for.")
@seed_option("Of every request's own seed.")
@click.option(
    "--body", multiple=True, metavar="KEY=JSON", help="Field of every request; null: none."
)
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the API key.")
@click.option("--concurrency", default=16, show_default=True, help="Requests at once.")
@click.option("--retries", default=6, show_default=True, help="Further attempts at a request.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds without a reply.")
@click.option("--rpm", type=float, help="Requests per minute at most.")
@click.option("--tpm", type=float, help="Tokens per minute at most.")
@click.option("--price-in", type=click.FloatRange(0), help="Per million prompt tokens.")
@click.option("--price-out", type=click.FloatRange(0), help="Per million completion tokens.")
@click.option(
    "--device",
    default="auto",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Of a local model.",
)
@click.option(
    "--dtype",
    default="float32",
    type=click.Choice(["float32", "bfloat16"]),
    help="Of a local model.",
)
@click.option("--batch", default=64, show_default=True, help="Samples at once, local models.")
@click.option("--dry-run", is_flag=True, help="Show the first request and send nothing.")
@json_option("what the run took")
@quiet_option()
def predict(file: str | None, out: Path, json_path: Path | None, quiet: bool, **given: Any) -> None:
    """Ask a model the prompts of FILE (or of a task), and write its predictions.

    A server speaks the OpenAI API (vLLM, SGLang, llama.cpp, hosted ones); a local model is a folder
    that Hugging Face's transformers reads. FILE is Parquet, JSON Lines, CSV or Arrow.

    Every reply goes into OUT.journal as it comes: interrupted, the same command goes on where it
    was and pays for nothing twice. OUT is written at the end, for `levelhead audit OUT`.
    """
    from levelhead.cli._output import check_targets
    from levelhead.predict.journal import journal_path

    questions = _questions(file, given)
    settings = _settings(given)
    source = _source(given)
    inputs = () if file is None else (file,)
    check_targets((out, journal_path(out), target(json_path)), inputs)
    if given["dry_run"]:
        _show_first(questions, settings)
        return
    _run(questions, settings, source, out, json_path, quiet, given)


def _questions(file: str | None, given: dict[str, Any]) -> Questions:
    import dataclasses

    from levelhead.predict.questions import read_questions

    if (file is None) == (given["task"] is None):
        raise click.UsageError("give either a FILE of prompts or --task")
    if file is None:
        only = ("prompt", "messages", "answer", "outcome", "kind", "id_column")
        extra = [name for name in only if given[name]]
        if extra:
            name = extra[0].replace("_column", "")
            raise click.UsageError(f"--{name} belongs to a FILE; set options of a task with --set")
        found = _task_questions(given)
    else:
        if given["changes"]:
            raise click.UsageError("--set belongs to --task")
        found = read_questions(
            file,
            prompt=given["prompt"],
            messages_column=given["messages"],
            answer=given["answer"],
            outcome=given["outcome"],
            kind=given["kind"],
            verifier=given["verifier"],
            id_column=given["id_column"],
            columns=given["keep"],
        )
    limit = given["limit"]
    return found if limit is None else dataclasses.replace(found, prompts=found.prompts[:limit])


def _task_questions(given: dict[str, Any]) -> Questions:
    """The prompts of a task; where its instruction can be left out, another method's takes its place."""
    from levelhead.predict.questions import asks_for_tags, of_task
    from levelhead.tasks import TABLE, make_task

    options = _task_options(given["task"], given["changes"])
    kind = TABLE.get(str(options.get("kind")))
    own = kind is not None and "instruction" in kind.options.model_fields
    instruction = str(options.get("instruction") or "")
    plain = "instruction" not in options or asks_for_tags(instruction)
    bare = own and given["method"] != "verbalized" and plain
    if bare:
        options["instruction"] = ""
    return of_task(make_task(options), given["split"], complete=not bare)


def _task_options(name: str, changes: Sequence[str]) -> dict[str, Any]:
    """The options of a task: of a YAML file (a recipe's section `task` will do) or of a kind."""
    import yaml

    from levelhead.errors import RecordError

    options: Any = {"kind": name}
    if name.endswith((".yaml", ".yml")):
        try:
            options = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise RecordError(f"expected a task as YAML: {said}", name) from error
        options = options.get("task", options) if isinstance(options, dict) else options
        if not isinstance(options, dict):
            raise RecordError("expected keys of a task, such as kind: qa", name)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set: expected KEY=VALUE, got {change!r}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            options[key] = value
    return options


def _settings(given: dict[str, Any]) -> Settings:
    from levelhead.predict.settings import Settings

    words = given["words"]
    samples = given["samples"] or (VOTES if given["method"] == "consistency" else 1)
    names = ("model", "method", "endpoint", "temperature", "max_tokens", "seed", "system")
    names += ("instruction", "elicitation", "top_logprobs")
    return Settings(
        **{name: given[name] for name in names},
        samples=samples,
        options=() if words is None else tuple(word.strip() for word in words.split(",")),
        per_request=given["n_per_request"],
        body=_fields(given["body"]),
    )


def _fields(pairs: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        try:
            if not equals:
                raise ValueError("no equals sign")
            found[key] = json.loads(value)
        except ValueError as error:
            raise click.UsageError(
                f"--body: expected KEY=JSON, such as top_k=20 or stop='[\"END\"]', got {pair!r}"
            ) from error
    return found


def _source(given: dict[str, Any]) -> Connection | Local:
    from levelhead.predict.local import Local
    from levelhead.predict.transport import Connection

    url, name = given["base_url"], given["api_key_env"]
    if url is None or given["local"]:
        if url is not None:
            raise click.UsageError("give --base-url or --local, not both")
        if given["endpoint"] != "chat":
            raise click.UsageError("--endpoint belongs to a server; a local model is asked in chat")
        return Local(given["device"], given["dtype"], given["batch"])
    key = None
    if name is not None:
        key = os.environ.get(name, "").strip()
        if not key:
            raise click.UsageError(
                f"--api-key-env: expected an environment variable with a key, {name[:40]!r} is not set"
                if name.isidentifier()
                else "--api-key-env: expected the name of a variable, not a key"
            )
    return Connection(
        url,
        key,
        concurrency=given["concurrency"],
        retries=given["retries"],
        timeout=given["timeout"],
        requests_per_minute=given["rpm"],
        tokens_per_minute=given["tpm"],
    )


def _show_first(questions: Questions, settings: Settings) -> None:
    from levelhead._text import plural
    from levelhead.cli._output import still_open
    from levelhead.predict.methods import elicit

    samples = elicit(questions, settings)
    call = next(samples[0][1])
    with still_open():
        click.echo(json.dumps(call.body, indent=1, ensure_ascii=False))
        click.echo(
            f"{plural(len(questions.prompts), 'prompt')}, {plural(len(samples), 'sample')}; "
            f"the first request to {call.path}, nothing was sent"
        )


def _run(
    questions: Questions,
    settings: Settings,
    source: Connection | Local,
    out: Path,
    json_path: Path | None,
    quiet: bool,
    given: dict[str, Any],
) -> None:
    from levelhead.cli._predict_display import Display
    from levelhead.predict.running import predict as ask

    prices = given["price_in"], given["price_out"]
    silent = quiet or on_stdout(json_path)
    had = _count_rows(out)
    with Display(prices, enabled=not silent) as display:
        result = ask(questions, settings, source, out, on_progress=display)
    warnings = _warnings(result, _expected(questions, settings), settings.method)
    warnings += _fewer(result, out, had, given["limit"])
    _report(result, out, json_path, silent, prices, warnings)
    if result.predictions is None:
        # All is kept; another Ctrl-C would meet modules that are being taken down, and may abort.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        click.echo(
            f"interrupted, {result.progress.done:,} of {result.progress.total:,} samples done and "
            f"{result.replies:,} replies kept; run the same command again to go on",
            err=True,
        )
        click.get_current_context().exit(INTERRUPTED)
    if result.progress.failed:
        click.get_current_context().exit(SOME_FAILED)


def _count_rows(out: Path) -> int | None:
    """The rows of an output that is there already, or None."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if out.suffix.lower() in (".parquet", ".pq"):
            return parquet.read_metadata(out).num_rows
        with out.open("rb") as file:
            return sum(1 for line in file if line.strip())
    except (OSError, pa.ArrowException):
        return None


def _expected(questions: Questions, settings: Settings) -> str:
    """What a reply was expected to look like."""
    from levelhead.elicitation import TABLE

    if settings.method == "verbalized":
        return TABLE[settings.elicitation or questions.elicitation].description
    if settings.method == "options":
        return "one of the options as the first token"
    return "an answer in <answer></answer> tags"


def _report(
    result: Result,
    out: Path,
    json_path: Path | None,
    silent: bool,
    prices: tuple[float | None, float | None],
    warnings: Sequence[str],
) -> None:
    from levelhead.cli._output import clean, emit, still_open
    from levelhead.cli._predict_display import tokens

    progress, predictions = result.progress, result.predictions
    with still_open():
        if json_path is not None:
            numbers = _numbers(result, out, prices) | {"warnings": list(warnings)}
            emit(json_path, json.dumps(numbers, allow_nan=False) + "\n")
        if silent or predictions is None:
            return
        again = f" ({progress.kept:,} from the journal)" if progress.kept else ""
        click.echo(f"{len(predictions):,} samples{again}, {progress.requests:,} requests")
        click.echo(f"tokens of this run: {tokens(progress, prices)}")
        if progress.uncounted:
            click.echo(f"the server did not count the tokens of {progress.uncounted:,} replies")
        statuses = predictions.status_counts()
        click.echo("confidence: " + ", ".join(f"{n:,} {name}" for name, n in statuses.items()))
        for sentence in warnings:
            click.echo(clean(sentence), err=True)
        for reason, count in result.failures[:MOST_REASONS]:
            click.echo(f"{count:,} failed: {clean(reason)}", err=True)
        if progress.failed:
            click.echo("run the same command again to ask for those that failed", err=True)
        click.echo(f"look at it: levelhead audit {shlex.quote(str(out))}")


def _warnings(result: Result, expected: str, method: str) -> list[str]:
    """What the predictions say about the settings."""
    if result.predictions is None:
        return []
    columns = result.predictions.columns
    found: list[str] = []
    cut = columns["finish_reason"].to_pylist().count("length")
    if cut and method != "options":  # which asks for one token
        found.append(f"{cut:,} replies were cut off: raise --max-tokens, or ask for less reasoning")
    found += _unread(result, expected, method)
    if "outside" in columns.column_names:
        mass = [value for value in columns["outside"].to_pylist() if value is not None]
        low = sum(value > 0.5 for value in mass)
        if low:
            found.append(
                f"in {low:,} of {len(mass):,} samples most of the first token's probability is on "
                "none of the options: look at the prompt, and turn reasoning off"
            )
    return found


def _unread(result: Result, expected: str, method: str) -> list[str]:
    """One of the replies that could not be read, where there are many that were not cut off."""
    from levelhead.records import STATUSES

    if result.predictions is None:
        return []
    predictions, names = result.predictions, ("text", "finish_reason", "failure")
    statuses = [STATUSES[code] for code in predictions.status]
    rows = zip(statuses, *(predictions.columns[n].to_pylist() for n in names), strict=True)
    answered = [row for row in rows if row[3] is None]
    unread = [
        (status, text)
        for status, text, finish, _ in answered
        if status not in ("ok", "refusal") and (finish != "length" or method == "options")
    ]
    if len(unread) <= MANY_UNREAD * len(answered):
        return []
    text = " ".join(str(unread[0][1] or "").split())
    shown = f"{text[:MOST_SHOWN]}..." if len(text) > MOST_SHOWN else text
    said = f"such as {shown!r}" if shown else "such as one without a text"
    return [
        f"{len(unread):,} of {len(answered):,} replies could not be read, {said}; expected {expected}"
    ]


def _fewer(result: Result, out: Path, had: int | None, limit: int | None) -> list[str]:
    """A note where an output with more samples has been replaced."""
    if result.predictions is None or had is None or had <= len(result.predictions):
        return []
    note = f"{out} had {had:,} samples and has {len(result.predictions):,} now"
    if result.replies >= had:
        how = "without --limit" if limit is not None else "with all prompts"
        note += f"; the other replies are in the journal: run {how} to have them back"
    return [note]


def _numbers(
    result: Result, out: Path, prices: tuple[float | None, float | None]
) -> dict[str, Any]:
    progress = result.progress
    priced = prices != (None, None)
    return {
        "out": None if result.predictions is None else str(out),
        "journal": str(result.journal),
        "samples": progress.total,
        "done": progress.done,
        "from_journal": progress.kept,
        "failed": progress.failed,
        "requests": progress.requests,
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "uncounted": progress.uncounted,
        "cost": progress.cost(prices[0] or 0.0, prices[1] or 0.0) if priced else None,
        "status": {} if result.predictions is None else result.predictions.status_counts(),
        "failures": dict(result.failures),
    }
