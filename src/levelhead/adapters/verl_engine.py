"""verl as the engine of a recipe: its settings, checked by verl's own configuration, and the command.

    python -m verl.trainer.main_ppo algorithm.adv_estimator=rloo actor_rollout_ref.rollout.n=8 ...

Rendering needs no verl. Checking composes verl's configuration through Hydra, as its own command does,
and asks verl's own validation; training needs GPUs and a Ray cluster, which verl starts or joins.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import importlib.util
import io
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from levelhead._optional import optional_import
from levelhead.adapters._verl_overrides import Override
from levelhead.adapters._verl_settings import PARTS, REFUSALS, Note, notes
from levelhead.adapters.verl_data import VerlData
from levelhead.adapters.verl_estimators import SECTION, VerlEstimator
from levelhead.adapters.verl_rewards import check_options, compute_score
from levelhead.errors import ConfigError, InvalidInputError, MissingDependencyError
from levelhead.train.config import Recipe

__all__ = ["FEATURE", "MODULE", "Plan", "compose", "launch", "misspelled", "plan", "validate"]

MODULE = "verl.trainer.main_ppo"
"""What is run."""

FEATURE = "--engine verl"
_STEPS, _EPOCHS = "trainer.total_training_steps", "trainer.total_epochs"
_CONFIG = "ppo_trainer"
_NEAREST = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What verl will be told.

    Attributes:
        overrides: settings that follow from the recipe, and those of the user, which win.
        extra: settings of the user, as they were written.
        notes: what of the recipe verl does in its own way: (key, what).
    """

    overrides: tuple[Override, ...]
    extra: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """Hydra's overrides, in order; no shell has to read them."""
        return (*map(str, self.overrides), *self.extra)

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return (sys.executable, "-m", MODULE, *self.arguments)

    def script(self) -> str:
        """The command as a shell would be given it, one setting a line."""
        first = shlex.join(self.command[:3])
        return " \\\n".join([first, *(f"  {shlex.quote(text)}" for text in self.arguments)])


def plan(
    recipe: Recipe,
    data: VerlData,
    out: Path,
    *,
    extra: Sequence[str] = (),
    resume: bool = False,
    nodes: int = 1,
    gpus: int = 8,
) -> Plan:
    """verl's settings for a recipe.

    Args:
        recipe: what is wanted.
        data: what verl reads of its task.
        out: the folder of the run; every node must see it.
        extra: Hydra overrides of the user (`KEY=VALUE`, `+KEY=VALUE`), which replace ours, also below
            a mapping such as `reward.custom_reward_function.reward_kwargs`.
        resume: go on from the newest checkpoint in `out`.
        nodes: of the Ray cluster.
        gpus: of each node.

    Returns:
        A `Plan`; nothing has been asked of verl yet.

    Raises:
        ConfigError: what the recipe says and verl cannot do, every key at once, and settings that are
            none.

    Edge cases: settings that only say how levelhead's own engine works are notes, not errors.
    """
    refused = [f"{key}: {text}" for part in REFUSALS for key, text in part(recipe)]
    refused += [
        f"--engine-set: expected KEY=VALUE, such as trainer.nnodes=2, got {text!r}"
        for text in extra
        if not _is_setting(text)
    ]
    if refused:
        raise ConfigError("\n".join(refused))
    found = [one for part in PARTS for one in part(recipe, data, out.absolute())]
    found += [
        Override("trainer.nnodes", nodes),
        Override("trainer.n_gpus_per_node", gpus),
        Override("trainer.resume_mode", "auto" if resume else "disable"),
    ]
    replaced = {_key_of(text): text.partition("=")[2] for text in extra}
    found = _enough_passes(recipe, found, replaced)
    opened = {one.key for one in found if isinstance(one.value, Mapping) and _below(one, replaced)}
    found = [leaf for one in found for leaf in _opened(one, replaced)]
    told = list(notes(recipe, data))
    told += [
        (one.recipe_key, f"--engine-set {one.key} decides, not the recipe")
        for one in found
        if one.key in replaced and one.recipe_key
    ]
    kept = tuple(one for one in found if one.key not in replaced)
    ours = {one.key for one in found if one.new}
    return Plan(kept, tuple(_added(text, ours, opened) for text in extra), tuple(told))


def _is_setting(text: str) -> bool:
    return "=" in text.lstrip("+~") and not text.startswith(("=", "-"))


def _key_of(text: str) -> str:
    """The key of an override as it is written."""
    return text.lstrip("+~").partition("=")[0]


def _enough_passes(
    recipe: Recipe, found: Sequence[Override], replaced: Mapping[str, str]
) -> list[Override]:
    """Passes counted anew where the user decides how many prompts, or how many steps, there are.

    verl stops at the last step, so that too many passes change nothing; too few end a run without its
    last validation and checkpoint.
    """
    steps = replaced.get(_STEPS, str(recipe.steps))
    sizes = any(key.startswith("data.") for key in replaced)
    if not steps.isdecimal() or not (sizes or _STEPS in replaced):
        return list(found)
    return [
        dataclasses.replace(one, value=int(steps)) if one.key == _EPOCHS else one for one in found
    ]


def _opened(one: Override, replaced: Mapping[str, str]) -> Iterator[Override]:
    """A mapping as one setting for each key, where the user sets something below it."""
    if not isinstance(one.value, Mapping) or not _below(one, replaced):
        yield one
        return
    for name, value in cast(Mapping[str, Any], one.value).items():
        leaf = dataclasses.replace(one, key=f"{one.key}.{name}", value=value, new=True)
        yield from _opened(leaf, replaced)


def _below(one: Override, replaced: Mapping[str, str]) -> bool:
    return any(key.startswith(f"{one.key}.") for key in replaced)


def _added(text: str, ours: set[str], opened: set[str]) -> str:
    """A setting of the user's in place of one, or in a mapping, that verl's own files do not have."""
    key = _key_of(text)
    is_new = key in ours or any(key.startswith(f"{one}.") for one in opened)
    return f"+{text}" if is_new and not text.startswith(("+", "~")) else text


def misspelled(extra: Sequence[str]) -> tuple[str, ...]:
    """What is wrong with the keys of the user's settings, before anything else is asked of verl.

    Args:
        extra: Hydra overrides of the user.

    Returns:
        A sentence for each key that the installed verl does not have; () where verl or Hydra is not
        installed.

    Edge cases: what is no setting at all is `plan`'s to tell.
    """
    if any(importlib.util.find_spec(name) is None for name in ("verl", "hydra", "omegaconf")):
        return ()
    hydra = optional_import("hydra", FEATURE, "verl")
    omega = optional_import("omegaconf", FEATURE, "verl")
    folder = _folder() / "trainer" / "config"
    with hydra.initialize_config_dir(config_dir=str(folder), version_base=None):
        base = hydra.compose(config_name=_CONFIG)
    return tuple(_unknown([text for text in extra if _is_setting(text)], base, omega))


def compose(planned: Plan) -> Any:
    """verl's configuration with the settings of a plan, by Hydra and verl's own files.

    Args:
        planned: what verl will be told.

    Returns:
        The composed configuration (an OmegaConf `DictConfig`), interpolations unresolved.

    Raises:
        MissingDependencyError: verl or Hydra is not installed.
        ConfigError: a key that the installed verl does not have, a value of another kind than verl's
            own, or one that Hydra cannot read.

    Edge cases: verl itself is not imported, only its files are read.
    """
    hydra = optional_import("hydra", FEATURE, "verl")
    hydra_errors = optional_import("hydra.errors", FEATURE, "verl")
    omega = optional_import("omegaconf", FEATURE, "verl")
    folder = _folder() / "trainer" / "config"
    failures = (hydra_errors.HydraException, omega.errors.OmegaConfBaseException)
    with hydra.initialize_config_dir(config_dir=str(folder), version_base=None):
        base = hydra.compose(config_name=_CONFIG)
        unknown = "\n".join(_unknown(planned.arguments, base, omega))
        if unknown:
            raise ConfigError(unknown)
        try:
            composed = hydra.compose(config_name=_CONFIG, overrides=list(planned.arguments))
        except failures as error:
            wrong = _culprit(planned.extra, hydra, failures)
            raise ConfigError(
                f"{wrong}: expected a setting that verl's configuration takes: {_first_line(error)}"
            ) from error
    for key in map(_key_of, planned.arguments):
        _same_kind(key, base, composed, omega)
    for one in planned.overrides:
        value = _selected(composed, one.key, omega, failures)
        if value != _plain(one.value):
            raise ConfigError(
                f"{one.key}: expected {_plain(one.value)!r} in verl's configuration, got {value!r}; "
                "another setting of --engine-set overrides it"
            )
    return composed


def _selected(composed: Any, key: str, omega: Any, failures: tuple[Any, ...]) -> Any:
    try:
        value = omega.OmegaConf.select(composed, key)
        if omega.OmegaConf.is_config(value):
            return omega.OmegaConf.to_container(value, resolve=True)
    except failures as error:
        raise ConfigError(
            f"{key}: expected a value that can be read: {_first_line(error)}"
        ) from error
    return value


def validate(composed: Any) -> str:
    """Ask the installed verl whether it would start with a configuration.

    The checks are those of its own command, before it starts Ray: batch sizes and GPUs, the actor's
    settings, the advantage estimator by its name in verl's registry, and the reward function. One of
    our estimators is tried with its options, and those of our reward function are checked.

    Args:
        composed: from `compose`.

    Returns:
        The module and name of the estimator's function in verl's registry.

    Raises:
        MissingDependencyError: verl is not installed.
        ConfigError: what verl says is wrong.

    Edge cases: verl is imported, with its plug-ins. Left out are the model of a critic, which would be
        loaded by its name, and, where vllm is not on this machine, how large adapters it takes.
    """
    config = optional_import("verl.utils.config", FEATURE, "verl")
    core = optional_import("verl.trainer.ppo.core_algos", FEATURE, "verl")
    needs = optional_import("verl.trainer.ppo.utils", FEATURE, "verl")
    reward = optional_import("verl.trainer.ppo.reward", FEATURE, "verl")
    hydra_errors = optional_import("hydra.errors", FEATURE, "verl")
    omega = optional_import("omegaconf", FEATURE, "verl")
    name = composed.algorithm.adv_estimator
    if name not in core.ADV_ESTIMATOR_REGISTRY:
        near = difflib.get_close_matches(str(name), core.ADV_ESTIMATOR_REGISTRY, n=_NEAREST)
        hint = f", did you mean {near[0]!r}" if near else ""
        raise ConfigError(
            f"algorithm.adv_estimator: expected a name in verl's registry, got {name!r}{hint}; where "
            "it is one of levelhead's, its plug-in is not loaded: run `levelhead doctor`"
        )
    checked = copy.deepcopy(composed)
    if importlib.util.find_spec("vllm") is None:
        checked.actor_rollout_ref.model.lora_rank = 0
    failures = (
        *(AssertionError, AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError),
        *(ImportError, hydra_errors.HydraException, omega.errors.OmegaConfBaseException),
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            config.validate_config(checked, needs.need_reference_policy(checked), False)
            rewarded = reward.get_custom_reward_fn(checked)
            # As verl's task runner does: in place, so that a text is read as an interpolation again.
            omega.OmegaConf.resolve(checked)
            omega.OmegaConf.to_container(checked, resolve=True)
    except failures as error:
        raise ConfigError(f"verl refuses the configuration: {_first_line(error)}") from error
    function = core.get_adv_estimator_fn(name)
    _check_options(function, rewarded, checked)
    return f"{function.__module__}:{getattr(function, '__name__', function)}"


def _check_options(function: Any, rewarded: Any, checked: Any) -> None:
    """What our own functions are told: verl itself would find it after the first rollout."""
    if isinstance(function, VerlEstimator):
        torch = optional_import("torch", FEATURE, "verl")
        two = torch.tensor([[1.0], [0.0]])
        try:
            function(two, torch.ones(2, 1), ["a", "a"], checked.algorithm)
        except InvalidInputError as error:
            raise ConfigError(f"algorithm.{SECTION}: {error}") from error
    elif checked.algorithm.get(SECTION) is not None:
        raise ConfigError(
            f"algorithm.{SECTION}: expected none with {checked.algorithm.adv_estimator}, which does not "
            "read it; leave it out, or name an estimator of levelhead's"
        )
    if compute_score in getattr(rewarded, "args", ()):
        given = checked.reward.custom_reward_function.get("reward_kwargs")
        try:
            check_options({} if given is None else dict(given))
        except InvalidInputError as error:
            raise ConfigError(f"reward.custom_reward_function.reward_kwargs: {error}") from error


def launch(planned: Plan, *, environment: Mapping[str, str] | None = None) -> int:
    """Run verl on the user's Ray cluster and wait for it.

    Args:
        planned: what verl will be told.
        environment: of the process; None is this one's.

    Returns:
        Its exit code. Its output goes where ours goes.
    """
    variables = None if environment is None else dict(environment)
    return subprocess.run(planned.command, env=variables, check=False).returncode


def _folder() -> Path:
    """Where verl is installed, without importing it: that takes seconds and starts to log."""
    found = importlib.util.find_spec("verl")
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError(FEATURE, "verl")
    return Path(next(iter(found.submodule_search_locations)))


def _unknown(arguments: Sequence[str], base: Any, omega: Any) -> Iterator[str]:
    """What to say of every key that is neither verl's nor added on purpose."""
    known = set(_keys(omega.OmegaConf.to_container(base, resolve=False)))
    for text in arguments:
        key = text.partition("=")[0].lstrip("~")
        if key in known or key.startswith(("+", "hydra.")):
            continue
        near = difflib.get_close_matches(key, known, n=_NEAREST)
        hint = f"; did you mean {near[0]}" if near else f"; +{key}=... adds it"
        yield f"{key}: expected a key of verl's configuration, there is none of this name{hint}"


def _keys(value: Any, prefix: str = "") -> Iterator[str]:
    if prefix:
        yield prefix
    if isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield from _keys(inner, f"{prefix}.{key}" if prefix else str(key))


def _culprit(extra: Sequence[str], hydra: Any, failures: tuple[Any, ...]) -> str:
    """The first setting of the user's that Hydra does not take; ours are known."""
    for text in extra:
        try:
            hydra.compose(config_name=_CONFIG, overrides=[text])
        except failures:
            return f"--engine-set {text}"
    return "the settings together"


def _same_kind(key: str, base: Any, composed: Any, omega: Any) -> None:
    """Hydra takes any value for any key: a text for a number would be found hours later."""
    with contextlib.suppress(omega.errors.OmegaConfBaseException):
        default = omega.OmegaConf.select(base, key)
        value = omega.OmegaConf.select(composed, key)
        expected, got = _kind(default), _kind(value)
        if expected and got and expected != got:
            raise ConfigError(
                f"{key}: expected {expected}, as verl's {default!r} is, got {value!r}"
            )


def _kind(value: Any) -> str:
    """What sort of value it is; "" for null, which may stand for anything."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text or a list"
    if value is None:
        return ""
    return "a mapping" if hasattr(value, "keys") else "a text or a list"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in cast(list[Any], value)]
    return value


def _first_line(error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
