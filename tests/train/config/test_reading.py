"""Files, built-in recipes, `--set`, and the page that explains every key.

`python tests/train/config/test_reading.py --write` renews the table of keys in docs/train.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from levelhead.errors import ConfigError
from levelhead.tasks import TABLE, make_task
from levelhead.train.config import Recipe, built_in, check_task, load, schema

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "train.md"
BEGIN, END = "<!-- keys: generated -->", "<!-- /keys -->"
NEEDS_DATA = ("crispr", "rlcr")


def test_a_recipe_survives_writing_and_reading(tmp_path: Path) -> None:
    changes = ["task={kind: qa, path: /a/b, evaluation: 7}", "model.system='off'", "seed=7"]
    changes += ["optimizer.lr=1e-6", "guard.action=off", "algorithm.estimator_options={}"]
    changes += ["optimizer.betas=[0.9, 0.95]", "trackers=[wandb]", "model.lora={targets: [q, v]}"]
    recipe = load("grpo", changes)
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load(file) == recipe
    assert recipe.to_yaml() == load(file).to_yaml()
    assert recipe.guard.action == "off"
    as_json = tmp_path / "recipe.json"
    as_json.write_text(recipe.model_dump_json())
    assert load(as_json) == recipe


def test_changes_win_over_the_file_and_later_ones_over_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("steps: 3\nrollout: {prompts: 4, group_size: 5}\n")
    recipe = load(file, ["steps=4", "rollout.prompts=6", "steps=5"])
    assert (recipe.steps, recipe.rollout.prompts, recipe.rollout.group_size) == (5, 6, 5)
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    assert load(empty) == load(None) == Recipe()


def test_another_kind_of_task_drops_the_options_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("task: {kind: oracle, factors: 2, seed: 3}\n")
    assert load(file, ["task.seed=4"]).task.model_dump()["factors"] == 2
    same = load(file, ["task.kind=oracle"])
    assert same.task.model_dump()["factors"] == 2
    other = load(file, ["task.digits=[1]", "task.kind=arithmetic"]).task.model_dump()
    assert (other["kind"], other["digits"], other["seed"]) == ("arithmetic", (1,), 0)
    file.write_text("task: {train: 100}\n")
    assert load(file).task.kind == "survey"


@pytest.mark.parametrize(
    ("source", "changes", "sentence"),
    [
        ("grop", [], "recipe: expected one of"),
        ("grop", [], "did you mean 'grpo'? (or give the path of a YAML file)"),
        ("grpo.yaml", [], "cannot read this recipe: No such file or directory; did you mean the"),
        (".", [], "cannot read this recipe: Is a directory"),
        (None, ["steps"], "--set steps: expected KEY=VALUE, e.g. optimizer.lr=1e-4"),
        (None, ["=3"], "--set =3: expected KEY=VALUE"),
        (None, ["name=a: b: c"], "put text in quotes"),
        (None, ["steps.x=3"], "--set steps.x=3: steps: expected a whole number, got {'x': 3}"),
        ("rloo", ["steps=5"], "built-in recipe rloo: optimizer.warmup_steps: expected fewer than"),
        ("rloo", ["steps=5"], "e.g. `--set optimizer.warmup_steps=0`"),
        ("rloo", ["name.x=3"], "--set name.x=3: name is no section, got 'rloo' there"),
    ],
)
def test_wrong_sources_and_changes(source: str | None, changes: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(source, changes)
    assert sentence in str(caught.value)


def test_wrong_files(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text, sentence in [
        (b"- 1\n", "a.yaml: expected a recipe (keys and values), got a list"),
        (b"a: 1\na: 2\n", "a.yaml: line 2: the key 'a' stands twice"),
        (b"\xff\xfe\xfa", "a.yaml: expected text in UTF-8, got other bytes"),
    ]:
        file.write_bytes(text)
        with pytest.raises(ConfigError) as caught:
            load(file)
        assert sentence in str(caught.value)


@pytest.mark.parametrize("name", list(built_in()))
def test_every_built_in_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    about = built_in()[name].about
    assert about[0].isupper() or about.startswith("arXiv")
    recipe = load(name)
    assert recipe.name == name
    if not name.startswith(NEEDS_DATA):
        check_task(recipe, make_task(recipe.task))


def test_the_default_comes_first_and_what_needs_data_last() -> None:
    names = list(built_in())
    assert names[:5] == ["rloo", "grpo", "grpo_no_std", "ppo", "rb_exact"]
    assert [one.needs_data for one in built_in().values()] == [
        name.startswith(NEEDS_DATA) for name in names
    ]


def test_recipes_of_the_embedded_model_differ_in_the_estimator_alone() -> None:
    names = ("rloo", "grpo", "grpo_no_std", "rb_exact", "ppo")
    for name in names:
        data = load(name).model_dump()
        data["name"] = data["algorithm"]["estimator"] = ""
        data["algorithm"]["critic"] = None
        if name == "rb_exact":  # one completion of a prompt is enough for it
            assert data["rollout"].pop("group_size") == 1
            data["rollout"]["group_size"] = load("rloo").rollout.group_size
        first = load("rloo").model_dump()
        first["name"] = first["algorithm"]["estimator"] = ""
        assert data == first


def test_the_papers_recipes_have_its_settings() -> None:
    """arXiv:2508.11800: its appendix and the configuration that its authors published."""
    estimators = {"grpo": "grpo", "grpo_no_std": "grpo_no_std", "rloo": "rloo", "ppo": "gae"}
    for name, estimator in estimators.items():
        recipe = load(f"crispr-qwen3-4b-{name}")
        rollout, algorithm = recipe.rollout, recipe.algorithm
        assert recipe.model.path == "Qwen/Qwen3-4B"
        assert (rollout.prompts, rollout.group_size, rollout.max_new_tokens) == (512, 4, 2048)
        assert rollout.prompts // algorithm.updates_per_rollout == 64
        assert (algorithm.estimator, algorithm.clip_low, algorithm.clip_high) == (
            estimator,
            0.2,
            0.2,
        )
        assert (algorithm.kl.coef, algorithm.kl.estimator) == (1e-3, "k3")
        assert algorithm.kl.place == "loss"
        assert algorithm.aggregation == "seq-sum-constant"
        assert (recipe.optimizer.lr, recipe.steps, rollout.temperature) == (1e-6, 180, 1.0)
        critic = algorithm.critic
        assert (critic is not None) == (name == "ppo")
        if critic is not None:
            assert (critic.lr, critic.gamma, critic.lam, critic.kind) == (
                1e-5,
                1.0,
                1.0,
                "separate",
            )


def test_the_schema_describes_every_key() -> None:
    found = json.loads(json.dumps(schema()))
    assert found["$schema"].endswith("2020-12/schema")
    assert found["additionalProperties"] is False
    sections = [found, *found["$defs"].values()]
    lacking = [
        f"{section.get('title')}.{name}"
        for section in sections
        for name, key in section.get("properties", {}).items()
        if name != "kind" and not key.get("description") and "$ref" not in key
    ]
    assert lacking == []
    assert len(sections) > 20


def test_a_config_costs_no_torch() -> None:
    code = (
        "import sys, levelhead.train.config; "
        "print([m for m in ('torch', 'transformers', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- the table of keys in the user's page


def table_of_keys() -> str:
    """Markdown: every key of a recipe, and every option of every task."""
    lines: list[str] = []
    for name, rows in _sections(Recipe).items():
        lines += [f"### {name or 'At the top'}", "", "| key | value | default | meaning |"]
        lines += ["|---|---|---|---|", *rows, ""]
    for kind, row in TABLE.items():
        lines += [
            f"### task, kind {kind}",
            "",
            f"{row.description[:1].upper()}{row.description[1:]}.",
        ]
        lines += ["", "| key | value | default | meaning |", "|---|---|---|---|"]
        lines += [
            _row(key, field) for key, field in row.options.model_fields.items() if key != "kind"
        ]
        lines += [""]
    return "\n".join(lines)


def _sections(model: type[BaseModel], path: str = "") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {path: []}
    for name, field in model.model_fields.items():
        members = [*typing.get_args(field.annotation), field.annotation]
        models = [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]
        inner = f"{path}.{name}".lstrip(".")
        if len(models) == 1:
            found |= _sections(models[0], inner)
            if type(None) in members:
                found[path].append(_row(name, field, value="a section, or null"))
        elif inner != "task":
            found[path].append(_row(name, field))
    return {name: rows for name, rows in found.items() if rows}


def _row(name: str, field: Any, value: str | None = None) -> str:
    if field.is_required():
        default = "none"
    else:
        default = f"`{json.dumps(field.get_default(call_default_factory=True))}`"
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {value or _values(field)} | {default} | {meaning} |"


def _values(field: Any) -> str:
    """The type in words, from the JSON schema of the field alone."""
    annotation: Any = (
        typing.Annotated[field.annotation, *field.metadata] if field.metadata else None
    )
    return _words(TypeAdapter(annotation or field.annotation).json_schema())


def _words(s: dict[str, Any]) -> str:
    if "anyOf" in s:
        return " or ".join(dict.fromkeys(_words(one) for one in s["anyOf"]))
    if "enum" in s:
        return ", ".join(f"`{one}`" for one in s["enum"])
    if "const" in s:
        return f"`{s['const']}`"
    if s.get("type") == "array":
        inner = s.get("items") or (s.get("prefixItems") or [{}])[0]
        return f"list of {_words(inner)}" if "prefixItems" not in s else "two numbers"
    names = {"integer": "whole number", "number": "number", "boolean": "true, false"}
    names |= {"null": "null", "object": "section", "string": "text"}
    word = names[s["type"]] if s.get("format") != "path" else "path"
    marks = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{mark} {s[key]:g}" for key, mark in marks.items() if key in s and s[key] < 2**31]
    return " ".join([word, ", ".join(bounds)]).strip()


def test_the_page_explains_every_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    inside = page.split(BEGIN)[1].split(END)[0].strip()
    assert inside == table_of_keys().strip(), "renew it: see the top of this file"


def test_what_the_page_shows_as_a_recipe_is_one(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        file = tmp_path / "example.yaml"
        file.write_text(example, encoding="utf-8")
        load(file)


if __name__ == "__main__" and "--write" in sys.argv:
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table_of_keys()}\n{END}{after}", encoding="utf-8")
