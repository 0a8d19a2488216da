"""A proxy that passes requests on and spoils some of them, seeded and counted."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

import httpx

FAULTS = ("429", "500", "503", "timeout", "no json", "no choices", "empty", "dropped")
HANG_S = 30.0


class Proxy:
    """An ASGI application before a server.

    Attributes:
        sent: keys of the requests that arrived, each attempt.
        passed: those that reached the server.
        faults: how often each fault was injected.
    """

    def __init__(self, upstream: str, *, rate: float, seed: int) -> None:
        self.upstream = upstream
        self._rate, self._random = rate, random.Random(seed)
        self.sent: list[str] = []
        self.passed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        raw, more = b"", True
        while more:
            event = await receive()
            raw, more = raw + event.get("body", b""), event.get("more_body", False)
        body = json.loads(raw)
        key = f"{body['seed']}:{body['messages'][-1]['content']}"
        self.sent.append(key)
        if self._random.random() < self._rate:
            fault = FAULTS[sum(self.faults.values()) % len(FAULTS)]
            self.faults[fault] += 1
            await self._spoil(fault, receive, send)
            return
        self._client = self._client or httpx.AsyncClient(timeout=60, trust_env=False)
        response = await self._client.post(
            f"{self.upstream}{scope['path'][3:]}",
            content=raw,
            headers={"content-type": "application/json"},
        )
        self.passed[key] += response.status_code == 200
        await _reply(send, response.status_code, response.content)

    async def _spoil(self, fault: str, receive: Any, send: Any) -> None:
        if fault.isdigit():
            await _reply(
                send, int(fault), b'{"error": {"message": "injected"}}', retry=fault == "429"
            )
        elif fault == "timeout":
            waiting = asyncio.create_task(receive())  # comes when the client has gone
            await asyncio.wait({waiting}, timeout=HANG_S)
            waiting.cancel()
            await _reply(send, 504, b"")
        elif fault == "dropped":
            headers = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"choices"'})  # and no more
        else:
            payload = {
                "no json": b"<html>gateway</html>",
                "no choices": b'{"choices": []}',
                "empty": b'{"choices": [{"finish_reason": "stop", "message": {"content": ""}}]}',
            }[fault]
            await _reply(send, 200, payload)


async def _reply(send: Any, status: int, content: bytes, *, retry: bool = False) -> None:
    headers = [(b"content-type", b"application/json")]
    if retry:
        headers.append((b"retry-after", b"0.1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
