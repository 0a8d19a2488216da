"""Pairs by hand, what is refused, and TRL's trainers on a tiny model that learns what it is shown."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.adapters import trl_recipes
from levelhead.adapters.trl_recipes import Pair, preference_pairs
from levelhead.errors import ConfigError, InvalidInputError, MissingDependencyError
from levelhead.tasks import Prompt

INSTALLED = importlib.util.find_spec("trl") is not None
needs_trl = pytest.mark.skipif(
    not INSTALLED, reason="TRL is not installed here; `make leaderboard` has it"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's dependencies warn

NAN = math.nan
WORDS = ["<pad>", "<eos>", "<user>", "<assistant>", "red", "blue", "yes", "no", "what"]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} "
    "{% if m['role'] == 'assistant' %}<eos> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def ask(name: str) -> Prompt:
    return Prompt(name, ({"role": "user", "content": name},), outcome=1.0)


RED, BLUE = ask("red"), ask("blue")


def test_the_pair_is_the_best_and_the_worst_of_a_group() -> None:
    pairs = preference_pairs(
        [BLUE, RED, BLUE, RED, RED],
        ["a", "b", "c", "d", "e"],
        [1.0, 0.5, 2.0, 0.7, 0.1],
        [9, 4, 9, 4, 4],
    )
    assert pairs == [Pair(BLUE, "c", "a"), Pair(RED, "d", "e")]


def test_of_equal_rewards_the_first_counts() -> None:
    texts, rewards = ["a", "b", "c", "d"], [0.0, 1.0, 1.0, 0.0]
    assert preference_pairs([RED] * 4, texts, rewards, [0] * 4) == [Pair(RED, "b", "a")]


@pytest.mark.parametrize("rewards", [[1.0, 1.0, 1.0], [NAN, 1.0, 1.0], [NAN, NAN, 1.0], [NAN] * 3])
def test_without_a_difference_there_is_no_pair(rewards: list[float]) -> None:
    assert preference_pairs([RED] * 3, ["a", "b", "c"], rewards, [0, 0, 0]) == []


def test_what_cannot_be_scored_is_in_no_pair() -> None:
    pairs = preference_pairs([RED] * 3, ["a", "b", "c"], [NAN, 0.1, 0.2], [0, 0, 0])
    assert pairs == [Pair(RED, "c", "b")]


def test_pairs_refuse_what_does_not_fit() -> None:
    with pytest.raises(InvalidInputError, match="texts: expected 2, one for each reward, got 1"):
        preference_pairs([RED, RED], ["a"], [0.0, 1.0], [0, 0])
    with pytest.raises(InvalidInputError, match="one prompt in each group, got blue, red in one"):
        preference_pairs([RED, BLUE], ["a", "b"], [0.0, 1.0], [0, 0])
    with pytest.raises(InvalidInputError, match="finite numbers or NaN, got inf at index 1"):
        preference_pairs([RED, RED], ["a", "b"], [0.0, math.inf], [0, 0])


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="sft: expected at least one row to train on"):
        trl_recipes.sft("nowhere", [], [], tmp_path)
    with pytest.raises(InvalidInputError, match="texts: expected 1, one for each prompt, got 2"):
        trl_recipes.sft("nowhere", [RED], ["a", "b"], tmp_path)
    with pytest.raises(InvalidInputError, match="dpo: expected at least one row to train on"):
        trl_recipes.dpo("nowhere", [], tmp_path)


@pytest.mark.skipif(INSTALLED, reason="TRL is installed here")
def test_without_trl_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"levelhead\[trl\]"):
        trl_recipes.sft("nowhere", [RED], ["a"], tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with an untrained model of a handful of words."""
    torch: Any = importlib.import_module("torch")
    hub: Any = importlib.import_module("transformers")
    tokenizers: Any = importlib.import_module("tokenizers")
    torch.set_num_threads(1)
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<pad>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = hub.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE
    )
    config = hub.Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=48,
        max_position_embeddings=64,
        eos_token_id=1,
        pad_token_id=0,
    )
    hub.set_seed(3)
    folder = tmp_path_factory.mktemp("model")
    hub.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def chance(folder: Path | str, question: str) -> float:
    """Probability of "yes" against "no" as the first word of the reply."""
    torch: Any = importlib.import_module("torch")
    hub: Any = importlib.import_module("transformers")
    trained = hub.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [WORDS.index("<user>"), WORDS.index(question), WORDS.index("<assistant>")]
    with torch.no_grad():
        logits = trained(input_ids=torch.tensor([ids])).logits[0, -1]
    return float(logits[[WORDS.index("yes"), WORDS.index("no")]].softmax(dim=0)[0])


SETTINGS = {
    "learning_rate": 0.02,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 16,
    "disable_tqdm": True,
}


@needs_trl
def test_sft_learns_the_shares_that_it_is_shown(model: str, tmp_path: Path) -> None:
    """Imitation matches frequencies: 3 in 4 replies to one prompt are yes, 1 in 4 to the other."""
    prompts = [RED, RED, RED, RED, BLUE, BLUE, BLUE, BLUE] * 40
    texts = ["yes", "yes", "yes", "no", "no", "no", "no", "yes"] * 40
    folder = trl_recipes.sft(model, prompts, texts, tmp_path, settings=SETTINGS)
    assert abs(chance(folder, "red") - 0.75) < 0.12
    assert abs(chance(folder, "blue") - 0.25) < 0.12
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen3"
    tokenizer: Any = importlib.import_module("transformers").AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template


@needs_trl
def test_dpo_prefers_what_was_chosen(model: str, tmp_path: Path) -> None:
    pairs = [Pair(RED, "yes", "no"), Pair(BLUE, "no", "yes")] * 40
    folder = trl_recipes.dpo(model, pairs, tmp_path, settings={**SETTINGS, "beta": 0.1})
    before = np.array([chance(model, "red"), chance(model, "blue")])
    after = np.array([chance(folder, "red"), chance(folder, "blue")])
    assert after[0] > before[0] + 0.2
    assert after[1] < before[1] - 0.2


@needs_trl
def test_settings_are_those_of_trl(model: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'learning_rate'"):
        trl_recipes.sft(model, [RED], ["yes"], tmp_path, settings={"learning_rte": 1e-3})
    with pytest.raises(ConfigError, match=r"settings: seed is an argument of dpo\(\)"):
        trl_recipes.dpo(model, [Pair(RED, "yes", "no")], tmp_path, settings={"seed": 1})
