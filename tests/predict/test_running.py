"""Whole runs: against a server of the tests' own in this process, and against a real one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from predict_fake import SAYING, Fake, chat, serving, tokens
from predict_proxy import FAULTS, Proxy

from levelhead import readers
from levelhead.errors import InvalidInputError, RecordError
from levelhead.predict import Connection, Progress, Questions, Result, Settings, predict, running
from levelhead.predict.journal import journal_path
from levelhead.predict.running import Progress as RunningProgress
from levelhead.tasks import Prompt
from levelhead.tasks._base import user_message
from levelhead.tasks._verify import Verifier

URL = "http://server.test/v1"
KEY = "sk-very-secret-0123456789"
DRIVER = """
import sys
from levelhead.cli import COMMANDS, main
COMMANDS.setdefault("predict", ("levelhead.cli.predict:predict", ""))
sys.argv[0:1] = ["levelhead", "predict"]
main()
"""


def questions(count: int, kind: Any = "answer") -> Questions:
    prompts = tuple(
        Prompt(f"p{i}", user_message(f"Question {i}?"), targets=("Rome",), outcome=float(i % 2))
        for i in range(count)
    )
    form = "percent_tag" if kind == "event" else "answer_confidence_tags"
    return Questions("q", kind, prompts, form, Verifier("exact") if kind == "answer" else None)


def run(fake: Fake, count: int, out: Path, *, settings: Any = None, **options: Any) -> Result:
    given = {"first_wait": 0.001, "retries": 2, "concurrency": 4} | options
    return predict(
        questions(count),
        settings or Settings("m"),
        Connection(URL, **given),
        out,
        transport=httpx.ASGITransport(app=fake),
    )


def test_predictions_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    fake = Fake()
    fake.script = lambda n, body: chat(
        f"<answer>Rome</answer> <confidence>0.{n % 9 + 1}</confidence>"
    )
    fake.delay = 0.001
    out = tmp_path / "a.parquet"
    seen: list[tuple[int, int]] = []
    result = predict(
        questions(20),
        Settings("org/name"),
        Connection(URL, concurrency=4),
        out,
        on_progress=lambda p: seen.append((p.done, p.total)),
        transport=httpx.ASGITransport(app=fake),
    )
    assert seen == [(i, 20) for i in range(1, 21)]
    assert fake.most == 4
    found = readers.load([out])["a/name" if "a/name" in readers.load([out]) else "name"]
    assert found.prompt_id is not None
    assert found.prompt_id.to_pylist() == [f"p{i}" for i in range(20)]
    assert found.label.tolist() == [1.0] * 20
    assert result.progress.requests == 20
    assert (result.progress.prompt_tokens, result.progress.completion_tokens) == (200, 100)
    # 200 tokens at 3 and 100 at 15 a million.
    assert result.progress.cost(3.0, 15.0) == pytest.approx(0.0021)


def test_what_is_there_is_not_asked_again(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    run(fake, 5, out)
    before = out.read_bytes()
    again = run(fake, 5, out)
    assert (len(fake.bodies), again.progress.requests, again.progress.kept) == (5, 0, 5)
    assert out.read_bytes() == before
    more = run(fake, 8, out)  # three more prompts
    assert (more.progress.requests, more.progress.kept, len(fake.bodies)) == (3, 5, 8)


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    run(fake, 2, out)
    with pytest.raises(RecordError, match=r"made with other settings: temperature was 1\.0"):
        run(fake, 2, out, settings=Settings("m", temperature=0.2))
    assert len(fake.bodies) == 2


def test_a_failed_sample_is_a_record_and_is_asked_again_next_time(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    bad = "Question 3?"
    fake.script = lambda n, body: (
        (500, {}, b"") if bad in body["messages"][0]["content"] else chat(SAYING)
    )
    result = run(fake, 6, out)
    assert result.failures == (("the server replied 500", 1),)
    assert result.progress.failed == 1
    assert result.predictions is not None
    assert result.predictions.status_counts() == {"ok": 5, "missing": 1}
    assert result.predictions.columns["failure"][3].as_py() == "the server replied 500"
    assert len(fake.bodies) == 5 + 3
    fake.script = lambda n, body: chat(SAYING)
    again = run(fake, 6, out)
    assert again.predictions is not None
    assert again.predictions.status_counts() == {"ok": 6}
    assert len(fake.bodies) == 9


def test_a_sample_of_several_requests_goes_on_where_it_was(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    settings = Settings("m", method="consistency", samples=4)
    fake.script = lambda n, body: chat(SAYING) if n < 3 else (500, {}, b"")
    with pytest.raises(RecordError, match="all 1 sample failed, most often because the server"):
        run(fake, 1, out, settings=settings, retries=0)
    assert not out.exists()
    fake.script = lambda n, body: chat(SAYING)
    result = run(fake, 1, out, settings=settings)
    assert (len(fake.bodies), result.progress.requests) == (5, 1)
    assert result.predictions is not None
    assert result.predictions.confidence.tolist() == [1.0]


def test_a_reply_without_logprobs_is_not_kept(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    settings = Settings("m", method="options", options=("A", "B"))
    fake.script = lambda n, body: chat("A")
    with pytest.raises(InvalidInputError, match="the server returned none although it was asked"):
        run(fake, 3, out, settings=settings, concurrency=1)
    fake.script = lambda n, body: tokens("A", {"A": -0.5, "B": -1.5})
    result = run(fake, 3, out, settings=settings)
    assert result.predictions is not None
    # exp(-0.5) / (exp(-0.5) + exp(-1.5)) = 1 / (1 + 1 / e)
    assert result.predictions.confidence == pytest.approx([0.7310585786] * 3)
    assert result.predictions.provenance_counts() == {"computed": 3}


def test_one_odd_reply_does_not_end_a_run_that_reads_logprobs(tmp_path: Path) -> None:
    """Of 20 events one is filtered and three come without log-probabilities, two of them first."""
    fake, out = Fake(), tmp_path / "a.parquet"
    settings = Settings("m", method="options")

    def script(n: int, body: dict[str, Any]) -> Any:
        number = int(body["messages"][0]["content"].split("?")[0].split()[1])
        if number == 7:
            return chat("", finish="content_filter")
        return chat("Yes") if number in (0, 1, 9) else tokens("Yes", {"Yes": -0.1, "No": -2.5})

    fake.script = script
    for asked in (20, 0):  # the second time all comes from the journal
        fake.bodies.clear()
        result = predict(
            questions(20, "event"),
            settings,
            Connection(URL, concurrency=1),
            out,
            transport=httpx.ASGITransport(app=fake),
        )
        assert result.predictions is not None
        assert result.predictions.status_counts() == {"ok": 16, "unparsable": 3, "refusal": 1}
        assert len(fake.bodies) == asked


def test_odd_replies_of_an_earlier_run_do_not_end_this_one(tmp_path: Path) -> None:
    """Eight replies without log-probabilities and one with them, which is looked at last."""
    fake, out = Fake(), tmp_path / "a.parquet"
    settings = Settings("m", method="options", options=("A", "B"))
    top = tokens("A", {"A": -0.5, "B": -1.5})
    fake.script = lambda n, body: top if "Question 8?" in str(body) else chat("A")
    asked = questions(9)
    turned = dataclasses.replace(asked, prompts=asked.prompts[::-1])
    for one, sent in ((turned, 9), (asked, 0)):
        result = predict(
            one,
            settings,
            Connection(URL, concurrency=1),
            out,
            transport=httpx.ASGITransport(app=fake),
        )
        assert result.progress.requests == sent


def test_a_server_without_logprobs_is_not_asked_for_all(tmp_path: Path) -> None:
    fake = Fake()
    fake.script = lambda n, body: chat("A")
    settings = Settings("m", method="options", options=("A", "B"))
    with pytest.raises(InvalidInputError, match="the server returned none although it was asked"):
        run(fake, 40, tmp_path / "a.parquet", settings=settings, concurrency=2)
    assert len(fake.bodies) <= 6


def test_a_prompt_that_is_always_refused_does_not_stop_a_resumed_run(tmp_path: Path) -> None:
    fake, out = Fake(), tmp_path / "a.parquet"
    bad = "Question 0?"
    fake.script = lambda n, body: (
        (400, {}, {"detail": "policy"})
        if bad in body["messages"][0]["content"]
        else chat(SAYING, usage=None)
    )
    for sent in (6, 7):
        result = run(fake, 6, out)
        assert result.failures == (("the server refused the request (400: policy)", 1),)
        assert len(fake.bodies) == sent
        # Five replies of the first run have no tokens; the second run has none at all.
        assert result.progress.uncounted == (5 if sent == 6 else 0)


def test_settings_that_are_always_refused_are_told_with_advice(tmp_path: Path) -> None:
    fake = Fake()
    fake.script = lambda n, body: (400, {}, {"detail": "no such field"})
    with pytest.raises(RecordError, match="no such field.; correct --model or the settings"):
        run(fake, 3, tmp_path / "a.parquet")


def test_what_is_in_flight_at_a_fatal_error_is_kept(tmp_path: Path) -> None:
    """Four at once: the third is told that the key is wrong while the other three are on their way."""
    fake, out = Fake(), tmp_path / "a.parquet"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fake.delay = 0.0 if len(fake.bodies) == 2 else 0.1
        await fake(scope, receive, send)

    fake.script = lambda n, body: (401, {}, b"") if "Question 2?" in str(body) else chat(SAYING)
    with pytest.raises(RecordError, match="refused the API key"):
        predict(
            questions(40),
            Settings("m"),
            Connection(URL, concurrency=4),
            out,
            transport=httpx.ASGITransport(app=app),
        )
    assert len(fake.bodies) == 4
    assert kept(out) == 3


def test_a_full_disk_is_told_with_its_file(tmp_path: Path, monkeypatch: Any) -> None:
    def full(path: Path, predictions: Any) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "a.parquet"
    monkeypatch.setattr(running, "write", full)
    with pytest.raises(RecordError) as caught:
        run(Fake(), 2, out)
    assert str(caught.value) == (
        f"{out}: the predictions cannot be written: No space left on device; make room and run the "
        "same command again, the replies are kept"
    )
    assert kept(out) == 2


def test_a_server_that_says_nothing_is_told_of_meanwhile(tmp_path: Path, monkeypatch: Any) -> None:
    fake, seen = Fake(), list[int]()
    fake.delay = 0.1
    monkeypatch.setattr(running, "SECONDS_PER_LOOK", 0.02)
    predict(
        questions(1),
        Settings("m"),
        Connection(URL),
        tmp_path / "a.parquet",
        on_progress=lambda p: seen.append(p.done),
        transport=httpx.ASGITransport(app=fake),
    )
    assert seen[0] == 0
    assert seen[-1] == 1


def test_a_wrong_output_costs_nothing(tmp_path: Path) -> None:
    fake = Fake()
    with pytest.raises(InvalidInputError, match="out: expected .parquet or .pq or .jsonl"):
        run(fake, 1, tmp_path / "a.csv")
    with pytest.raises(RecordError, match="there is no such folder"):
        run(fake, 1, tmp_path / "no" / "a.parquet")
    assert fake.bodies == []


def test_the_audit_of_a_folder_leaves_the_journal_alone(tmp_path: Path) -> None:
    run(Fake(), 3, tmp_path / "a.parquet")
    assert journal_path(tmp_path / "a.parquet").is_file()
    loaded = readers.load([tmp_path])
    assert [len(one) for one in loaded.values()] == [3]


def start(base: str, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-c", DRIVER, "--base-url", base, "-o", str(out), *arguments]
    return subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PREDICT_KEY": KEY, "NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"too late: {process.communicate()}")
        time.sleep(0.005)


def kept(out: Path) -> int:
    """Whole replies in the journal."""
    path = journal_path(out)
    return max(0, path.read_bytes().count(b"\n") - 1) if path.is_file() else 0


def test_killed_and_interrupted_it_goes_on_and_tells_no_secret(tmp_path: Path) -> None:
    count, flying = 120, 4
    asked, out = tmp_path / "asked.jsonl", tmp_path / "a.jsonl"
    asked.write_text(
        "".join(json.dumps({"q": f"Question {i}?", "a": "Rome"}) + "\n" for i in range(count))
    )
    arguments = (str(asked), "--prompt", "{q}", "--answer", "a", "--model", "m")
    arguments += ("--concurrency", str(flying), "--api-key-env", "PREDICT_KEY")
    fake, words = Fake(), ""
    fake.delay = 0.01
    with serving(fake) as base:
        first = start(base, out, *arguments)
        until(lambda: kept(out) >= 30, first)
        first.kill()
        words += "".join(first.communicate())
        had = kept(out)
        sent = len(fake.bodies)
        assert had <= sent <= had + flying
        second = start(base, out, *arguments)
        until(lambda: kept(out) >= 70, second)
        second.send_signal(signal.SIGINT)
        said, told = second.communicate(timeout=20)
        words += said + told
        assert second.returncode == 130
        assert "interrupted, " in told  # behind how far it was, on a slow machine
        assert "replies kept; run the same command again to go on" in told
        # What was in flight was waited for: every request of the second run has its reply kept.
        assert len(fake.bodies) - sent == kept(out) - had
        assert not out.exists()
        third = start(base, out, *arguments)
        said, told = third.communicate(timeout=30)
        words += said + told
        assert third.returncode == 0, told
    keys = Counter(body["seed"] for body in fake.bodies)
    assert len(keys) == count
    assert len(fake.bodies) - count <= flying  # those that SIGKILL took
    found = readers.load([out])
    assert [one.status_counts() for one in found.values()] == [{"ok": count}]
    assert all(h["authorization"] == f"Bearer {KEY}" for h in fake.headers)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in written
    assert KEY not in words


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"q": "Question?"}\n' * 3)
    fake = Fake()
    fake.delay = 30.0
    with serving(fake) as base:
        process = start(base, tmp_path / "a.jsonl", str(asked), "--prompt", "{q}", "--model", "m")
        until(lambda: len(fake.bodies) == 3, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None  # it waits for what is in flight
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "")
    assert "interrupted, 0 of 3 samples done and 0 replies kept" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked.jsonl"]


def test_a_real_server_behind_faults(
    transformers_server: str, tiny_folder: Path, tmp_path: Path
) -> None:
    """240 samples, 5% of the requests spoiled, the client killed twice: all there, none twice."""
    count, flying = 240, 2
    out = tmp_path / "a.parquet"
    proxy = Proxy(transformers_server, rate=0.05, seed=1)
    arguments = ["--task", "oracle", "--set", f"evaluation={count}", "--set", "train=60"]
    arguments += ["--model", str(tiny_folder), "--max-tokens", "12", "--timeout", "3"]
    arguments += ["--concurrency", str(flying), "--retries", "8"]
    with serving(proxy) as base:
        first = start(base, out, *arguments)
        until(lambda: kept(out) >= 80, first)
        first.kill()
        first.communicate()
        had = set(_keys(out))
        second = start(base, out, *arguments)
        until(lambda: kept(out) >= 150, second)
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=20)
        assert second.returncode == 130
        had |= set(_keys(out))
        third = start(base, out, *arguments, "--json", "-")
        said, told = third.communicate(timeout=60)
        assert third.returncode == 0, told
    numbers = json.loads(said)
    faults = sum(proxy.faults.values())
    print(f"{len(proxy.sent)} requests, {count} samples, {dict(proxy.faults)}")
    assert set(proxy.faults) == set(FAULTS)
    assert faults <= 40
    assert len(set(proxy.sent)) == count
    assert count + faults <= len(proxy.sent) <= 1.01 * (count + faults)
    assert sum(n - 1 for n in proxy.passed.values()) <= flying
    assert numbers["failed"] == 0
    assert numbers["from_journal"] == len(had)
    predictions = next(iter(readers.load([out]).values()))
    assert len(predictions) == count
    assert predictions.prompt_id is not None
    assert len(set(predictions.prompt_id.to_pylist())) == count
    assert len(_keys(out)) == len(set(_keys(out))) == count
    # This server ignores the wish for log-probabilities.
    settings = Settings(str(tiny_folder), method="options")
    connection = Connection(transformers_server)
    with pytest.raises(InvalidInputError, match="the server returned none although it was asked"):
        predict(questions(1, "event"), settings, connection, tmp_path / "b.parquet")


def _keys(out: Path) -> list[str]:
    lines = journal_path(out).read_text().splitlines()
    return [json.loads(line)["key"] for line in lines[1:]]


def test_the_name_is_public() -> None:
    assert Progress is RunningProgress
