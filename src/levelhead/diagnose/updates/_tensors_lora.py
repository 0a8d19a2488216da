"""What a LoRA adapter adds to the weights of its base model."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError

__all__ = ["LowRank", "is_adapter", "low_rank_updates"]

Tensor = Any
"""A place in a file, as `levelhead.diagnose.updates._tensors` has it: `path`, and what `read` takes."""

PREFIX = "base_model.model."
PART = re.compile(r"\.lora_(embedding_)?([AB])(\.weight)?$")
LARGEST = 1e30
"""Of a factor: one that is larger was never trained with."""
UNREAD = ("lora_magnitude_vector", "lora_bias", "hada_", "lokr_", "ia3_", "oft_", "vera_lambda")
"""Parts of tensor names that say an adapter is more than two matrices."""


@dataclasses.dataclass(frozen=True)
class LowRank:
    """scaling B A, or its transpose.

    Attributes:
        a: (r, I) float32.
        b: (O, r) float32.
        scaling: the factor.
        transposed: whether the update is (scaling B A)^T, as for weights stored the other way round.
    """

    a: npt.NDArray[np.float32]
    b: npt.NDArray[np.float32]
    scaling: float
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Of the update."""
        out, into = self.b.shape[0], self.a.shape[1]
        return (into, out) if self.transposed else (out, into)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """The rows of the update from `start` to before `stop`, float32."""
        with np.errstate(over="ignore", invalid="ignore"):  # is counted as what is not finite
            if self.transposed:
                return self.scaling * (self.a[:, start:stop].T @ self.b.T)
            return self.scaling * (self.b[start:stop] @ self.a)

    def singular_values(self) -> FloatArray:
        """(r,) all that can be other than 0, descending, from the small product of two QR factors."""
        upper_b = np.linalg.qr(self.b.astype(np.float64))[1]
        upper_a = np.linalg.qr(self.a.astype(np.float64).T)[1]
        values = np.linalg.svd(upper_b @ upper_a.T, compute_uv=False)
        return abs(self.scaling) * values.astype(np.float64)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / "adapter_config.json").is_file()


def low_rank_updates(
    config: Path, tensors: Mapping[str, Tensor], read: Callable[[Tensor], Any]
) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """The updates by the name of the weight, and the tensors that an adapter holds whole.

    Args:
        config: adapter_config.json.
        tensors: what lies in adapter_model.safetensors.
        read: gives the whole of a tensor as float32.
    """
    settings = _settings(config)
    parts: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        short = name.removeprefix(PREFIX)
        odd = [mark for mark in UNREAD if mark in short]
        if odd:
            raise InvalidInputError(
                f"{tensor.path}: expected a plain LoRA adapter, got the tensor {name!r}; merge the "
                "adapter into the model and compare the folders"
            )
        found = PART.search(short)
        if found is None:
            whole[short.replace(".modules_to_save", "").replace(".base_layer", "")] = tensor
        else:
            key = ("embedding_" if found[1] else "") + found[2]
            parts.setdefault(short[: found.start()], {})[key] = tensor
    updates: dict[str, LowRank] = {}
    for module, pair in parts.items():
        updates[module + ".weight"] = _update(module, pair, settings, read, config)
    return updates, whole


def _settings(config: Path) -> dict[str, Any]:
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise InvalidInputError(
            f"{config}: expected the JSON settings of an adapter, got something else; save the "
            "adapter again"
        ) from error
    kind = settings.get("peft_type", "LORA") if isinstance(settings, dict) else None
    if kind != "LORA" or settings.get("use_dora"):
        got = "use_dora" if kind == "LORA" else repr(kind)
        raise InvalidInputError(
            f"{config}: expected a plain LoRA adapter (peft_type LORA), got {got}; merge the adapter "
            "into the model and compare the folders"
        )
    return settings


def _update(
    module: str,
    pair: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    read: Callable[[Tensor], Any],
    config: Path,
) -> LowRank:
    embedded = any(key.startswith("embedding_") for key in pair)
    keys = ("embedding_A", "embedding_B") if embedded else ("A", "B")
    if set(pair) != set(keys):
        raise InvalidInputError(
            f"{config.parent}: expected lora_A and lora_B of {module!r}, got only "
            f"{', '.join('lora_' + key for key in pair)}; save the adapter again"
        )
    a, b = (read(pair[key]) for key in keys)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise InvalidInputError(
            f"{config.parent}: expected lora_A (r, in) and lora_B (out, r) of {module!r}, got "
            f"{a.shape} and {b.shape}; merge the adapter into the model and compare the folders"
        )
    rank = a.shape[0]
    if not rank or not (np.isfinite(a).all() and np.isfinite(b).all()):
        got = "NaN or an infinity" if rank else "a rank of 0"
        raise InvalidInputError(
            f"{config.parent}: expected finite numbers in lora_A and lora_B of {module!r}, got {got}; "
            "take an adapter from before the training failed"
        )
    share = math.sqrt(rank) if settings.get("use_rslora") else rank
    scaling = _alpha(settings, module, config) / share
    turned = embedded or bool(settings.get("fan_in_fan_out"))
    return LowRank(a, b, scaling, turned)


def _alpha(settings: Mapping[str, Any], module: str, config: Path) -> float:
    """That of the first pattern that the module's name ends in, as PEFT looks them up, or of all."""
    alpha, patterns = settings.get("lora_alpha", 8), settings.get("alpha_pattern") or {}
    try:
        for pattern, value in patterns.items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                alpha = value
                break
    except (AttributeError, re.error) as error:
        raise InvalidInputError(
            f"{config}: alpha_pattern: expected an object from patterns to numbers, got {patterns!r}; "
            "correct it or save the adapter again"
        ) from error
    if isinstance(alpha, int | float) and abs(alpha) < LARGEST:
        return float(alpha)
    raise InvalidInputError(
        f"{config}: lora_alpha: expected a number, got {repr(alpha)[:40]}; correct it, or save the "
        "adapter again"
    )
