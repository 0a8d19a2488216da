"""From a recipe to its parts: what is in them, and what a recipe that does not fit is told."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from torch import nn
from transformers import AutoTokenizer

from levelhead.errors import ConfigError, LevelheadError
from levelhead.tasks import make_task
from levelhead.train.build import Run, build, device_of, make_rewarder, rendered
from levelhead.train.config import Recipe, load
from levelhead.train.dry_run import dry_run
from levelhead.train.experience import check_tags
from levelhead.train.policy import Policy

SMALL = (
    "task.kind=oracle",
    "task.train=12",
    "task.evaluation=4",
    "model.device=cpu",
    "rollout.prompts=2",
    "rollout.group_size=2",
    "rollout.max_new_tokens=6",
)
GAE = ("algorithm.estimator=gae", "algorithm.critic={kind: separate, lr: 0.5}")


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(tiny_model: Path, *overrides: str) -> Recipe:
    return load(None, [*SMALL, f"model.path={tiny_model}", *overrides])


def built(tiny_model: Path, *overrides: str) -> Run:
    return build(small(tiny_model, *overrides))


def test_what_is_built(tiny_model: Path) -> None:
    said: list[str] = []
    run = build(small(tiny_model, "evaluation.prompts=3"), say=said.append)
    assert said == ["reading the task", "loading the model", "tokenizing the prompts"]
    assert (len(run.parts.data.prompts), len(run.evaluation.prompts), run.dropped) == (12, 3, 0)
    text = run.loaded.tokenizer.decode(run.parts.data.tokens[0].tolist())
    assert run.task.train[0].messages[0]["content"] in text
    parts = run.parts
    assert parts.forward is parts.policy
    assert (parts.critic, parts.reference, parts.trie) == (None, None, None)
    assert parts.layout == "auto"
    assert parts.sampling.stop_ids == run.loaded.stop_ids
    assert parts.rewarder.name == "log"
    assert device_of(small(tiny_model)) == torch.device("cpu")


def test_a_separate_critic_learns_at_its_own_rate(tiny_model: Path) -> None:
    parts = built(tiny_model, *GAE, "algorithm.kl={coef: 0.1, place: reward, estimator: k1}").parts
    assert isinstance(parts.critic, Policy)
    own, values = parts.optimizer.param_groups
    assert (own["lr"], values["lr"]) == (1e-3, 0.5)
    groups = [{id(p) for p in group["params"]} for group in (own, values)]
    assert groups[0] == {id(p) for p in parts.policy.parameters()}
    head = parts.critic.value_head
    assert head is not None
    assert {id(p) for p in head.parameters()} < groups[1]
    assert not groups[0] & groups[1]
    assert parts.reference is not None


def test_a_value_head_has_the_critics_rate_and_adapters_alone_are_trained(tiny_model: Path) -> None:
    overrides = ("algorithm.critic={kind: head, lr: 0.5}", "model.lora={rank: 2}")
    parts = built(tiny_model, "algorithm.estimator=gae", *overrides).parts
    own, values = parts.optimizer.param_groups
    named = {id(p): name for name, p in parts.policy.named_parameters()}
    assert {named[id(p)] for p in values["params"]} == {"value_head.weight", "value_head.bias"}
    assert all("lora_" in named[id(p)] for p in own["params"])


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1 / 3, 2 / 3, *(0.5 * (1 + math.cos(math.pi * x / 4)) for x in range(4))]),
    ],
)
def test_schedules(schedule: str, factors: Sequence[float], tiny_model: Path) -> None:
    """Two updates of warm-up, then four that fall to 0."""
    overrides = ("steps=6", "optimizer.warmup_steps=2", "optimizer.lr=2.0")
    parts = built(tiny_model, f"optimizer.schedule={schedule}", *overrides).parts
    rates: list[float] = []
    for _ in range(6):
        rates.append(parts.optimizer.param_groups[0]["lr"])
        parts.optimizer.step()
        parts.schedule.step()
    assert rates == pytest.approx([2.0 * factor for factor in factors])


class Counter:
    """How often a module runs."""

    def __init__(self, module: nn.Module) -> None:
        self.calls = 0
        module.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, inputs: Any) -> None:
        self.calls += 1


@pytest.mark.parametrize("wanted", [False, True])
def test_gradient_checkpointing_runs_a_layer_again(wanted: bool, tiny_model: Path) -> None:
    run = built(tiny_model, f"model.gradient_checkpointing={'true' if wanted else 'false'}")
    experience = run.trainer.collect(0)
    tables, _ = run.trainer.prepare(experience)
    counter = Counter(run.loaded.model.model.layers[0].mlp)
    run.trainer.update(experience, tables, np.arange(2))
    assert counter.calls == (2 if wanted else 1)


def test_only_the_adapters_drop_out(tiny_model: Path) -> None:
    run = built(tiny_model, "model.lora={rank: 2, dropout: 0.5}")
    modes = {
        n: m.training for n, m in run.loaded.model.named_modules() if isinstance(m, nn.Dropout)
    }
    assert modes
    assert all(training == ("lora_dropout" in name) for name, training in modes.items())
    assert not built(tiny_model, "model.lora={rank: 2}").loaded.model.training


def test_attention_drops_nothing_while_adapters_do(tiny_model: Path, tmp_path: Path) -> None:
    """Twice the same tokens, the adapters' rate at 0 for the moment: twice the same logits."""
    folder = changed(tiny_model, tmp_path)
    config = folder / "config.json"
    text = config.read_text()
    assert text.count('"attention_dropout": 0.0') == 1
    config.write_text(text.replace('"attention_dropout": 0.0', '"attention_dropout": 0.5'))
    model: Any = built(folder, "model.lora={rank: 2, dropout: 0.3}").loaded.model
    assert model.training
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and "lora_dropout" in name:
            module.p = 0.0
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_tags_that_decoding_drops(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tiny_model, tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    questions = make_task(load(None, ["task.kind=arithmetic", "task.train=40"]).task)
    check_tags(tokenizer, questions)
    tokenizer.add_tokens(
        [AddedToken("</answer>", special=True), AddedToken("<confidence>", special=True)]
    )
    tokenizer.save_pretrained(folder)
    message = (
        r"tags of the task 'oracle' again, got '<answer>50' from '<answer>50</answer>', without </a"
    )
    with pytest.raises(ConfigError, match=message):
        built(folder)
    assert "without </answer>; tags must" in dry_run(small(folder)).problems[0]
    with pytest.raises(
        ConfigError, match="without </answer>, <confidence>; tags must not be special"
    ):
        check_tags(tokenizer, questions)


def test_prompts_that_are_too_long(tiny_model: Path) -> None:
    recipe = small(tiny_model)
    first, second = make_task(recipe.task).train[:2]
    longer = [
        {**message, "content": message["content"] + " now" * 9} for message in second.messages
    ]
    prompts = [first, dataclasses.replace(second, messages=tuple(longer))]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    every, dropped = rendered(recipe, prompts, tokenizer)
    length, more = map(len, every.tokens)
    assert more >= length + 9
    assert dropped == 0
    short = small(tiny_model, f"rollout.max_prompt_tokens={length}")
    message = (
        f"rollout.max_prompt_tokens: expected at most {length} tokens, got {more} in prompt "
        f"'{second.prompt_id}'; raise the limit, or set rollout.long_prompts=drop"
    )
    with pytest.raises(ConfigError, match=message):
        rendered(short, prompts, tokenizer)
    drop = ("rollout.long_prompts=drop", f"rollout.max_prompt_tokens={length}")
    kept, dropped = rendered(small(tiny_model, *drop), prompts, tokenizer)
    assert (kept.prompts, dropped) == ([first], 1)
    lengths = sorted(map(len, rendered(recipe, make_task(recipe.task).train, tokenizer)[0].tokens))
    too_few = ("rollout.long_prompts=drop", f"rollout.max_prompt_tokens={lengths[-2]}")
    if lengths[-2] < lengths[-1]:
        with pytest.raises(
            ConfigError, match="rollout.prompts: expected at most the 11 training pr"
        ):
            built(tiny_model, "rollout.prompts=12", *too_few)
    with pytest.raises(
        ConfigError, match="all 12 training prompts are longer than 2 tokens; raise"
    ):
        built(tiny_model, "rollout.max_prompt_tokens=2", "rollout.long_prompts=drop")


def changed(tiny_model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(tiny_model, folder / "model"))


def test_a_model_without_a_chat_template(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tiny_model, tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(
        ConfigError, match=r"model.chat_template: the tokenizer has none, .*; name a"
    ):
        built(folder)
    template = tmp_path / "own.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}{{ '<|im_end|>' }}")
    assert built(folder, f"model.chat_template={template}").parts.data.tokens


def test_an_answer_that_the_tokenizer_merges(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tiny_model, tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("4</answer>", special=True, normalized=False)])
    tokenizer.save_pretrained(folder)
    assert built(folder).parts.trie is None  # only the exact gradient needs to know
    with pytest.raises(LevelheadError, match="'4'.*'4</answer>'") as caught:
        built(folder, "algorithm.estimator=rb_exact")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("model.path=/no/such/model",),
            "model.path: expected a folder with a model, got '/no/such",
        ),
        (
            ("model.lora={targets: [nonsense]}",),
            "model.lora.targets: expected names of layers, got",
        ),
        (
            ("reward.rule=rlcr",),
            "reward.rule: expected a reward of a stated probability .* got rlcr",
        ),
        (("algorithm.estimator=no.such.module:f",), "no.such.module:f: "),
    ],
)
def test_what_does_not_fit_is_said(
    overrides: Sequence[str], message: str, tiny_model: Path
) -> None:
    with pytest.raises(LevelheadError, match=message) as caught:
        built(tiny_model, *overrides)
    assert "\n" not in str(caught.value)


def test_a_layout_that_a_model_cannot_have(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(tiny_model, tmp_path)
    config = folder / "config.json"
    text = config.read_text()
    assert text.count('"full_attention"') == 2
    text = text.replace('"full_attention"', '"sliding_attention"')
    text = text.replace('"sliding_window": null', '"sliding_window": 4')
    config.write_text(text.replace('"use_sliding_window": false', '"use_sliding_window": true'))
    assert built(folder).parts.layout == "padded"
    assert built(tiny_model, "compute.layout=padded").parts.layout == "padded"
    with pytest.raises(ConfigError, match="compute.layout: prefix does not give this model's own"):
        built(folder, "compute.layout=prefix")


def test_the_reward_is_the_recipes_or_the_tasks(tiny_model: Path) -> None:
    task = make_task(small(tiny_model).task)
    assert make_rewarder(small(tiny_model), task).name == task.default_reward
    brier = make_rewarder(small(tiny_model, "reward.rule=brier", "reward.floor=-2"), task)
    assert (brier.name, brier.floor) == ("brier", -2.0)
