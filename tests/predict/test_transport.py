"""One server: what is retried, what is not, how fast, and what is said."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import itertools
import re
import time
from typing import Any

import httpx
import pytest
from predict_fake import Fake, chat

from levelhead.errors import InvalidInputError, LevelheadError, RecordError
from levelhead.predict._calls import Call
from levelhead.predict._pace import Pace
from levelhead.predict._replies import Choice, MalformedReply, Reply, read_reply
from levelhead.predict.transport import Connection, RequestFailed, Server, _retry_after

URL = "http://server.test/v1"
KEY = "sk-very-secret-0123456789"


def connection(**options: Any) -> Connection:
    return Connection(URL, **{"first_wait": 0.001, "retries": 3, **options})


def call(**body: Any) -> Call:
    fields = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    return Call("chat/completions", fields | body, "key")


def ask(
    fake: Any, *calls: Call, transport: Any = None, answered: bool = False, **options: Any
) -> list[Any]:
    """The replies, one after the other; a request that fails gives its error."""

    async def main() -> list[Any]:
        found: list[Any] = []
        given = {"concurrency": 1} | options
        async with Server(
            connection(**given), transport or httpx.ASGITransport(app=fake), answered=answered
        ) as server:
            for one in calls or (call(),):
                try:
                    found.append(await server.ask(one))
                except (RequestFailed, LevelheadError) as error:
                    found.append(error)
        return found

    return asyncio.run(main())


def failing_first(fake: Fake, times: int, reply: Any) -> None:
    fake.script = lambda number, body: reply if number < times else chat("fine")


PASSING = [
    (429, {"retry-after": "0"}, {"error": {"message": "slow down"}}),
    (429, {}, b"slow down"),
    (500, {}, b"oops"),
    (520, {}, b""),
    (522, {}, b""),
    (524, {}, b""),
    (204, {}, b""),
    (200, {}, b"[" * 100_000),
    (200, {}, {"choices": [{"message": {"content": [{"text": 5}]}}]}),
    (200, {}, {"choices": [{"text": "x", "logprobs": {"content": [{"top_logprobs": 5}]}}]}),
    (200, {}, {"choices": [{"text": "x", "logprobs": {"top_logprobs": [{"a": -(10**400)}]}}]}),
    (502, {}, b"<html>"),
    (503, {"retry-after-ms": "1"}, b""),
    (504, {}, b""),
    (529, {}, b""),
    (200, {}, b"{torn"),
    (200, {}, []),
    (200, {}, {"choices": []}),
    (200, {}, {"choices": [{"index": 0}]}),
    (200, {}, {"error": {"message": "upstream"}}),
    chat(""),
    chat(None),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("reply", PASSING)
def test_what_may_pass_is_asked_again(reply: Any) -> None:
    fake = Fake()
    failing_first(fake, 3, reply)
    assert ask(fake)[0].choices[0].text == "fine"
    assert len(fake.bodies) == 4
    assert all(body == fake.bodies[0] for body in fake.bodies)


def test_after_the_last_attempt_the_request_has_failed() -> None:
    fake = Fake()
    failing_first(fake, 99, (500, {}, {"error": {"message": "oops"}}))
    found = ask(fake)[0]
    assert isinstance(found, RequestFailed)
    assert str(found) == "the server replied 500: oops"
    assert len(fake.bodies) == 4


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            401,
            "refused the API key, one was given (401: no such field); put it into an environment",
        ),
        (403, "refused the API key, one was given (403"),
        (404, "no model 'm' or no chat/completions there (404: no such field); it has good-model;"),
        (402, "the account has no credit left (402: no such field)"),
        (501, "with --body FIELD=null"),
        (307, "the server moved (307"),
    ],
)
def test_what_cannot_be_mended_is_asked_once(status: int, text: str) -> None:
    fake = Fake()
    failing_first(fake, 99, (status, {}, {"error": {"message": "no such field"}}))
    found = ask(fake, api_key=KEY)[0]
    assert isinstance(found, RecordError)
    assert text in str(found)
    assert str(found).startswith(f"{URL}: ")
    assert len(fake.bodies) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_settings_that_are_refused_are_told_from_a_prompt_that_is(status: int) -> None:
    fake = Fake()
    failing_first(fake, 4, (status, {}, {"detail": "bad prompt"}))
    found = ask(fake, *[call()] * 5)
    assert [str(one) for one in found[:4]] == [
        f"the server refused the request ({status}: bad prompt)"
    ] * 4
    assert isinstance(found[4], Reply)
    failing_first(fake, 99, (status, {}, {"detail": "no such field"}))
    found = ask(fake, *[call()] * 5)
    assert all(isinstance(one, RequestFailed) for one in found[:4])
    assert isinstance(found[4], RecordError)
    assert f"refused the request ({status}: no such field); correct --model or the" in str(found[4])
    found = ask(fake, *[call()] * 40, answered=True)  # in an earlier run
    assert all(isinstance(one, RequestFailed) for one in found)


def test_while_others_are_in_flight_refusals_do_not_end_the_run() -> None:
    """Eight at once of which five are refused at once: the three that take longer decide."""
    fake = Fake()
    fake.script = lambda n, body: chat("fine") if body["top_k"] > 5 else (400, {}, {"detail": "no"})

    async def main() -> list[Any]:
        async def slowly(scope: Any, receive: Any, send: Any) -> None:
            fake.delay = 0.0 if len(fake.bodies) < 5 else 0.05
            await fake(scope, receive, send)

        async with Server(connection(concurrency=8), httpx.ASGITransport(app=slowly)) as server:
            found = await asyncio.gather(
                *(server.ask(call(top_k=k)) for k in range(1, 9)), return_exceptions=True
            )
            server.check()
            return found

    found = asyncio.run(main())
    assert [type(one) for one in found] == [RequestFailed] * 5 + [Reply] * 3


def test_where_all_that_there_was_is_refused_the_advice_is_told() -> None:
    fake = Fake()
    failing_first(fake, 99, (400, {}, {"detail": "no such field"}))

    async def main() -> None:
        async with Server(connection(), httpx.ASGITransport(app=fake)) as server:
            with pytest.raises(RequestFailed):
                await server.ask(call())
            server.check()

    with pytest.raises(RecordError, match="take a field that it does not know out with --body"):
        asyncio.run(main())


@pytest.mark.parametrize("status", [402, 403, 404])
def test_what_is_refused_midway_is_one_request_until_it_is_all_of_them(status: int) -> None:
    fake = Fake()
    fake.script = lambda n, body: chat("fine") if n != 1 else (status, {}, {"detail": "no"})
    found = ask(fake, call(), call(), call())
    assert [type(one) for one in found] == [Reply, RequestFailed, Reply]
    assert str(found[1]) == f"the server refused the request ({status}: no)"
    fake = Fake()
    fake.script = lambda n, body: (status, {}, {"detail": "no"}) if n else chat("fine")
    found = ask(fake, *[call()] * 31)
    assert all(isinstance(one, RequestFailed) for one in found[1:30])
    assert isinstance(found[30], RecordError)


@pytest.mark.parametrize("page", [b"<html>hi</html>", b'{"status": "up"}', b"[]"])
def test_another_kind_of_server_is_told_early(page: bytes) -> None:
    fake = Fake()
    failing_first(fake, 99, (200, {}, page))
    found = ask(fake, retries=6)[0]
    assert isinstance(found, RecordError)
    assert str(found).startswith(f"{URL}: this is no OpenAI-compatible API (the reply ")
    assert "; check --base-url" in str(found)
    assert len(fake.bodies) == 5


def test_a_prompt_that_cannot_be_sent_is_its_own_fault() -> None:
    fake = Fake()
    broken = call(messages=[{"role": "user", "content": "\ud800"}])
    found = ask(fake, broken, call())
    assert [type(one) for one in found] == [RequestFailed, Reply]


def test_a_request_that_is_refused_among_others_is_its_own_fault() -> None:
    fake = Fake()
    fake.script = lambda n, body: chat("fine") if n != 1 else (400, {}, {"detail": "bad prompt"})
    found = ask(fake, call(), call(), call())
    assert isinstance(found[1], RequestFailed)
    assert str(found[1]) == "the server refused the request (400: bad prompt)"
    assert [one.choices[0].text for one in (found[0], found[2])] == ["fine", "fine"]
    fake.script = lambda n, body: (400, {}, {"error": {"message": "maximum context length is 10"}})
    assert isinstance(ask(fake)[0], RequestFailed)


def test_an_empty_account_is_not_asked_again() -> None:
    fake = Fake()
    error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
    failing_first(fake, 99, (429, {}, {"error": error}))
    assert "the account has no credit left (429: You exceeded your quota)" in str(ask(fake)[0])
    assert len(fake.bodies) == 1


def test_the_key_is_sent_and_never_shown() -> None:
    fake = Fake()
    failing_first(fake, 99, (401, {}, {"error": {"message": f"Incorrect API key: {KEY}"}}))
    found = ask(fake, api_key=KEY)[0]
    assert fake.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(found) + repr(found) + repr(connection(api_key=KEY))
    assert "Incorrect API key: ***" in str(found)
    failing_first(fake, 99, (500, {}, f"trace of {KEY}".encode()))
    assert str(ask(fake, api_key=KEY)[0]) == "the server replied 500: trace of ***"


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_that_a_cut_would_halve_is_not_shown(status: int) -> None:
    fake, key = Fake(), "sk-proj-" + "0123456789abcdef" * 10
    failing_first(fake, 99, (status, {}, {"error": {"message": "x" * 40 + f" {key}"}}))
    found = str(ask(fake, api_key=key)[0])
    assert "x ***" in found
    assert "sk-proj" not in found


def test_a_server_that_is_not_there_is_not_waited_for() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed")

    found = ask(None, transport=httpx.MockTransport(nobody))[0]
    assert str(found) == (
        f"{URL}: the server cannot be reached (All connection attempts failed); start it, or "
        "correct --base-url"
    )


def test_a_server_that_goes_away_ends_the_run() -> None:
    count = 0

    def leaves(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count > 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=chat("fine")[2])

    found = ask(None, call(), call(), transport=httpx.MockTransport(leaves))
    assert isinstance(found[0], Reply)
    assert "the server no longer replies (cannot connect: refused); what is finished" in str(
        found[1]
    )
    assert count == 1 + 4


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_timeouts_and_broken_connections_are_asked_again(error: type[Exception]) -> None:
    count = 0

    def breaks(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count < 3:
            raise error("gone")
        return httpx.Response(200, json=chat("fine")[2])

    found = ask(None, transport=httpx.MockTransport(breaks))[0]
    assert found.choices[0].text == "fine"
    assert count == 3


def test_a_server_that_fails_all_the_time_is_given_up() -> None:
    fake = Fake()
    failing_first(fake, 999, (500, {}, b""))
    found = ask(fake, *[call()] * 30, retries=0)
    assert all(isinstance(one, RequestFailed) for one in found[:29])
    assert "the server does not reply (the server replied 500)" in str(found[29])
    fake = Fake()
    fake.script = lambda n, body: chat("fine") if n % 30 == 0 else (500, {}, b"")
    found = ask(fake, *[call()] * 60, retries=0)  # never 30 in a row
    assert [type(one) for one in found] == ([Reply] + [RequestFailed] * 29) * 2
    failing_first(fake, 999, (500, {}, b""))
    found = ask(fake, *[call()] * 30, retries=0, answered=True)
    assert "the server no longer replies (the server replied 500)" in str(found[29])


@pytest.mark.parametrize("status", [429, 500])
def test_the_wait_is_what_the_server_asks_for_and_more(status: int) -> None:
    fake = Fake()
    fake.script = lambda n, body: (status, {"retry-after": "0.2"}, b"") if n == 0 else chat("fine")
    loop_time: list[float] = []

    async def main() -> None:
        async with Server(connection(), httpx.ASGITransport(app=fake)) as server:
            began = asyncio.get_running_loop().time()
            await server.ask(call())
            loop_time.append(asyncio.get_running_loop().time() - began)

    asyncio.run(main())
    assert 0.2 <= loop_time[0] < 1.0


def test_retry_after_in_all_its_forms() -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    assert _retry_after({}) is None
    assert _retry_after({"retry-after": "7"}) == 7.0
    assert _retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert _retry_after({"retry-after": email.utils.format_datetime(then)}) == pytest.approx(
        100, abs=2
    )
    assert _retry_after({"retry-after": "soon"}) is None
    assert _retry_after({"retry-after": "nan"}) is None
    assert _retry_after({"retry-after": "999999"}) == 600.0
    assert _retry_after({"retry-after": "-5"}) == 0.0


def test_a_pace_by_hand() -> None:
    now = [100.0]
    pace = Pace(30.0, lambda: now[0])  # one each 2 seconds
    assert [pace.reserve() for _ in range(3)] == [0.0, 2.0, 4.0]
    now[0] += 10.0
    assert pace.reserve() == 0.0
    pace.correct(1.5)  # it has cost 2.5
    assert pace.reserve() == 5.0
    pace.pause(60.0)
    assert pace.shifted == 60.0  # what is reserved at +5 goes out at +65
    assert pace.reserve() == 67.0
    pace.pause(10.0)  # ends before the other one
    assert pace.shifted == 60.0
    pace.pause(61.0)
    assert pace.shifted == 61.0
    assert pace.reserve() == 70.0
    free = Pace(None, lambda: now[0])
    assert [free.reserve(9.0), free.reserve()] == [0.0, 0.0]


def test_a_pause_holds_for_what_waits_for_its_turn_as_well() -> None:
    """One each 0.05 s; the first asks for 0.3 s, and the other four come spaced after that."""
    fake, sent = Fake(), list[float]()

    def script(n: int, body: Any) -> Any:
        sent.append(time.monotonic())
        return (429, {"retry-after": "0.3"}, b"") if n == 0 else chat("fine")

    fake.script = script

    async def main() -> None:
        limited = connection(requests_per_minute=1200.0)
        async with Server(limited, httpx.ASGITransport(app=fake)) as server:
            await asyncio.gather(*(server.ask(call()) for _ in range(5)))

    asyncio.run(main())
    assert len(sent) == 6
    assert sent[1] - sent[0] >= 0.3
    assert all(later - one >= 0.04 for one, later in itertools.pairwise(sent[1:]))


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_pause_holds_for_all_requests(status: int) -> None:
    fake, sent = Fake(), list[float]()

    def script(n: int, body: Any) -> Any:
        sent.append(time.monotonic())
        return (status, {"retry-after": "0.2"}, b"") if n == 0 else chat("fine")

    fake.script = script

    async def main() -> None:
        async with Server(connection(retries=0), httpx.ASGITransport(app=fake)) as server:
            with pytest.raises(RequestFailed):
                await server.ask(call())
            await server.ask(call())  # another one, which knows nothing of the wait

    asyncio.run(main())
    assert sent[1] - sent[0] >= 0.2


def test_requests_per_minute_are_kept() -> None:
    fake = Fake()
    loop_time: list[float] = []

    async def main() -> None:
        limited = connection(requests_per_minute=600.0)  # one each 0.1 s
        async with Server(limited, httpx.ASGITransport(app=fake)) as server:
            began = asyncio.get_running_loop().time()
            await asyncio.gather(*(server.ask(call()) for _ in range(4)))
            loop_time.append(asyncio.get_running_loop().time() - began)

    asyncio.run(main())
    assert 0.3 <= loop_time[0] < 1.0


def test_tokens_per_minute_are_kept() -> None:
    fake = Fake()
    loop_time: list[float] = []

    async def main() -> None:
        # 15 tokens are counted for each request: one each 0.1 s.
        limited = connection(tokens_per_minute=9000.0)
        async with Server(limited, httpx.ASGITransport(app=fake)) as server:
            began = asyncio.get_running_loop().time()
            for _ in range(4):
                await server.ask(call())
            loop_time.append(asyncio.get_running_loop().time() - began)

    asyncio.run(main())
    assert 0.29 <= loop_time[0] < 1.0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h/v1/", "http://h/v1"),
        ("https://h/openai/v1/chat/completions", "https://h/openai/v1"),
    ],
)
def test_addresses(given: str, meant: str) -> None:
    assert Connection(given).base_url == meant


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"base_url": "localhost:8000"}, "base_url: expected an address such as http://127.0.0.1"),
        ({"concurrency": 0}, "concurrency: expected more than 0, got 0"),
        ({"retries": -1}, "retries: expected 0 or more, got -1"),
        ({"requests_per_minute": 0.0}, "requests_per_minute: expected more than 0"),
        ({"api_key": "a\nb"}, "api_key: expected printable ASCII characters"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(text)):
        Connection(**{"base_url": URL, **options})


def test_a_password_in_the_address_is_not_shown() -> None:
    assert Connection("http://me:secret@h:1/v1?key=x").shown == "http://h:1/v1"


def test_replies_of_reasoning_models() -> None:
    raw = chat("", finish="length", reasoning_content="Hmm")[2]
    assert read_reply(raw).choices == (Choice("", "Hmm", "length"),)
    raw = chat(None, reasoning="Hmm")[2]  # type: ignore[arg-type]
    assert read_reply(raw).choices[0].reasoning == "Hmm"
    assert read_reply(chat("", finish="length")[2]).choices[0].finish == "length"
    assert read_reply(chat("", finish="content_filter")[2]).choices[0].text == ""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_reply(chat(parts)[2]).choices[0].text == "ab"  # type: ignore[arg-type]
    assert read_reply(chat("x", usage=None)[2]).prompt_tokens is None
    with pytest.raises(MalformedReply, match="the reply is empty"):
        read_reply(chat("")[2])


def test_logprobs_of_a_text_completion() -> None:
    raw = {"choices": [{"text": " True", "logprobs": {"top_logprobs": [{" True": -0.1}]}}]}
    assert read_reply(raw).choices[0].top == ((" True", -0.1),)
