"""Advantage estimators as users give them: which options they take, and what they return."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable

import numpy as np

from levelhead import advantages
from levelhead._arrays import FloatArray, IntArray
from levelhead._text import plural
from levelhead.advantages import AdvantageFunction
from levelhead.errors import ConfigError, InvalidInputError
from levelhead.train._blame import Blamed

__all__ = ["check_options", "checked_advantages"]


def check_options(argument: str, name: str, options: Iterable[str]) -> None:
    """Raise where an estimator of ours does not have some of the options that it is given.

    Args:
        argument: where they are given, e.g. "advantage_options".
        name: of the estimator; a function of the user's, which has a colon in it, takes what it takes.
        options: their names.

    Raises:
        InvalidInputError: the estimator does not have one of them.
    """
    if ":" in name:
        return
    row = advantages.TABLE.get(name)
    known = [] if row is None else _options_of(row)
    wrong = [option for option in options if option not in known]
    if wrong:
        near = difflib.get_close_matches(wrong[0], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidInputError(
            f"{argument}: expected options of {name} ({', '.join(known) or 'none'}), got "
            f"{', '.join(wrong)}{hint}"
        )


def _options_of(row: advantages.Estimator) -> list[str]:
    parameters = inspect.signature(row.new or row.function).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [key for key, one in parameters.items() if one.kind is keyword and key != "valid"]


def checked_advantages(
    function: AdvantageFunction, rewards: FloatArray, groups: IntArray, *, argument: str, name: str
) -> FloatArray:
    """What a function of the user's makes of rewards: one finite number for each.

    Args:
        function: the user's.
        rewards: (N,); NaN is unscorable.
        groups: (N,) which of them belong together.
        argument: where the function is given, e.g. "advantage".
        name: what the user calls it; with a colon where it can be loaded by that.

    Returns:
        (N,) float64, 0 where the reward is NaN, whatever the function returns there.

    Raises:
        ConfigError: it raises, or returns no numbers, another shape, or a number that is not finite.
    """
    who, given = f"{argument} {name}", plural(rewards.size, "reward")
    spec = f" {name}" if ":" in name else ""
    advice = f"try it alone with `levelhead probe{spec}`"
    with Blamed(who, given=given, advice=advice):
        returned = function(rewards, groups)
    what = "the function returned no array of numbers, which raised"
    with Blamed(who, given=given, advice=advice, what=what):
        out = np.asarray(returned, dtype=np.float64)
    if out.shape != rewards.shape:
        raise ConfigError(
            f"{who}: expected one advantage for each of {given}, shape {rewards.shape}, got shape "
            f"{out.shape}; {advice}"
        )
    unknown = np.isnan(rewards)
    out = np.where(unknown, 0.0, out)
    wrong = np.flatnonzero(~np.isfinite(out))
    if wrong.size:
        if unknown.any():
            advice = (
                f"{unknown.sum()} of {given} are NaN, which stands for a completion that could not be "
                "scored: leave them out of every mean"
            )
        raise ConfigError(
            f"{who}: expected finite advantages, got {out[wrong[0]]} at index {wrong[0]}, where the "
            f"reward is {rewards[wrong[0]]:g}; {advice}"
        )
    return out
