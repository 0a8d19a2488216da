"""`levelhead predict` as a user runs it; what it runs is tested in tests/predict."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from levelhead.cli import COMMANDS, main
from levelhead.elicitation import TABLE
from levelhead.predict import Progress, Result

KEY = "sk-very-secret-0123456789"
FAKE = Path(__file__).resolve().parents[1] / "predict" / "fake.py"


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    spec = importlib.util.spec_from_file_location("predict_fake_of_cli", FAKE)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {FAKE}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address(fake: ModuleType) -> Iterator[tuple[Any, str]]:
    app = fake.Fake()
    with fake.serving(app) as base:
        yield app, base


@pytest.fixture
def server(
    address: tuple[Any, str], fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, str]:
    """The server as new, and its base URL."""
    app, base = address
    app.__init__()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(COMMANDS, "predict", ("levelhead.cli.predict:predict", "Ask a model."))
    return app, base


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked.jsonl"
    rows = [{"q": f"Capital {i}?", "a": "Rome" if i % 2 else "Oslo", "u": i % 2} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def invoke(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["levelhead", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return invoke


def test_from_prompts_to_an_audit(
    server: tuple[Any, str], asked: Path, tmp_path: Path, run: Any, monkeypatch: Any, capsys: Any
) -> None:
    app, base = server
    monkeypatch.setenv("MY_KEY", KEY)
    out = tmp_path / "a.parquet"
    arguments = [asked, "--prompt", "{q}", "--answer", "a", "--model", "m", "--base-url", base]
    arguments += ["--api-key-env", "MY_KEY", "-o", out, "--price-in", "100", "--price-out", "1000"]
    done = run(*arguments)
    assert done.code == 0, done.err
    # 6 replies of 10 and 5 tokens at 100 and 1000 a million: 0.006 + 0.03.
    assert done.out.splitlines() == [
        "6 samples, 6 requests",
        "tokens of this run: 60 in, 30 out, 0.036 spent",
        "confidence: 6 ok",
        f"look at it: levelhead audit {out}",
    ]
    assert done.err == ""
    assert app.headers[0]["authorization"] == f"Bearer {KEY}"
    again = run(*arguments, "--json", "-")
    numbers = json.loads(again.out)
    assert (numbers["requests"], numbers["from_journal"], numbers["cost"]) == (0, 6, 0.0)
    assert len(app.bodies) == 6
    monkeypatch.setattr(sys, "argv", ["levelhead", "audit", str(out), "--json", "-"])
    with pytest.raises(SystemExit) as ended:
        main()
    audited = json.loads(capsys.readouterr().out)
    assert not ended.value.code
    # Half of the answers are right, all are stated at 0.8.
    values = {one["name"]: one["value"] for one in audited["models"][0]["metrics"]}
    assert values["accuracy"] == pytest.approx(0.5)
    assert values["mean_confidence"] == pytest.approx(0.8)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in written


def test_options_over_a_task(
    server: tuple[Any, str], fake: ModuleType, tmp_path: Path, run: Any
) -> None:
    app, base = server
    app.script = lambda n, body: fake.tokens("B", {"B": -0.1, "A": -3.0})
    data = tmp_path / "mc.jsonl"
    rows = [{"question": f"Q{i}?", "choices": ["x", "y"], "answer": "x"} for i in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "mc.yaml"
    recipe.write_text(f"task:\n  kind: multiple_choice\n  path: {data}\n  options: choices\n")
    done = run(
        *("--task", recipe, "--set", "evaluation=2", "--method", "options", "--model", "m"),
        *("--base-url", base, "-o", tmp_path / "mc.jsonl.out.jsonl", "--split", "train"),
    )
    assert done.code == 0, done.err
    said = app.bodies[0]["messages"][0]["content"]
    assert said.endswith("Answer with the letter of the right option and nothing else.")
    assert "<confidence>" not in said
    assert {"A) x", "B) y"} <= set(said.splitlines()) or {"A) y", "B) x"} <= set(said.splitlines())


def test_a_first_request_is_shown_and_not_sent(
    server: tuple[Any, str], asked: Path, tmp_path: Path, run: Any
) -> None:
    app, base = server
    done = run(
        *(asked, "--prompt", "{q}", "--model", "m", "--base-url", base, "--dry-run"),
        *("-o", tmp_path / "a.parquet", "--body", "top_k=5", "--body", "seed=null"),
    )
    assert done.code == 0, done.err
    body = json.loads(done.out.rpartition("}")[0] + "}")
    assert (body["top_k"], "seed" in body) == (5, False)
    assert "6 prompts, 6 samples; the first request to chat/completions" in done.out
    assert app.bodies == []
    assert not (tmp_path / "a.parquet.journal").exists()


def test_what_failed_is_said(
    server: tuple[Any, str], fake: ModuleType, asked: Path, tmp_path: Path, run: Any
) -> None:
    app, base = server

    def script(n: int, body: dict[str, Any]) -> Any:
        if "Capital 2" in body["messages"][0]["content"]:
            return 500, {}, b"oops"
        return fake.chat("<answer>", finish="length", usage=None)

    app.script = script
    done = run(
        *(asked, "--prompt", "{q}", "--answer", "a", "--model", "m", "--base-url", base),
        *("-o", tmp_path / "a.parquet", "--retries", "0", "--concurrency", "1"),
    )
    assert done.code == 1
    assert "the server did not count the tokens of 5 replies" in done.out
    assert "confidence: 6 missing" in done.out
    assert done.err.splitlines() == [
        "5 replies were cut off: raise --max-tokens, or ask for less reasoning",
        "1 failed: the server replied 500: oops",
        "run the same command again to ask for those that failed",
    ]


def test_replies_that_cannot_be_read_are_shown(
    server: tuple[Any, str], fake: ModuleType, asked: Path, tmp_path: Path, run: Any
) -> None:
    app, base = server
    app.script = lambda n, body: fake.chat("I am\nsure. " + "x" * 200)
    out = tmp_path / "a.parquet"
    arguments = [asked, "--prompt", "{q}", "--answer", "a", "--model", "m", "--base-url", base]
    done = run(*arguments, "-o", out)
    assert done.code == 0
    # 80 characters: 11 and 69 of those that follow.
    assert done.err == (
        f"6 of 6 replies could not be read, such as 'I am sure. {'x' * 69}...'; expected "
        f"{TABLE['answer_confidence_tags'].description}\n"
    )
    assert json.loads(run(*arguments, "-o", out, "--json", "-").out)["warnings"][0][:6] == "6 of 6"
    out = tmp_path / "b.parquet"
    app.script = lambda n, body: fake.tokens("Hm", {"Hm": -0.1, "Well": -3.0})
    arguments = [asked, "--prompt", "{q}", "--outcome", "u", "--model", "m", "--base-url", base]
    done = run(*arguments, "-o", out, "--method", "options")
    assert "cut off" not in done.err
    assert done.err.startswith(
        "6 of 6 replies could not be read, such as 'Hm'; expected one of the options as the first"
    )


def test_after_an_interruption_another_one_changes_nothing(
    asked: Path, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Result(None, Progress(6, done=2, stopping=True), tmp_path / "a.jsonl.journal", 2)
    monkeypatch.setattr("levelhead.predict.running.predict", lambda *a, **k: stopped)
    before = signal.getsignal(signal.SIGINT)
    try:
        done = run(asked, "--prompt", "{q}", "--model", "m", "-o", tmp_path / "a.jsonl")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.code == 130
    assert done.err.startswith("interrupted, 2 of 6 samples done and 2 replies kept; run the same")


def test_fewer_samples_than_there_were_are_noted(
    server: tuple[Any, str], asked: Path, tmp_path: Path, run: Any
) -> None:
    _, base = server
    for name in ("a.parquet", "a.jsonl"):
        out = tmp_path / name
        arguments = [asked, "--prompt", "{q}", "--answer", "a", "--model", "m", "--base-url", base]
        assert run(*arguments, "-o", out).err == ""
        assert run(*arguments, "-o", out).err == ""
        assert run(*arguments, "-o", out, "--limit", "2").err == (
            f"{out} had 6 samples and has 2 now; the other replies are in the journal: run without "
            "--limit to have them back\n"
        )
        assert run(*arguments, "-o", out).err == ""


def test_the_format_of_a_task_goes_where_another_is_asked_for(
    server: tuple[Any, str], tmp_path: Path, run: Any
) -> None:
    _, base = server
    shared = ["--model", "m", "--base-url", base, "-o", tmp_path / "a.parquet", "--dry-run"]
    done = run("--task", "oracle", "--method", "options", *shared)
    body = json.loads(done.out.rpartition("}")[0] + "}")
    said = body["messages"][0]["content"]
    assert said.endswith("How likely is rain tomorrow?\n\nAnswer with Yes or No and nothing else.")
    assert "percentage" not in said
    done = run("--task", "arithmetic", "--method", "p-true", *shared)
    said = json.loads(done.out.rpartition("}")[0] + "}")["messages"][0]["content"]
    assert said.count("<answer>") == 1
    assert "<confidence>" not in said


def test_one_sentence_for_each_mistake(
    server: tuple[Any, str],
    fake: ModuleType,
    asked: Path,
    tmp_path: Path,
    run: Any,
    monkeypatch: Any,
) -> None:
    app, base = server
    monkeypatch.delenv("NO_KEY", raising=False)
    out = tmp_path / "a.parquet"
    good = [asked, "--prompt", "{q}", "--model", "m", "--base-url", base, "-o", out]
    no = tmp_path / "no"
    (tmp_path / "torn.jsonl").write_text('{"q": "a"\n')
    cases: list[tuple[list[Any], str]] = [
        ([*good[:6], "http://127.0.0.1:9/v1", "-o", out], "the server cannot be reached"),
        ([no / "x.jsonl", *good[1:]], "no/x.jsonl: "),
        ([tmp_path / "torn.jsonl", *good[1:]], "torn.jsonl:2: expected JSON"),
        ([asked, "--prompt", "{quest}", *good[3:]], "slot {quest}: expected one of q, a, u"),
        ([asked, *good[3:]], "expected either a template (--prompt"),
        ([*good[:-1], no / "a.parquet"], "no such folder"),
        ([*good[:-1], tmp_path / "a.txt"], "out: expected .parquet or"),
        ([*good[:-1], asked], "this one is an input"),
        ([*good, "--api-key-env", "NO_KEY"], "variable with a key, 'NO_KEY' is not set"),
        ([*good, "--api-key-env", KEY], "expected the name of a variable, not a key"),
        ([*good, "--body", "top_k"], "--body: expected KEY=JSON, such as top_k=20"),
        ([*good, "--task", "survey"], "give either a FILE of prompts or --task"),
        (["--task", "surve", *good[3:]], "did you mean 'survey'"),
        (["--task", "oracle", *good[1:]], "--prompt belongs to a FILE"),
        ([*good, "--local"], "give --base-url or --local, not both"),
        ([*good, "--method", "consistency", "--samples", "1"], "samples: expected at least 2"),
        ([asked, "--prompt", "{q}", "--model", no, "-o", out], "--model: expected a folder"),
        ([*good, "--answer", "b"], "asked.jsonl: --answer: expected one of q, a, u, got 'b'"),
        ([*good, "--keep", "b"], "asked.jsonl: --keep: expected one of q, a, u, got 'b'"),
        ([*good, "--body", "temperature=0.3"], "(--temperature; null takes the field out)"),
        ([*good, "--method", "options", "--options", "(A),A"], "expected different words"),
    ]
    for arguments, text in cases:
        done = run(*arguments)
        assert (done.code, text in done.err) == (2, True), (arguments, done.err)
        assert "Traceback" not in done.err
        assert KEY not in done.err
        assert not out.exists()
    assert app.bodies == []
    app.script = lambda n, body: (404, {}, {"error": {"message": f"no model {body['model']}"}})
    done = run(*good)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert done.err.startswith(f"levelhead: {base}: the server has no model 'm'")
    assert "it has good-model; correct --model" in done.err
    monkeypatch.setenv("MY_KEY", KEY)
    app.script = lambda n, body: (401, {}, {"error": {"message": f"bad key {KEY}"}})
    done = run(*good, "--api-key-env", "MY_KEY")
    assert done.code == 2
    assert "refused the API key, one was given (401: bad key ***)" in done.err
    app.script = lambda n, body: fake.chat(fake.SAYING)
    assert run(*good).code == 0
    done = run(*good, "--temperature", "0.1")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "made with other settings: temperature was 1.0 and is now 0.1" in done.err


def test_help_fits_and_ends_with_an_example(server: tuple[Any, str], run: Any) -> None:
    done = run("--help")
    assert done.code == 0
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "levelhead audit qwen.parquet --report report.html" in done.out
    assert lines[-2].strip().startswith("Exit status: 0 every sample was answered, 1 some failed")
    assert lines[-1].strip().endswith("130 interrupted.")
