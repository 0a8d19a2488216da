"""Asking all of it: samples through a server or a local model, past the journal, to a file."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from levelhead._text import plural
from levelhead._write import check_writable
from levelhead.errors import InvalidInputError, LevelheadError, RecordError
from levelhead.predict._calls import Call
from levelhead.predict._replies import Reply
from levelhead.predict.assembly import Answered, assembled
from levelhead.predict.journal import Journal, journal_path
from levelhead.predict.local import Local, LocalModel
from levelhead.predict.methods import Elicitation, Said, elicit
from levelhead.predict.questions import Questions
from levelhead.predict.settings import Settings
from levelhead.predict.transport import Connection, RequestFailed, Server, Stopped
from levelhead.readers import ENDINGS, write
from levelhead.records import Predictions
from levelhead.tasks import Prompt

__all__ = ["Progress", "Result", "predict"]


@dataclasses.dataclass
class Progress:
    """How far a run is.

    Attributes:
        total: samples in all.
        done: samples that are finished, those that failed included.
        kept: samples that needed no request, because the journal had all their replies.
        failed: samples whose requests failed.
        requests: requests that were sent, each attempt counted.
        prompt_tokens: that the replies of this run took, as the server counts them.
        completion_tokens: likewise.
        uncounted: replies of this run for which the server gave no tokens.
        stopping: whether the run was interrupted and waits for what is in flight.
    """

    total: int
    done: int = 0
    kept: int = 0
    failed: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    stopping: bool = False

    def cost(self, price_in: float, price_out: float) -> float:
        """What the tokens of this run cost.

        prompt_tokens price_in / 10^6 + completion_tokens price_out / 10^6

        Args:
            price_in: of a million prompt tokens, >= 0.
            price_out: of a million completion tokens, >= 0.

        Returns:
            In the unit of the prices.
        """
        return (self.prompt_tokens * price_in + self.completion_tokens * price_out) / 1e6


Observer = Callable[[Progress], None]

FIRST = 5
"""Replies without log-probabilities, none having had them, before no others are expected."""

SECONDS_PER_LOOK = 10.0
"""How often the observer is told though no sample has ended."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        predictions: one for each sample; None where the run was interrupted.
        progress: how far it got.
        journal: where the replies are kept.
        replies: how many there are.
        failures: why samples failed, each reason once with its count, the most frequent first.
    """

    predictions: Predictions | None
    progress: Progress
    journal: Path
    replies: int = 0
    failures: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass
class _Sample:
    """A sample under way."""

    prompt: Prompt
    steps: Elicitation
    call: Call | None = None
    said: Said | None = None
    failure: str | None = None
    asked: bool = False
    tokens: tuple[int | None, int | None] = (None, None)

    def send(self, reply: Reply | None) -> None:
        """Take a reply to the last request, and come to the next one or to the end."""
        try:
            self.call = next(self.steps) if reply is None else self.steps.send(reply)
        except StopIteration as end:
            self.call, self.said = None, end.value
        if reply is not None:
            used = (reply.prompt_tokens, reply.completion_tokens)
            self.tokens = (_sum(self.tokens[0], used[0]), _sum(self.tokens[1], used[1]))

    def answered(self) -> Answered:
        return Answered(self.prompt, self.said, self.failure, *self.tokens)


class _Run:
    """Samples, the journal, and the count of both."""

    def __init__(
        self, samples: Sequence[_Sample], journal: Journal, on_progress: Observer | None
    ) -> None:
        self.samples, self.journal = samples, journal
        self._bare: list[tuple[str, Reply]] | None = []
        self.progress = Progress(len(samples))
        self._observer = on_progress

    def pending(self) -> Iterator[_Sample]:
        """The samples with a request that the journal has no reply to, begun one by one."""
        for sample in self.samples:
            sample.send(None)
            if self.goes_on(sample):
                yield sample

    def goes_on(self, sample: _Sample) -> bool:
        """Whether a sample needs a reply from elsewhere, after all that the journal has."""
        while sample.call is not None:
            kept = self.journal.get(sample.call.key)
            if kept is None:
                return True
            self._look(sample.call, kept, known=True)
            sample.send(kept)
        self.progress.kept += not sample.asked
        self.finished(sample)
        return False

    def take(self, sample: _Sample, reply: Reply) -> None:
        """Keep a reply that has just come, and go on with the sample."""
        call, sample.asked = sample.call, True
        if call is not None and self._look(call, reply):
            self.journal.add(call.key, reply)
        sample.send(reply)
        self.progress.prompt_tokens += reply.prompt_tokens or 0
        self.progress.completion_tokens += reply.completion_tokens or 0
        self.progress.uncounted += reply.prompt_tokens is None

    def _look(self, call: Call, reply: Reply, *, known: bool = False) -> bool:
        """Whether a reply may be kept; `known` says that it has been, in an earlier run.

        One without the log-probabilities that were asked for is put off until another has them:
        a server that gives none shall be asked again when it has been set up to.
        """
        if self._bare is None or not call.wants_logprobs:
            return True
        choice = reply.choices[0]
        refused = choice.refusal is not None or choice.finish == "content_filter"
        if choice.top is not None or (known and not refused):
            for key, bare in self._bare:
                self.journal.add(key, bare)
            self._bare = None
            return True
        if refused:
            return True
        self._bare.append((call.key, reply))
        if len(self._bare) >= FIRST:
            raise _no_logprobs()
        return False

    def check(self) -> None:
        """At the end: whether a server that was asked for log-probabilities has ever given any."""
        if self._bare:
            raise _no_logprobs()

    def finished(self, sample: _Sample) -> None:
        self.progress.done += 1
        self.progress.failed += sample.failure is not None
        self.tell()

    def tell(self) -> None:
        if self._observer is not None:
            self._observer(self.progress)


def predict(
    questions: Questions,
    settings: Settings,
    source: Connection | Local,
    out: str | Path,
    *,
    on_progress: Observer | None = None,
    transport: Any = None,
) -> Result:
    """Ask a model, and write its predictions.

    Every reply goes into the journal beside `out` as it comes. Run again with the same settings,
    what is there is not asked again; samples that had failed are.

    Args:
        questions: what is asked.
        settings: how; they decide the replies.
        source: the server, or the model in this process.
        out: the predictions file, `.parquet` or `.jsonl`; it is written at the end, whole.
        on_progress: told after every sample.
        transport: an httpx transport instead of the network, or None.

    Returns:
        The predictions and what they took. After an interruption there are none, and the journal
        has what was finished: the first one waits for what is in flight, the second one does not.

    Raises:
        InvalidInputError: the settings do not fit the questions, or `out` has another ending.
        RecordError: the server cannot be reached or refuses all, nothing succeeded at all, `out` or
            the journal cannot be written, or the journal is that of other settings.
        MissingDependencyError: httpx and tenacity, or torch and transformers, are not installed.
    """
    out = Path(out)
    if out.suffix.lower() not in ENDINGS:
        raise InvalidInputError(f"out: expected {' or '.join(ENDINGS)}, got {out.name!r}")
    check_writable(out)
    samples = [_Sample(prompt, steps) for prompt, steps in elicit(questions, settings)]
    told = settings.described() | {"asked": questions.kind}
    if isinstance(source, Local):
        told["weights"] = source.fingerprint(settings.model)
    with Journal(journal_path(out), told) as journal:
        run = _Run(samples, journal, on_progress)
        if isinstance(source, Local):
            stopped = _locally(run, source, settings)
        else:
            stopped = asyncio.run(_remotely(run, source, transport))
        if not stopped:
            run.check()
    failures = _failures(samples)
    if stopped:
        return Result(None, run.progress, journal.path, len(journal), failures)
    if run.progress.failed == len(samples):
        raise RecordError(
            f"all {plural(len(samples), 'sample')} failed, most often because {failures[0][0]}; no "
            "predictions were written",
            source.shown,
        )
    predictions = assembled([one.answered() for one in samples], questions, _name(settings))
    try:
        write(out, predictions)
    except OSError as error:
        raise RecordError(
            f"the predictions cannot be written: {error.strerror or error}; make room and run the "
            "same command again, the replies are kept",
            str(out),
        ) from error
    return Result(predictions, run.progress, journal.path, len(journal), failures)


async def _remotely(run: _Run, connection: Connection, transport: Any) -> bool:
    """Ask a server, so many requests at once; True after an interruption.

    An error that ends the run does so like an interruption: what is in flight is paid for, so it is
    waited for and kept, and the error comes then.
    """
    pending = run.pending()
    async with Server(connection, transport, answered=run.journal.before > 0) as server:
        fatal: list[BaseException] = []

        async def worker() -> None:
            try:
                await _work(run, server, pending)
            except (LevelheadError, OSError) as error:
                fatal.append(error)
                server.stopping.set()
                run.progress.stopping = True

        workers = [asyncio.create_task(worker()) for _ in range(connection.concurrency)]
        clock = asyncio.create_task(_look_now_and_then(run))

        def interrupt() -> None:
            if server.stopping.is_set():
                for task in workers:
                    task.cancel()
            server.stopping.set()
            run.progress.stopping = True
            run.tell()

        with _interrupts(interrupt):
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                if not server.stopping.is_set():
                    raise
            finally:
                for task in (*workers, clock):
                    task.cancel()
                await asyncio.gather(*workers, clock, return_exceptions=True)
        if fatal:
            raise fatal[0]
        if not server.stopping.is_set():
            server.check()
    return run.progress.done < run.progress.total


async def _work(run: _Run, server: Server, pending: Iterator[_Sample]) -> None:
    """Ask for one sample after the other."""
    for sample in pending:  # one iterator for all workers: each takes what is next
        while sample.call is not None and not server.stopping.is_set():
            try:
                reply = await server.ask(sample.call)
            except RequestFailed as error:
                sample.failure = str(error)
                run.finished(sample)
                break
            except Stopped:
                return
            finally:
                run.progress.requests = server.requests
            run.take(sample, reply)
            if not run.goes_on(sample):
                break
        if server.stopping.is_set():
            return


async def _look_now_and_then(run: _Run) -> None:
    while True:
        await asyncio.sleep(SECONDS_PER_LOOK)
        run.tell()


@contextlib.contextmanager
def _interrupts(handler: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C calls the handler; where the platform allows it, and in the main thread."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, handler)
    except (NotImplementedError, ValueError, RuntimeError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _locally(run: _Run, source: Local, settings: Settings) -> bool:
    """Ask a model in this process, batch by batch; True after an interruption."""
    pending = run.pending()
    model: LocalModel | None = None
    batch: list[_Sample] = []
    try:
        while True:
            while len(batch) < source.batch and (sample := next(pending, None)) is not None:
                batch.append(sample)
            if not batch:
                return False
            if model is None:
                model = LocalModel(source, settings.model)
            replies = model.ask([one.call for one in batch if one.call is not None])
            run.progress.requests += len(batch)
            for sample, reply in zip(batch, replies, strict=True):
                run.take(sample, reply)
            batch = [sample for sample in batch if run.goes_on(sample)]
    except KeyboardInterrupt:
        run.progress.stopping = True
        return True


def _no_logprobs() -> InvalidInputError:
    return InvalidInputError(
        "method: options and p-true need the log-probabilities of the first token, and the server "
        "returned none although it was asked; start it with log-probabilities enabled, or use "
        "--method verbalized or consistency"
    )


def _failures(samples: Sequence[_Sample]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for sample in samples:
        if sample.failure is not None:
            counts[sample.failure] = counts.get(sample.failure, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: -item[1]))


def _name(settings: Settings) -> str:
    """What a report calls the model: its name, or the last part of a path."""
    return settings.model.rstrip("/").rpartition("/")[2] or settings.model


def _sum(so_far: int | None, more: int | None) -> int | None:
    return so_far if more is None else (so_far or 0) + more
