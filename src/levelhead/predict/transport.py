"""One server: requests with retries, limits, and one sentence for what cannot be mended."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import email.utils
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from levelhead._optional import optional_import
from levelhead.errors import InvalidInputError, RecordError
from levelhead.predict._calls import Call
from levelhead.predict._pace import Pace
from levelhead.predict._replies import MalformedReply, Reply, read_reply

__all__ = ["Connection", "RequestFailed", "Server", "Stopped"]

FEATURE, EXTRA = "asking servers", "predict"
RETRIED = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may succeed."""

NEVER = frozenset({501, 505})
"""Statuses from 500 on after which it will not: not implemented, no such version of HTTP."""

PAUSES = frozenset({429, 503, 529})
"""Statuses whose Retry-After is meant for every request."""

ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses with which a server refuses one request, or the settings of all of them."""

LONGEST_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
"""A server that asks for more is asked again after this."""

CONNECT_S = 10.0
FIRST = 5
"""Requests that fail at the beginning, none having succeeded, before all of them are expected to."""

MOST_IN_A_ROW = 30
"""Requests that fail one after the other, retries included, before the server is given up."""

SECRET_LENGTH = 8
"""Shorter keys (EMPTY, none, x) are placeholders; blotting them out would garble sentences."""

CHARACTERS_PER_TOKEN = 4.0
MOST_LISTED = 8
LONGEST_SAID = 200


class RequestFailed(Exception):
    """One request failed for good; the others may not."""


class Stopped(Exception):
    """The user has interrupted the run."""


class _Again(Exception):
    """A request failed in a way that may pass."""

    def __init__(self, problem: str, wait: float | None = None, *, gone: bool = False) -> None:
        self.problem, self.wait, self.gone = problem, wait, gone
        super().__init__(problem)


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where a server is, and how hard it may be asked. None of it changes a reply.

    Attributes:
        base_url: e.g. `http://127.0.0.1:8000/v1`; without a path `/v1` is meant.
        api_key: sent as a bearer token, or None; never written or printed.
        concurrency: requests in flight at once, at least 1.
        retries: further attempts at a request that may still succeed, at least 0.
        timeout: seconds without a sign of the server before a request is taken for lost, > 0.
        requests_per_minute: at most, or None.
        tokens_per_minute: at most, prompt and completion together, or None.
        first_wait: seconds of the first wait between two attempts, at random up to it, > 0; doubles
            each time up to a minute.

    Raises:
        InvalidInputError: a value is outside its range, or the address is none.
    """

    base_url: str
    api_key: str | None = dataclasses.field(default=None, repr=False)
    concurrency: int = 16
    retries: int = 6
    timeout: float = 600.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(
                f"base_url: expected an address such as http://127.0.0.1:8000/v1, got "
                f"{self.shown!r}"
            )
        url = self.base_url.rstrip("/")
        for ending in ("/chat/completions", "/completions"):
            url = url.removesuffix(ending)
        object.__setattr__(self, "base_url", url if urlsplit(url).path else f"{url}/v1")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise InvalidInputError(
                "api_key: expected printable ASCII characters, got others; look for a line break "
                "or a quotation mark in the variable"
            )
        for name in ("concurrency", "timeout", "first_wait"):
            if not getattr(self, name) > 0:
                raise InvalidInputError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if self.retries < 0:
            raise InvalidInputError(f"retries: expected 0 or more, got {self.retries}")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidInputError(f"{name}: expected more than 0, got {value}")

    @property
    def shown(self) -> str:
        """The address without a user, a password or a query, as messages have it."""
        parts = urlsplit(self.base_url)
        return parts._replace(
            netloc=parts.netloc.rpartition("@")[2], query="", fragment=""
        ).geturl()


class Server:
    """An OpenAI-compatible server, to be used in `async with`.

    Args:
        connection: where it is.
        transport: an httpx transport instead of the network, or None.
        answered: whether it has answered such requests before, in an earlier run.

    Attributes:
        requests: how many have been sent.
        stopping: set it, and whatever waits ends with `Stopped`; what is in flight goes on.
    """

    def __init__(
        self, connection: Connection, transport: Any = None, *, answered: bool = False
    ) -> None:
        self._httpx: Any = optional_import("httpx", FEATURE, EXTRA)
        self._tenacity: Any = optional_import("tenacity", FEATURE, EXTRA)
        self._connection, self._transport = connection, transport
        self._requests = Pace(connection.requests_per_minute)
        self._tokens = Pace(connection.tokens_per_minute)
        self._backoff = self._tenacity.wait_random_exponential(
            multiplier=connection.first_wait, max=LONGEST_WAIT_S
        )
        self._reached, self._answered = False, answered
        self._in_a_row = self._first_failures = self._in_flight = 0
        self._held: RecordError | None = None
        self.requests = 0
        self.stopping = asyncio.Event()

    async def __aenter__(self) -> Server:
        connection, key = self._connection, self._connection.api_key
        self._client: Any = self._httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=self._httpx.Timeout(
                connection.timeout, connect=min(CONNECT_S, connection.timeout), pool=None
            ),
            limits=self._httpx.Limits(
                max_connections=connection.concurrency,
                max_keepalive_connections=connection.concurrency,
            ),
            transport=self._transport,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def ask(self, call: Call) -> Reply:
        """The reply to a request, after as many attempts as it takes.

        Args:
            call: the request.

        Returns:
            Its completions.

        Raises:
            RequestFailed: all attempts failed, or the server refuses this request alone.
            RecordError: the server cannot be reached, or refuses every request like it.
            Stopped: interrupted while waiting.
        """
        retrying = self._tenacity.AsyncRetrying(
            retry=self._tenacity.retry_if_exception_type(_Again),
            stop=self._tenacity.stop_after_attempt(self._connection.retries + 1),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            reply = await retrying(self._attempt, call)
        except _Again as error:
            self._count_failure(error)
            raise RequestFailed(error.problem) from error
        self._answered, self._in_a_row = True, 0
        return reply

    def check(self) -> None:
        """At the end of a run: whether anything has succeeded, where something was refused.

        Raises:
            RecordError: nothing has, now or earlier.
        """
        if self._held is not None and not self._answered:
            raise self._held

    async def _attempt(self, call: Call) -> Reply:
        estimate = _tokens(call)
        shifted = self._requests.shifted
        await self._sleep(max(self._requests.reserve(), self._tokens.reserve(estimate)))
        while self._requests.shifted > shifted:  # a pause began meanwhile
            longer, shifted = self._requests.shifted - shifted, self._requests.shifted
            await self._sleep(longer)
        self.requests += 1
        self._in_flight += 1
        try:
            response = await self._post(call)
        finally:
            self._in_flight -= 1
        self._reached = True
        if response.status_code != 200:
            raise await self._refusal(response, call)
        try:
            reply = read_reply(json.loads(response.content))
        except MalformedReply as error:
            raise self._malformed(self._clean(error), foreign=error.foreign) from error
        except (ValueError, RecursionError) as error:
            raise self._malformed("the reply is no JSON", foreign=True) from error
        used = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        self._tokens.correct(used - estimate if used else 0.0)
        return reply

    async def _post(self, call: Call) -> Any:
        url = f"{self._connection.base_url}/{call.path}"
        try:
            return await self._client.post(url, json=call.body)
        except (self._httpx.ConnectError, self._httpx.ConnectTimeout) as error:
            if not self._reached:
                raise self._unreachable(error) from error
            raise _Again(f"cannot connect: {self._clean(error)}", gone=True) from error
        except self._httpx.TimeoutException as error:
            raise _Again(f"no reply within {self._connection.timeout:g} s") from error
        except self._httpx.TransportError as error:
            raise _Again(f"the connection broke: {self._clean(error)}") from error
        except UnicodeEncodeError as error:  # half a surrogate pair in this prompt
            raise RequestFailed(f"the request cannot be sent: {self._clean(error)}") from error
        except (self._httpx.InvalidURL, self._httpx.UnsupportedProtocol, ValueError) as error:
            raise self._problem(f"the request cannot be sent: {self._clean(error)}") from error
        except self._httpx.RequestError as error:  # what came cannot be decoded
            raise _Again(f"the reply cannot be read: {self._clean(error)}") from error

    def _malformed(self, problem: str, *, foreign: bool) -> Exception:
        """A reply that is none; where there have been no others, this is another kind of server."""
        if foreign and not self._answered:
            sentence = self._problem(
                f"this is no OpenAI-compatible API ({problem}); check --base-url, it often ends in "
                "/v1"
            )
            if self._hold(sentence):
                return sentence
        return _Again(problem)

    def _hold(self, sentence: RecordError) -> bool:
        """Count a failure before any success; True where there were enough to expect no other.

        That is when as many have failed as may be in flight, or a few and none is in flight: one that
        is refused comes back sooner than one that is answered.
        """
        self._held = self._held or sentence
        self._first_failures += 1
        enough = max(FIRST, self._connection.concurrency)
        waiting = 0 if self._first_failures >= enough else self._in_flight
        return self._first_failures >= FIRST and not waiting

    async def _refusal(self, response: Any, call: Call) -> Exception:
        """What a status other than 200 means."""
        status, said = response.status_code, self._said(response)
        told = f"{status}: {said}" if said else f"{status}"
        if b"insufficient_quota" in response.content:  # comes with 429, and does not pass
            return self._problem(
                f"the account has no credit left ({told}); what is finished is kept"
            )
        if status < 300 or status in RETRIED or (status >= 500 and status not in NEVER):
            wait = _retry_after(response.headers)
            if wait is not None and status in PAUSES:
                self._requests.pause(wait)
            return _Again(f"the server replied {told}", wait)
        failed = RequestFailed(f"the server refused the request ({told})")
        if status in ABOUT_THE_REQUEST:
            if self._answered or _too_long(said):
                return failed
            sentence = await self._forever(status, told, call)
            return sentence if self._hold(sentence) else failed
        if self._answered and status >= 400 and status != 401:
            self._in_a_row += 1
            if self._in_a_row < MOST_IN_A_ROW:
                return failed
        return await self._forever(status, told, call)

    async def _forever(self, status: int, told: str, call: Call) -> RecordError:
        """The sentence for a status that every further request would meet as well."""
        if status == 402:
            return self._problem(
                f"the account has no credit left ({told}); what is finished is kept"
            )
        if status in (401, 403):
            given = "none was given" if self._connection.api_key is None else "one was given"
            return self._problem(
                f"the server refused the API key, {given} ({told}); put it into an environment "
                "variable and name that with --api-key-env"
            )
        if status == 404:
            return self._problem(
                f"the server has no model {call.body.get('model')!r} or no {call.path} there "
                f"({told}){await self._models()}; correct --model or --base-url"
            )
        if 300 <= status < 400:
            return self._problem(f"the server moved ({told}); give its new address to --base-url")
        return self._problem(
            f"the server refused the request ({told}); correct --model or the settings, and take "
            "a field that it does not know out with --body FIELD=null"
        )

    async def _models(self) -> str:
        """The names of the models that the server has, as the middle of a sentence."""
        try:
            response = await self._client.get(f"{self._connection.base_url}/models")
            names = [str(one["id"]) for one in json.loads(response.content)["data"]]
        except (self._httpx.HTTPError, ValueError, KeyError, TypeError, RecursionError):
            return ""
        more = ", ..." if len(names) > MOST_LISTED else ""
        return f"; it has {', '.join(names[:MOST_LISTED])}{more}" if names else ""

    def _said(self, response: Any) -> str:
        """The server's own words about an error, without the key, short and on one line."""
        try:
            raw = json.loads(response.content)
        except (ValueError, RecursionError):
            raw = response.text
        for name in ("error", "message", "detail"):
            if isinstance(raw, Mapping) and raw.get(name):
                raw = raw[name]
        return self._clean(raw)

    def _clean(self, said: object) -> str:
        text, key = str(said), self._connection.api_key
        if key is not None and len(key) >= SECRET_LENGTH:
            for form in {key, repr(key)[1:-1], json.dumps(key)[1:-1]}:
                text = text.replace(form, "***")
        return " ".join(text.split())[:LONGEST_SAID]  # cut after: half a key is a secret too

    def _problem(self, sentence: str) -> RecordError:
        return RecordError(sentence, self._connection.shown)

    def _unreachable(self, error: Exception) -> RecordError:
        return self._problem(
            f"the server cannot be reached ({self._clean(error) or 'no connection'}); start it, or "
            "correct --base-url"
        )

    def _count_failure(self, error: _Again) -> None:
        """Raise where it is the server that fails, and not the request."""
        self._in_a_row += 1
        if error.gone or self._in_a_row >= MOST_IN_A_ROW:
            what = "no longer replies" if self._answered else "does not reply"
            raise self._problem(
                f"the server {what} ({error.problem}); what is finished is kept, run the same "
                "command again to go on"
            ) from error

    def _wait(self, state: Any) -> float:
        """Seconds until the next attempt: what the server asks for, and a random share on top."""
        error = state.outcome.exception()
        return float(self._backoff(state)) + (error.wait or 0.0)

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the run is interrupted meanwhile."""
        if self.stopping.is_set():
            raise Stopped
        if seconds > 0.0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return
            raise Stopped


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number, or a date."""
    milliseconds, said = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            found = float(milliseconds) / 1000.0
        elif said is None:
            return None
        else:
            found = float(said)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(said or "")
        except ValueError:
            return None
        now = datetime.datetime.now(datetime.UTC)
        then = then if then.tzinfo else then.replace(tzinfo=datetime.UTC)
        found = (then - now).total_seconds()
    return min(max(found, 0.0), LONGEST_RETRY_AFTER_S) if found == found else None


def _tokens(call: Call) -> float:
    """About how many tokens a request takes; corrected when the server has counted them."""
    said = call.body.get("messages") or call.body.get("prompt")
    written = len(json.dumps(said)) / CHARACTERS_PER_TOKEN
    longest = call.body.get("max_tokens") or call.body.get("max_completion_tokens") or 0
    return written + float(longest) * int(call.body.get("n", 1))


def _too_long(said: str) -> bool:
    text = said.casefold()
    return "context length" in text or "context_length" in text or "context window" in text
