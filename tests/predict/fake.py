"""A small OpenAI-compatible server: an ASGI application that replies by a script and counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn

Script = Callable[[int, dict[str, Any]], tuple[int, Mapping[str, str], Any]]
"""(number of the request from 0, its body) -> status, headers, and JSON or raw bytes."""

SAYING = "<answer>Rome</answer> <confidence>0.8</confidence>"


def chat(
    *texts: str, finish: str = "stop", usage: tuple[int, int] | None = (10, 5), **message: Any
):
    """A chat completion with these texts."""
    choices = [
        {"index": i, "finish_reason": finish, "message": {"content": text, **message}}
        for i, text in enumerate(texts)
    ]
    raw: dict[str, Any] = {"object": "chat.completion", "choices": choices}
    if usage is not None:
        raw["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return 200, {}, raw


def tokens(text: str, top: Mapping[str, float]):
    """A chat completion of one token with the log-probabilities of some."""
    status, headers, raw = chat(text, finish="length", usage=(10, 1))
    listed = [{"token": token, "logprob": value} for token, value in top.items()]
    first = {"token": text, "logprob": max(top.values()), "top_logprobs": listed}
    raw["choices"][0]["logprobs"] = {"content": [first]}
    return status, headers, raw


class Fake:
    """The server. `script` decides each reply; `bodies` and `headers` are what it was sent."""

    def __init__(self) -> None:
        self.script: Script = lambda number, body: chat(SAYING)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now = self.most = 0
        self.delay = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw, more = b"", True
        while more:
            event = await receive()
            raw, more = raw + event.get("body", b""), event.get("more_body", False)
        if scope["method"] == "GET":
            reply = (200, {}, {"data": [{"id": "good-model"}]})
        else:
            number = len(self.bodies)
            body = json.loads(raw)
            self.bodies.append(body)
            self.paths.append(scope["path"])
            self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                await asyncio.sleep(self.delay)
                reply = self.script(number, body)
            finally:
                self.now -= 1
        status, headers, payload = reply
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        listed = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": content})


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application on a free port of the loopback; its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()
