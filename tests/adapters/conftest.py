"""A tiny Qwen3 for TRL's trainers, saved in a folder, whose vocabulary is made of whole answers."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = (
    *("<pad>", "<eos>", "<answer>10</answer>", "<answer>40</answer>", "<answer>90</answer>"),
    *("<answer>", "wet", "dry", "sun", "rain"),
)
PROMPTS = ("wet sun", "dry", "rain rain sun", "sun dry dry wet")


@pytest.fixture(scope="session")
def trl_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained Qwen3 of 1 layer x 16; a third of its words are answers."""
    if importlib.util.find_spec("trl") is None:
        pytest.skip("TRL is not installed here; `make test-peers` has it")
    torch: Any = importlib.import_module("torch")
    hub: Any = importlib.import_module("transformers")
    tokenizers: Any = importlib.import_module("tokenizers")
    torch.set_num_threads(1)
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<pad>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = hub.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        eos_token="<eos>",
        chat_template="{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}",
    )
    config = hub.Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=24,
        max_position_embeddings=64,
        eos_token_id=1,
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("trl_model")
    hub.set_seed(3)
    hub.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_trainer(
    trl_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """(trainer class, reward functions, arguments of the trainer, settings) -> a trainer."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    module: Any = importlib.import_module("trl")
    base: Any = importlib.import_module("trl.trainer.base_trainer")
    datasets: Any = importlib.import_module("datasets")
    monkeypatch.setattr(base, "send_telemetry", lambda *a, **k: None, raising=False)
    rows = {"prompt": list(PROMPTS), "outcome": [1, 0, 1, 0]}

    def make(trainer: Any, rewards: Any, more: Any = None, **settings: Any) -> Any:
        config = getattr(module, f"{settings.pop('kind', 'GRPO')}Config")
        options: dict[str, Any] = {
            "output_dir": str(tmp_path / "run"),
            "use_cpu": True,
            "bf16": False,
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 1,
            "max_steps": 1,
            "per_device_train_batch_size": 6,
            "num_generations": 3,
            "max_completion_length": 5,
            "beta": 0.0,
            "learning_rate": 1e-2,
            "gradient_checkpointing": False,
            **settings,
        }
        more = dict(more or {})
        data = more.pop("train_dataset", None) or datasets.Dataset.from_dict(rows)
        return trainer(
            model=more.pop("model", str(trl_model)),
            reward_funcs=rewards,
            args=config(**options),
            train_dataset=data,
            **more,
        )

    return make
