"""Loading models and rendering prompts: templates, stop tokens, adapters, and bad input in sentences."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from levelhead.errors import ConfigError, InvalidInputError
from levelhead.tasks import Prompt, Task, make_task
from levelhead.train import embedded
from levelhead.train.config import FromScratch, Lora, Model
from levelhead.train.model import load, pick_device, render, stop_tokens

PROMPT = Prompt("p1", ({"role": "user", "content": "Will it rain?"},), outcome=1.0)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task({"kind": "oracle", "train": 8, "evaluation": 2})


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_model)


def test_loaded_is_ready(tiny_model: Path, task: Task) -> None:
    found = load(Model(path=str(tiny_model), device="cpu"), task=task)
    assert found.name == tiny_model.name
    assert found.tokenizer.decode(found.stop_ids) == "<|im_end|>"
    assert found.tokenizer.decode([found.pad_id]) == "<|pad|>"
    assert not found.model.training
    assert {p.dtype for p in found.model.parameters()} == {torch.float32}
    assert found.model.config._attn_implementation == "sdpa"


def test_options_arrive(tiny_model: Path, task: Task) -> None:
    options = Model(
        path=str(tiny_model),
        device="cpu",
        dtype="bfloat16",
        attention="eager",
        gradient_checkpointing=True,
    )
    found = load(options, task=task)
    assert found.model.dtype == torch.bfloat16
    assert found.model.config._attn_implementation == "eager"
    assert found.model.is_gradient_checkpointing


def test_embedded_takes_the_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(embedded, "EXTRA_ROUNDS", 0)
    monkeypatch.setattr(embedded, "WELL_FORMED", 0.0)
    sizes = FromScratch(
        layers=1, hidden=16, heads=2, kv_heads=1, intermediate=24, vocabulary=400, warmup_steps=1
    )
    found = load(Model(from_scratch=sizes, device="cpu"), task=task)
    config = found.model.config
    got = (config.num_hidden_layers, config.hidden_size, config.intermediate_size)
    assert got == (1, 16, 24)
    assert len(found.tokenizer) <= 400
    assert found.name == "embedded"
    assert Path(found.folder).parent == tmp_path / "levelhead"


def test_adapters_alone_are_trained_and_are_seeded(tiny_model: Path, task: Task) -> None:
    options = Model(path=str(tiny_model), device="cpu", lora=Lora(rank=2, targets=("q_proj",)))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = load(options, task=task).model
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = load(options, task=task).model
    trained = [name for name, p in first.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 2  # A and B of each layer
    assert all("q_proj" in name and "lora" in name for name in trained)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


# Prompts


def test_render_by_hand(tokenizer: Any) -> None:
    ids = render(tokenizer, PROMPT, system="Be honest.")
    assert ids.dtype == np.int64
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nBe honest.<|im_end|>\n"
        "<|im_start|>user\nWill it rain?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_render_keeps_the_prompts_own_system_message(tokenizer: Any) -> None:
    own = Prompt("p", ({"role": "system", "content": "Own."}, *PROMPT.messages), outcome=1.0)
    text = tokenizer.decode(render(tokenizer, own, system="Other."))
    assert "Own." in text
    assert "Other." not in text


def test_render_adds_no_special_token_twice(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ '<|im_start|>' }}{{ messages[0]['content'] }}{{ extra }}"
    ids = render(tokenizer, PROMPT, template_options={"extra": "!"})
    assert tokenizer.decode(ids) == "<|im_start|>Will it rain?!"


def test_render_bad_input(tokenizer: Any) -> None:
    length = len(render(tokenizer, PROMPT))
    assert len(render(tokenizer, PROMPT, limit=length)) == length
    said = rf"^prompt 'p1': expected at most {length - 1} tokens, got {length}; raise rollout\.max_"
    with pytest.raises(InvalidInputError, match=said):
        render(tokenizer, PROMPT, limit=length - 1)
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    said = r"cannot render prompt 'p1' \(roles: system, user\): System role not supported; look at"
    with pytest.raises(ConfigError, match=said):
        render(tokenizer, PROMPT, system="Be honest.")
    tokenizer.chat_template = "{{ '' }}"
    with pytest.raises(InvalidInputError, match=r"^prompt 'p1': expected tokens, got none"):
        render(tokenizer, PROMPT)
    tokenizer.chat_template = None
    with pytest.raises(ConfigError, match=r"^model\.chat_template: the tokenizer has none"):
        render(tokenizer, PROMPT)


# Stop tokens


def test_stop_tokens_find_the_templates_own_mark(tokenizer: Any) -> None:
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|pad|>"])
    assert stop_tokens(None, tokenizer) == (end,)
    tokenizer.eos_token = "<|pad|>"  # a base model: its end of text is not the end of a turn
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    assert stop_tokens(None, tokenizer) == tuple(sorted((end, pad)))
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}, {% endfor %}"
    assert stop_tokens(None, tokenizer) == (pad,)
    tokenizer.chat_template = "<|im_end|>{{ messages[0]['content'] }}"  # one that drops the reply
    assert stop_tokens(None, tokenizer) == (pad,)
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match=r"^model\.path: expected a tokenizer with a token that"):
        stop_tokens(None, tokenizer)


def test_stop_tokens_of_the_generation_configuration(tokenizer: Any) -> None:
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[5, 3]))
    assert stop_tokens(model, tokenizer) == tuple(sorted((3, 5, tokenizer.eos_token_id)))


# Bad input


def test_no_such_model(tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path: .* got '\./nowhere': no such folder$"):
        load(Model(path="./nowhere"), task=task)
    with pytest.raises(
        ConfigError, match=r"^model\.path: expected a folder or the hub id of a caus"
    ):
        load(Model(path=str(tmp_path)), task=task)


def test_no_chat_template(tiny_model: Path, tmp_path: Path, task: Task) -> None:
    for file in tiny_model.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(
        ConfigError, match=r"^model\.chat_template: the tokenizer has none, .* name a"
    ):
        load(Model(path=str(tmp_path)), task=task)
    (tmp_path / "own.jinja").write_text("{{ messages[0]['content'] }}")
    own = load(Model(path=str(tmp_path), chat_template=str(tmp_path / "own.jinja")), task=task)
    assert own.tokenizer.decode(render(own.tokenizer, PROMPT)) == "Will it rain?"
    missing = str(tmp_path / "missing.jinja")
    with pytest.raises(ConfigError, match=r"a file with a chat template, got .*: No such file"):
        load(Model(path=str(tmp_path), chat_template=missing), task=task)


def test_targets_that_are_not_there(tiny_model: Path, task: Task) -> None:
    options = Model(path=str(tiny_model), lora=Lora(targets=("q_porj",)))
    with pytest.raises(ConfigError, match=r"^model\.lora\.targets: expected names .*'q_porj'"):
        load(options, task=task)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_such_device() -> None:
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(
        ConfigError, match=r"^model\.device: .* got 'cuda', which torch .* not find"
    ):
        pick_device("cuda")
