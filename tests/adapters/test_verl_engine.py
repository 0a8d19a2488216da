"""A recipe as verl's settings: rendered without verl, composed and checked by verl's own files.

The published launch settings are written here from the paper, not from what is rendered.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from levelhead.adapters import verl_engine
from levelhead.adapters._verl_overrides import Override, hydra_text, is_key
from levelhead.adapters.verl_data import VerlData
from levelhead.adapters.verl_engine import Plan, compose, misspelled, plan, validate
from levelhead.errors import ConfigError, MissingDependencyError
from levelhead.train.config import load

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(
    not INSTALLED, reason="verl is not installed here; `make test-peers` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # what verl's dependencies warn about is theirs

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"

PUBLISHED: dict[str, Any] = {
    "actor_rollout_ref.model.path": "Qwen/Qwen3-4B",
    "trainer.n_gpus_per_node": 8,
    "trainer.nnodes": 1,
    "trainer.total_epochs": 16,
    "trainer.total_training_steps": 180,
    "data.train_batch_size": 512,
    "data.max_response_length": 2048,
    f"{ROLLOUT}.n": 4,
    f"{ROLLOUT}.temperature": 1.0,
    f"{ACTOR}.ppo_mini_batch_size": 64,  # 8 updates for 512 prompts
    f"{ACTOR}.ppo_epochs": 1,
    f"{ACTOR}.optim.lr": 1e-6,
    f"{ACTOR}.clip_ratio_low": 0.2,
    f"{ACTOR}.clip_ratio_high": 0.2,
    f"{ACTOR}.clip_ratio": 0.2,
    f"{ACTOR}.use_kl_loss": True,
    f"{ACTOR}.kl_loss_coef": 0.001,
    f"{ACTOR}.kl_loss_type": "low_var_kl",
    f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm",
    f"{ACTOR}.loss_scale_factor": 2048,
    f"{ACTOR}.entropy_coeff": 0.0,
    "algorithm.use_kl_in_reward": False,
    "algorithm.gamma": 1.0,
    "algorithm.lam": 1.0,
    "reward.custom_reward_function.reward_kwargs": {
        "rule": "log",
        "kind": "event",
        "elicitation": "percent_tag_paper",
        "eta": 0.01,
    },
}
"""Launch settings that the four runs of arXiv:2508.11800 share. The training file has 6,386 prompts."""

VERLS_OWN = (f"{ACTOR}.clip_ratio", "algorithm.gamma", "algorithm.lam")
"""verl's defaults, which only the composed configuration has."""

ROWS = 6386

DIFFERENT: dict[str, dict[str, Any]] = {
    "grpo": {"algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": True},
    "grpo_no_std": {"algorithm.adv_estimator": "grpo", "algorithm.norm_adv_by_std_in_grpo": False},
    "rloo": {"algorithm.adv_estimator": "rloo"},
    "ppo": {
        "algorithm.adv_estimator": "gae",
        "critic.optim.lr": 1e-5,
        "critic.model.path": "Qwen/Qwen3-4B",
    },
}
"""And what they differ by."""

DATA = VerlData(
    *(Path("/data/train.pq"), Path("/data/test.pq")),
    *(ROWS, "event", "percent_tag_paper", "", "log"),
)
OUT = Path("/runs/a")


def rendered(name: str = "crispr-qwen3-4b-rloo", *changes: str, **options: Any) -> Plan:
    return plan(load(name, changes), DATA, OUT, **options)


def value(planned: Plan, key: str) -> Any:
    found = [one.value for one in planned.overrides if one.key == key]
    assert len(found) <= 1, key
    return found[0] if found else None


# ---- without verl


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_papers_runs_are_rendered(name: str) -> None:
    planned = rendered(f"crispr-qwen3-4b-{name}")
    keys = [one.key for one in planned.overrides]
    assert len(set(keys)) == len(keys)
    for key, wanted in {**PUBLISHED, **DIFFERENT[name]}.items():
        if key in keys or key not in VERLS_OWN:
            assert value(planned, key) == wanted, key
    assert (value(planned, "critic.optim.lr") is None) == (name != "ppo")


def test_the_command_is_one_that_a_shell_gives_verl() -> None:
    planned = rendered("crispr-qwen3-4b-grpo", extra=["trainer.nnodes=2"])
    assert planned.command[:3] == (sys.executable, "-m", "verl.trainer.main_ppo")
    assert planned.command[-1] == "trainer.nnodes=2"
    assert tuple(shlex.split(planned.script().replace("\\\n", ""))) == planned.command
    assert value(planned, "trainer.nnodes") is None


CHANGES = {
    "name": "b",
    "seed": "3",
    "steps": "90",
    "model.path": "other",
    "model.dtype": "bfloat16",
    "model.device": "cpu",
    "model.chat_template": "a.jinja",
    "model.template_options": "{enable_thinking: false}",
    "model.attention": "eager",
    "model.gradient_checkpointing": "false",
    "model.lora": "{rank: 4}",
    "model.lora.alpha": "3.5",
    "model.lora.dropout": "0.1",
    "model.lora.targets": "[q_proj]",
    "rollout.prompts": "256",
    "rollout.group_size": "8",
    "rollout.max_prompt_tokens": "99",
    "rollout.max_new_tokens": "99",
    "rollout.temperature": "0.5",
    "rollout.top_p": "0.9",
    "rollout.top_k": "5",
    "rollout.backend": "vllm",
    "rollout.long_prompts": "drop",
    "algorithm.estimator": "batch_std",
    "algorithm.estimator_options": None,
    "algorithm.clip_low": "0.1",
    "algorithm.clip_high": "0.3",
    "algorithm.updates_per_rollout": "4",
    "algorithm.epochs": "2",
    "algorithm.aggregation": "token-mean",
    "algorithm.constant": "100.0",
    "algorithm.kl.coef": "0.0",
    "algorithm.kl.estimator": "k2",
    "algorithm.kl.place": "reward",
    "algorithm.kl.reference": None,
    "algorithm.entropy_coef": "0.1",
    "algorithm.critic.kind": "head",
    "algorithm.critic.lr": "1e-4",
    "algorithm.critic.gamma": "0.9",
    "algorithm.critic.lam": "0.9",
    "algorithm.critic.coef": "2.0",
    "algorithm.critic.clip": "0.5",
    "reward.rule": "brier",
    "reward.weight": None,
    "reward.eta": "0.02",
    "reward.floor": "-9.0",
    "optimizer.lr": "1e-3",
    "optimizer.weight_decay": "0.5",
    "optimizer.betas": "[0.8, 0.9]",
    "optimizer.eps": "1e-6",
    "optimizer.max_grad_norm": "null",
    "optimizer.schedule": "cosine",
    "optimizer.warmup_steps": "16",
    "evaluation.every": "7",
    "evaluation.prompts": "70",
    "evaluation.samples": "3",
    "evaluation.temperature": "0.0",
    "evaluation.at_start": "false",
    "checkpoint.every": "9",
    "checkpoint.keep": "5",
    "guard.action": "stop",
    "compute.micro_tokens": "9999",
    "compute.sharding": "ddp",
    "compute.layout": "padded",
    "trackers": "[wandb]",
}
"""A value for every key of a recipe that differs from the run of the paper; None: see below."""

ELSEWHERE = {
    "task": "the data module",
    "model.system": "the data module writes it before each prompt",
    "model.from_scratch": "belongs to the embedded model, which is refused",
    "model.lora.rank": "model.lora",
    "rollout.max_rows": "set in the built-in recipe, see the test of notes",
    "guard.level": "of the guard, which verl does not have and a note names",
    "guard.baseline": "likewise",
}


def leaves(section: Any, prefix: str = "") -> set[str]:
    """Dotted keys of a recipe; those of optional sections as well."""
    found: set[str] = set()
    for name in type(section).model_fields:
        inner = getattr(section, name)
        key = f"{prefix}{name}"
        found |= leaves(inner, f"{key}.") if hasattr(inner, "model_fields") else {key}
    return found


def test_every_key_of_a_recipe_is_in_the_table() -> None:
    recipe = load("crispr-qwen3-4b-ppo", ["model.lora={rank: 2}"])
    keys = {key for key in leaves(recipe) if not key.startswith("task.")}
    assert keys - set(CHANGES) - set(ELSEWHERE) == set()


@pytest.mark.parametrize("key", [key for key, text in CHANGES.items() if text is not None])
def test_no_key_is_dropped_silently(key: str) -> None:
    """Another value changes a setting or a note, or is refused."""
    base = ["model.lora={rank: 2}"] if key.startswith("model.lora.") else []
    name = "crispr-qwen3-4b-ppo" if "critic" in key else "crispr-qwen3-4b-rloo"
    before, after = outcome(name, *base), outcome(name, *base, f"{key}={CHANGES[key]}")
    assert before != after
    if isinstance(after, str):
        assert after.startswith(f"{key}: ")


def outcome(name: str, *changes: str) -> Any:
    """The settings and notes, or the error."""
    try:
        planned = rendered(name, *changes)
    except ConfigError as error:
        return str(error)
    return planned.overrides, planned.notes


def test_the_keys_that_need_company() -> None:
    options = ["algorithm.estimator=grpo", "algorithm.estimator_options={eps: 1e-4}"]
    planned = rendered("crispr-qwen3-4b-rloo", *options)
    assert value(planned, "algorithm.adv_estimator") == "levelhead_grpo"
    assert value(planned, "algorithm.levelhead") == {"eps": 1e-4}
    lora = ["model.lora={rank: 2}", "algorithm.kl.reference=adapter_off"]
    assert "algorithm.kl.reference" in dict(rendered("crispr-qwen3-4b-rloo", *lora).notes)
    answers = dataclasses.replace(
        DATA, kind="answer", verifier="math", elicitation="x", reward="rlcr"
    )
    recipe = load("crispr-qwen3-4b-rloo", ["reward={weight: 0.5}"])
    wanted = {
        "rule": "rlcr",
        "kind": "answer",
        "elicitation": "x",
        "verifier": "math",
        "weight": 0.5,
    }
    key = "reward.custom_reward_function.reward_kwargs"
    assert value(plan(recipe, answers, OUT), key) == wanted


@pytest.mark.parametrize(
    ("changes", "key", "wanted"),
    [
        (["rollout.top_k=0"], f"{ROLLOUT}.top_k", -1),
        (["evaluation.temperature=0.0"], f"{ROLLOUT}.val_kwargs.do_sample", False),
        (["evaluation.every=0"], "trainer.test_freq", 180),  # at the end, where there always is one
        (["checkpoint.every=0"], "trainer.save_freq", 180),
        (["steps=24"], "trainer.total_epochs", 3),  # 12 steps a pass: two are full, one may begin
        (["steps=23"], "trainer.total_epochs", 2),
        # How many prompts verl drops is not known before: a pass has one step at least.
        (["rollout.long_prompts=drop"], "trainer.total_epochs", 180),
        (["rollout.long_prompts=drop"], "data.filter_overlong_prompts", True),
        (["rollout.long_prompts=error"], "data.filter_overlong_prompts", False),
        (
            ["rollout.temperature=0.5", "evaluation.temperature=0.25"],
            f"{ROLLOUT}.val_kwargs.temperature",
            0.25,
        ),
        (["rollout.temperature=0.5", "evaluation.temperature=0.25"], f"{ROLLOUT}.temperature", 0.5),
        (["optimizer.warmup_steps=16"], f"{ACTOR}.optim.lr_warmup_steps", 2),  # 8 updates a step
        (["algorithm.kl.coef=0.0"], f"{ACTOR}.use_kl_loss", False),
        (["algorithm.kl.place=reward"], "algorithm.use_kl_in_reward", True),
        (["algorithm.kl.place=reward"], "algorithm.kl_penalty", "low_var_kl"),
        (["algorithm.constant=100.0"], f"{ACTOR}.loss_scale_factor", 100),
        (["compute.micro_tokens=100"], f"{ACTOR}.ppo_max_token_len_per_gpu", 3072),
        (["compute.micro_tokens=20000"], f"{ACTOR}.ppo_max_token_len_per_gpu", 20000),
        (["algorithm.estimator=pl_softmax"], "algorithm.adv_estimator", "levelhead_pl_softmax"),
        (["model.lora={rank: 2}"], "actor_rollout_ref.model.target_modules", "all-linear"),
    ],
)  # fmt: skip
def test_settings_by_hand(changes: list[str], key: str, wanted: Any) -> None:
    assert value(rendered("crispr-qwen3-4b-rloo", *changes), key) == wanted


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("model.path=embedded", "model.path: expected a folder or an id of the Hugging Face hub"),
        ("model.dtype=float32", "model.dtype: expected mixed or bfloat16, got float32"),
        (
            "model.template_options={tools: [{a b: 1}]}",
            "model.template_options: expected names of letters, digits and underscores, got 'a b'",
        ),
        ("model.template_options={'null': 1}", "model.template_options: .*, got 'null'"),
        ("model.template_options={a.b: 1}", "model.template_options: .*, got 'a.b'"),
        (
            "algorithm.estimator=rb_exact",
            "algorithm.estimator: expected an advantage estimator, got rb",
        ),
        ("algorithm.estimator=ema_std", "expected an estimator without a memory, got ema_std"),
        ("algorithm.estimator=my:f", "register the function with verl"),
        ("reward.rule=my:f", "reward.rule: expected the name of a reward, got 'my:f'"),
        ("optimizer.schedule=linear", "expected constant or cosine, got linear"),
        ("optimizer.warmup_steps=3", "expected a multiple of the 8 updates of a step, got 3"),
        ("guard.action=stop", "guard.action: expected warn or off, got stop"),
    ],
)
def test_what_verl_cannot_do_is_refused(change: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        rendered("crispr-qwen3-4b-rloo", change)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        rendered("crispr-qwen3-4b-rloo", "model.device=cpu", "guard.action=stop")
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "model.device",
        "guard.action",
    ]
    with pytest.raises(ConfigError) as raised:
        rendered(
            "crispr-qwen3-4b-rloo", "model.device=cpu", extra=["nodes", "trainer.nnodes=2", "=a"]
        )
    lines = str(raised.value).splitlines()
    assert [line.rpartition("got ")[2] for line in lines[1:]] == ["'nodes'", "'=a'"]


def test_what_verl_does_in_its_own_way_is_noted() -> None:
    told = dict(rendered("crispr-qwen3-4b-ppo").notes)
    assert set(told) == {
        "rollout.backend",
        "rollout.max_rows",
        "algorithm.estimator",
        "guard",
        "algorithm",
    }
    assert told["algorithm.estimator"] == "verl whitens the advantages of gae over the batch"
    elsewhere = dataclasses.replace(DATA, rows=None)
    planned = plan(load("crispr-qwen3-4b-rloo"), elsewhere, OUT)
    assert "/data/train.pq is not on this machine" in dict(planned.notes)["task.path"]
    assert value(planned, "trainer.total_epochs") == 180  # every pass has at least one step


def test_a_setting_of_the_user_wins_and_is_noted() -> None:
    planned = rendered("crispr-qwen3-4b-rloo", extra=[f"{ACTOR}.optim.lr=2e-6"])
    assert (
        dict(planned.notes)["optimizer.lr"]
        == f"--engine-set {ACTOR}.optim.lr decides, not the recipe"
    )
    with pytest.raises(ConfigError, match="--engine-set: expected KEY=VALUE, .* got 'nodes'"):
        rendered("crispr-qwen3-4b-rloo", extra=["nodes"])


@pytest.mark.parametrize(
    ("extra", "passes"),
    [
        (["data.train_batch_size=1024"], 180),  # half as many steps a pass
        (["data.train_max_samples=600"], 180),
        (["data.filter_overlong_prompts=true"], 180),
        (["trainer.total_training_steps=700"], 700),
        (["+trainer.total_training_steps=700", "data.train_batch_size=64"], 700),
        (["trainer.nnodes=2"], 16),
        (["trainer.total_training_steps=null"], 16),
        (["trainer.total_epochs=3", "data.train_batch_size=64"], None),
    ],
)
def test_there_are_enough_passes(extra: list[str], passes: int | None) -> None:
    """Where the user decides what a pass or a run is, verl must still reach the last step."""
    assert value(rendered(extra=extra), "trainer.total_epochs") == passes


KWARGS = "reward.custom_reward_function.reward_kwargs"


@pytest.mark.parametrize("text", [f"{KWARGS}.eta=0.05", f"+{KWARGS}.eta=0.05"])
def test_a_setting_below_one_of_ours_wins_as_well(text: str) -> None:
    planned = rendered(extra=[text, "algorithm.gamma=0.9"])
    keys = [one.key for one in planned.overrides]
    assert KWARGS not in keys
    assert f"{KWARGS}.eta" not in keys
    assert f"+{KWARGS}.rule=log" in planned.arguments
    assert planned.extra == (f"+{KWARGS}.eta=0.05", "algorithm.gamma=0.9")
    assert f"--engine-set {KWARGS}.eta decides, not the recipe" in dict(planned.notes).values()


def test_resuming_and_the_cluster() -> None:
    planned = rendered("crispr-qwen3-4b-rloo", resume=True, nodes=2, gpus=4)
    assert value(planned, "trainer.resume_mode") == "auto"
    assert (value(planned, "trainer.nnodes"), value(planned, "trainer.n_gpus_per_node")) == (2, 4)
    assert value(rendered(), "trainer.resume_mode") == "disable"


TEXTS = [
    *(
        "a/b.pq",
        "it's",
        "a,b",
        "{x}",
        "null",
        "1e-3",
        "",
        "a\\'b",
        "ends \\",
        "ü $HOME",
        "yes",
        "~",
        "~/a",
    ),
    *(".5", "./a", 'say "it\'s"', '"', "${x}", r"a\${x} \\${y} \z", "p://a.b", "1:30"),
]


def test_values_are_quoted_for_hydra_alone() -> None:
    assert hydra_text(True) == "true"
    assert hydra_text(None) == "null"
    assert hydra_text(["console", 1, 0.5]) == "[console,1,0.5]"
    assert hydra_text("it's") == '"it\'s"'
    assert hydra_text('a "b"') == "'a \"b\"'"
    assert hydra_text("pkg://a.b_c") == "pkg://a.b_c"
    assert hydra_text("~/models") == '"~/models"'
    assert hydra_text(".5") == '".5"'
    assert hydra_text("./a") == "./a"
    assert hydra_text("${x}") == r'"\${x}"'
    assert shlex.quote(f"a={hydra_text('b c')}") == """'a="b c"'"""
    assert [is_key(key) for key in ("a_1", "on", "a b", "1a", "", "Null", "inf", "é", 3)] == [
        *(True, True, *[False] * 7),
    ]
    assert str(Override("a.b", {"c": 1}, new=True)) == "+a.b={c:1}"


def test_a_model_below_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models" / "a").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    planned = rendered("crispr-qwen3-4b-rloo", "model.path=~/models/a")
    assert value(planned, "actor_rollout_ref.model.path") == str(tmp_path / "models" / "a")


@pytest.mark.skipif(INSTALLED, reason="verl is installed here")
def test_without_verl_composing_says_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'levelhead\[verl\]'"):
        compose(rendered())
    assert misspelled(["trainer.nodes=2"]) == ()


def test_the_process_is_run_and_its_status_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verl_engine, "MODULE", "this_module_does_not_exist")
    assert verl_engine.launch(rendered()) == 1


# ---- with verl


@needs_verl
@pytest.mark.parametrize("name", DIFFERENT)
def test_the_composed_configuration_is_the_published_one(name: str) -> None:
    omega = importlib.import_module("omegaconf").OmegaConf
    composed = compose(rendered(f"crispr-qwen3-4b-{name}"))
    for key, wanted in {**PUBLISHED, **DIFFERENT[name]}.items():
        found = omega.select(composed, key)
        found = omega.to_container(found) if omega.is_config(found) else found
        assert found == wanted, key
    # What follows from them by verl's own interpolations:
    assert omega.select(composed, f"{ROLLOUT}.response_length") == 2048
    assert omega.select(composed, "critic.ppo_mini_batch_size") == 64
    names = {"rloo": "rloo", "ppo": "gae"}
    wanted = names.get(name, "grpo")
    assert wanted in validate(composed)


@needs_verl
def test_texts_survive_hydra() -> None:
    omega = importlib.import_module("omegaconf").OmegaConf
    odd = Override("data.odd", {"texts": TEXTS, "name": TEXTS[1]}, new=True)
    planned = rendered("crispr-qwen3-4b-rloo", f"name={json.dumps(TEXTS[7])}")
    composed = compose(dataclasses.replace(planned, overrides=(*planned.overrides, odd)))
    assert list(omega.select(composed, "data.odd.texts")) == TEXTS
    assert omega.select(composed, "trainer.experiment_name") == TEXTS[7]


@needs_verl
@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (
            "trainer.nodes=2",
            "trainer.nodes: expected a key of verl's .*; did you mean trainer.nnodes",
        ),
        ("trainer.nnodes=two", "trainer.nnodes: expected a number, as verl's 1 is, got 'two'"),
        (
            "trainer.balance_batch=1",
            "trainer.balance_batch: expected true or false, as verl's True is",
        ),
        (
            "data.seed=[1",
            r"--engine-set data.seed=\[1: expected a setting that verl's configuration takes",
        ),
        (
            "+trainer.nnodes=3",
            r"--engine-set \+trainer.nnodes=3: expected a setting that .* already at",
        ),
    ],
)
def test_a_wrong_setting_of_the_user_is_told(extra: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        compose(rendered(extra=[extra]))


@needs_verl
def test_every_misspelled_key_is_told() -> None:
    extra = ["trainer.nodes=2", "trainer.nnodes=2", "+mine=1", "wrong", "data.sed=1"]
    assert [line.partition(":")[0] for line in misspelled(extra)] == ["trainer.nodes", "data.sed"]
    with pytest.raises(ConfigError) as raised:
        compose(rendered(extra=["trainer.nodes=2", "data.sed=1"]))
    assert str(raised.value).splitlines() == list(misspelled(extra))


@needs_verl
def test_a_setting_below_one_of_ours_is_composed() -> None:
    omega = importlib.import_module("omegaconf").OmegaConf
    composed = compose(rendered(extra=[f"{KWARGS}.eta=0.05", f"{KWARGS}.floor=-9"]))
    wanted = {**PUBLISHED[KWARGS], "eta": 0.05, "floor": -9}
    assert omega.to_container(omega.select(composed, KWARGS)) == wanted


@pytest.fixture(scope="module")
def verls() -> Any:
    """The composed configuration of the RLOO run, for tests that change one key of a copy."""
    return compose(rendered())


@needs_verl
@pytest.mark.parametrize(
    ("estimator", "changes", "text"),
    [
        ("levelhead_grpo", {"eps": 1e-4}, ""),
        ("levelhead_grpo", {"epz": 1}, "algorithm.levelhead: expected options of levelhead_grpo"),
        ("levelhead_grpo", {"eps": -1}, "algorithm.levelhead: eps: expected"),
        ("levelhead_batch_std", {"segments": "turn"}, "algorithm.levelhead.segments: expected"),
        (
            "rloo",
            {"eps": 1},
            "algorithm.levelhead: expected none with rloo, which does not read it",
        ),
        ("rloo", {"wieght": 1}, "reward_kwargs: reward_kwargs: expected one .* 'weight'"),
        ("rloo", {"eta": 0.7}, r"reward_kwargs: eta: expected a number in \(0, 0.5\), got 0.7"),
        ("rloo", {"rule": ["log"]}, r"reward_kwargs: rule: expected one of .*, got \['log'\]"),
        ("rloo", {"verifier": "x"}, "reward_kwargs: verifier: expected one of .*, got 'x'"),
        ("rloo", {"eta": 0.02}, ""),
    ],
)
def test_what_our_own_functions_are_told_is_checked(
    estimator: str,
    changes: dict[str, Any],
    text: str,
    verls: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    omega = importlib.import_module("omegaconf").OmegaConf
    core: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    monkeypatch.setattr(core, "ADV_ESTIMATOR_REGISTRY", dict(core.ADV_ESTIMATOR_REGISTRY))
    importlib.import_module("levelhead.adapters.verl_estimators").register()
    composed = copy.deepcopy(verls)
    composed.algorithm.adv_estimator = estimator
    ours = estimator != "rloo" or "levelhead" in text
    for name, given in changes.items():
        key = f"algorithm.levelhead.{name}" if ours else f"{KWARGS}.{name}"
        omega.update(composed, key, given, force_add=True)
    if not text:
        assert estimator in validate(composed)
        return
    with pytest.raises(ConfigError, match=text):
        validate(composed)


@needs_verl
def test_an_interpolation_that_leads_nowhere_is_no_traceback(verls: Any) -> None:
    composed = copy.deepcopy(verls)
    composed.trainer.experiment_name = "${x}"
    with pytest.raises(ConfigError, match="verl refuses the configuration: Interpolation key 'x'"):
        validate(composed)


@needs_verl
def test_a_text_that_verl_would_interpolate_is_refused() -> None:
    """It resolves its configuration in place, after which an escaped text is an interpolation."""
    composed = compose(rendered("crispr-qwen3-4b-rloo", "name='a ${x}'"))
    assert composed.trainer.experiment_name == "a ${x}"
    with pytest.raises(ConfigError, match="verl refuses the configuration: Interpolation key 'x'"):
        validate(composed)
    assert composed.trainer.experiment_name == "a ${x}"


@needs_verl
@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (
            "algorithm.adv_estimator=rlo",
            "expected a name in verl's registry, got 'rlo', did you mean",
        ),
        (
            f"{ACTOR}.loss_agg_mode=sum",
            "verl refuses the configuration: .*Invalid loss_agg_mode: sum",
        ),
        (
            "reward.custom_reward_function.name=none",
            "verl refuses the configuration: Object not found in module",
        ),
    ],
)
def test_verls_own_checks_are_asked(extra: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        validate(compose(rendered(extra=[extra])))


@needs_verl
def test_our_estimators_are_resolved_by_verls_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core: Any = importlib.import_module("verl.trainer.ppo.core_algos")
    monkeypatch.setattr(core, "ADV_ESTIMATOR_REGISTRY", dict(core.ADV_ESTIMATOR_REGISTRY))
    composed = compose(rendered("crispr-qwen3-4b-rloo", "algorithm.estimator=batch_std"))
    core.ADV_ESTIMATOR_REGISTRY.pop("levelhead_batch_std", None)
    with pytest.raises(ConfigError, match="its plug-in is not loaded: run `levelhead doctor`"):
        validate(composed)
    importlib.import_module("levelhead.adapters.verl_estimators").register()
    assert validate(composed) == "levelhead.adapters.verl_estimators:levelhead_batch_std"


@needs_verl
def test_adapters_are_checked_where_no_rollout_engine_is_installed() -> None:
    omega = importlib.import_module("omegaconf").OmegaConf
    composed = compose(rendered("crispr-qwen3-4b-rloo", "model.lora={rank: 4, alpha: 8.0}"))
    assert "rloo" in validate(composed)
    model = omega.select(composed, "actor_rollout_ref.model")
    assert (model.lora_rank, model.lora_alpha) == (4, 8)
