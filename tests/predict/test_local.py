"""A model in this process replies as a server would."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from levelhead import readers
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.predict import Progress, Settings, of_task, predict
from levelhead.predict._calls import Call
from levelhead.predict.local import Local, LocalModel
from levelhead.tasks import Task

LOGPROB_TOLERANCE = 1e-5
HI = [{"role": "user", "content": "Will it rain?"}]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LocalModel:
    return LocalModel(Local("cpu"), str(tiny_folder))


def call(messages: Any = HI, **fields: Any) -> Call:
    body = {"model": "m", "messages": messages, "temperature": 1.0, "max_tokens": 8, "seed": 5}
    return Call("chat/completions", body | fields, "key")


def test_a_reply_depends_on_its_own_request_alone(model: LocalModel) -> None:
    others = [call([{"role": "user", "content": f"Other {i}?"}], seed=i) for i in range(5)]
    alone = model.ask([call()])
    among = model.ask([*others, call(), call(seed=6)])
    assert among[5] == alone[0]
    assert len({reply.choices[0].text for reply in model.ask([call(seed=s) for s in range(9)])}) > 1
    assert model.ask([call(n=3)])[0].choices[0] == alone[0].choices[0]
    assert len(model.ask([call(n=3)])[0].choices) == 3


def test_first_tokens_are_those_of_transformers(model: LocalModel, tiny_folder: Path) -> None:
    reply = model.ask([call(max_tokens=1, logprobs=True, top_logprobs=4)])[0]
    plain = AutoModelForCausalLM.from_pretrained(tiny_folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = tokenizer.apply_chat_template(HI, add_generation_prompt=True, return_tensors="pt")
    ids = ids if isinstance(ids, torch.Tensor) else ids["input_ids"]
    with torch.no_grad():
        expected = plain(ids).logits[0, -1].softmax(-1).sort(descending=True)
    top = reply.choices[0].top
    assert top is not None
    assert [token for token, _ in top] == [tokenizer.decode([i]) for i in expected.indices[:4]]
    for (_, logprob), p in zip(top, expected.values[:4].tolist(), strict=True):
        assert logprob == pytest.approx(math.log(p), abs=LOGPROB_TOLERANCE)
    assert reply.prompt_tokens == ids.shape[1]


def test_a_whole_run_and_again(oracle: Task, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    settings = Settings(str(tiny_folder), max_tokens=12)
    result = predict(of_task(oracle), settings, Local("cpu", batch=7), out)
    assert result.progress.requests == 30
    predictions = next(iter(readers.load([out]).values()))
    assert len(predictions) == 30
    assert predictions.kind == "event"
    assert predictions.status_counts().get("ok", 0) > 5
    before = out.read_bytes()
    again = predict(of_task(oracle), settings, Local("cpu", batch=30), out)
    assert (again.progress.requests, out.read_bytes()) == (0, before)
    (tmp_path / "a.jsonl.journal").unlink()
    anew = predict(of_task(oracle), settings, Local("cpu", batch=30), out)
    assert (anew.progress.requests, out.read_bytes()) == (30, before)


def test_interrupted_it_goes_on(oracle: Task, tiny_folder: Path, tmp_path: Path) -> None:
    settings = Settings(str(tiny_folder), max_tokens=12)

    def interrupt(progress: Progress) -> None:
        if progress.done == 10:
            raise KeyboardInterrupt

    out = tmp_path / "a.parquet"
    stopped = predict(of_task(oracle), settings, Local("cpu", batch=7), out, on_progress=interrupt)
    assert (stopped.predictions, stopped.replies, out.exists()) == (None, 14, False)
    rest = predict(of_task(oracle), settings, Local("cpu"), out)
    assert (rest.progress.requests, rest.progress.kept) == (16, 14)


def test_a_trained_model_is_another_model(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a")
    before = Local().fingerprint(str(tmp_path))
    assert Local("cpu", batch=3).fingerprint(str(tmp_path)) == before
    assert Local(dtype="bfloat16").fingerprint(str(tmp_path)) != before
    (tmp_path / "weights").write_text("ab")
    assert Local().fingerprint(str(tmp_path)) != before


def test_what_is_wrong_is_said(model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--model: expected a folder with a model, got 'gone'"):
        LocalModel(Local(), "gone")
    with pytest.raises(ConfigError, match="no config.json in it; name the folder that the model"):
        LocalModel(Local(), str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="--model: expected a folder or the hub id"):
        LocalModel(Local(), str(tmp_path))
    with pytest.raises(InvalidInputError, match="a local model knows .*, got min_p"):
        model.ask([call(min_p=0.1)])
    with pytest.raises(InvalidInputError, match="device: expected auto or cpu or cuda"):
        Local("gpu")
    with pytest.raises(InvalidInputError, match="batch: expected at least 1"):
        Local(batch=0)
