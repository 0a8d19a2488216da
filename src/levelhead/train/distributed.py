"""Several processes as one: who holds which prompts, and how gradients and numbers come together.

Started by `torchrun`, each process is a rank. A step's prompts are dealt out one by one, and a group
of rollouts stays on the rank that has its prompt; rewards are gathered so that an estimator which
looks at the whole batch sees the whole batch, and every normalizer counts the whole batch. So the
result is that of one process up to the order of additions.

The process group is PyTorch's own, joined from the environment that `torchrun` sets. A launcher that
sets none starts as many separate runs as it starts processes; `Ranks.join` refuses to take the
one for the other where it can tell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import os
from collections import OrderedDict
from collections.abc import Generator, Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from levelhead.errors import ConfigError, LevelheadError

__all__ = ["Ranks", "Sharding", "Weights", "shard", "whole"]

Sharding = Literal["none", "ddp", "fsdp"]

FOREIGN = (
    *("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"),
    *("PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
)
"""Where other launchers write how many processes they started. (SLURM_NTASKS would say how many a job may
start: it is set for the single process of a batch script too.)"""

TIMEOUT = datetime.timedelta(hours=1)
"""How long a process waits for the others: longer than anything that one of them does alone."""

SAMPLES = 64
"""Numbers of each weight by which ranks compare their models."""

HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Where a module keeps what runs before and after its forward pass."""

START = "start them with `torchrun --nproc-per-node N --no-python levelhead train ...`"


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among all of them.

    Attributes:
        rank: this process, from 0.
        world: how many there are.
        joined: whether `join` began the process group, so that `leave` ends it.
    """

    rank: int = 0
    world: int = 1
    joined: bool = False

    @classmethod
    def join(cls, device: torch.device) -> Ranks:
        """Join the processes that `torchrun` started; alone where it started none.

        Args:
            device: where tensors are; GPUs talk by NCCL, CPUs by gloo.

        Returns:
            Rank and number of processes.

        Raises:
            ConfigError: another launcher started several processes without telling PyTorch, which
                would be that many separate runs on the same output; or the processes do not meet.
        """
        if dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        if "WORLD_SIZE" not in os.environ:
            for name in FOREIGN:
                found = os.environ.get(name, "")
                if found.isdigit() and int(found) > 1:
                    raise ConfigError(
                        f"{name} says that {found} processes were started, but PyTorch was not told "
                        f"(WORLD_SIZE is not set), so each would train by itself; {START}"
                    )
            return cls()
        on_gpu = device.type == "cuda"
        try:
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                timeout=TIMEOUT,
                device_id=device if on_gpu else None,
            )
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes did not meet: {error}; "
                f"unset it for a run in one process, or {START}"
            ) from error
        return cls(dist.get_rank(), dist.get_world_size(), joined=True)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def gathered(self, value: Any) -> list[Any]:
        """One value from each rank, in their order; small Python objects and arrays."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with self._together():
            dist.all_gather_object(values, value)
        return values

    def agree(self, facts: Mapping[str, str]) -> None:
        """Refuse to go on where the ranks are not about to do the same.

        Args:
            facts: what must not differ, by what a person would call it; all ranks must call it.

        Raises:
            ConfigError: it differs; says what, and where.
        """
        found = self.gathered(dict(facts))
        names = sorted({name for other in found for name in other})
        differ = [n for n in names if any(other.get(n) != found[0].get(n) for other in found)]
        if differ:
            others = [str(rank) for rank, other in enumerate(found) if other != found[0]]
            raise ConfigError(
                f"expected the same {' and '.join(differ)} in all {self.world} processes, got another "
                f"in rank {', '.join(others)} than in rank 0; give all of them the same command, "
                "files and versions"
            )

    def added(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Sums over all ranks, in the order of the ranks."""
        total: dict[str, float] = {}
        for part in self.gathered(dict(sums)):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def wait(self) -> None:
        """Go on only when all ranks are here."""
        if self.world > 1:
            with self._together():
                dist.barrier()

    def leave(self) -> None:
        """End the process group, where `join` began it."""
        if self.joined and dist.is_initialized():
            dist.destroy_process_group()

    @contextlib.contextmanager
    def _together(self) -> Generator[None]:
        """What all ranks do at once; that one of them is gone becomes a sentence."""
        try:
            yield
        except RuntimeError as error:
            raise LevelheadError(
                f"rank {self.rank}: another of the {self.world} processes has ended or does not "
                "answer, and what it wrote says why; go on from the last checkpoint with --resume"
            ) from error


def shard(policy: nn.Module, sharding: Sharding, ranks: Ranks) -> nn.Module:
    """The module whose forward to call, so that gradients come together over the ranks.

    Args:
        policy: the whole model on its device; "fsdp" shards it in place, each decoder layer by itself.
        sharding: "ddp" keeps a copy per rank, "fsdp" a share of the weights, gradients and optimizer
            state; "none" leaves one process as it is.
        ranks: this process among all.

    Returns:
        What to call; gradients are means over the ranks.

    Raises:
        ConfigError: several processes without a sharding, a sharding without processes, or ranks
            with unlike models.
    """
    if sharding == "none":
        if ranks.world == 1:
            return policy
        raise ConfigError(
            f"compute.sharding: expected ddp or fsdp with {ranks.world} processes, got none"
        )
    if not dist.is_initialized():
        raise ConfigError(
            f"compute.sharding: expected several processes for {sharding}, got one that knows of no "
            f"others; {START}, or set it to none"
        )
    if ranks.world > 1:
        ranks.agree({"compute.sharding": sharding, "weights": _digest(policy)})
    if sharding == "ddp":
        return DistributedDataParallel(policy)
    for layer in _layers(policy):
        fully_shard(layer)
    head = getattr(policy, "value_head", None)
    if head is not None:  # float32 whatever the model is, and shards are of one type
        fully_shard(head)
    # Also the root, which by default waits for a backward pass; a frozen copy has none.
    fully_shard(policy, reshard_after_forward=True)
    return policy


def _digest(policy: nn.Module) -> str:
    """Of the names, shapes, types and some numbers of all weights."""
    digest = hashlib.sha256()
    for name, weight in policy.named_parameters():
        digest.update(
            f"{name} {tuple(weight.shape)} {weight.dtype} {weight.requires_grad};".encode()
        )
        flat = weight.detach().flatten()
        some = flat[:: max(1, flat.numel() // SAMPLES)]
        digest.update(some.float().cpu().numpy().tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights and optimizer states by name, whole, however they are sharded.

    Attributes:
        policy: the module that `shard` was given.
        optimizer: of its parameters.
    """

    policy: nn.Module
    optimizer: torch.optim.Optimizer

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(weights, optimizer state), on the CPU; all ranks must call it, the first one gets it."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return self.tensors(), get_optimizer_state_dict(
            self.policy, self.optimizer, options=options
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights of `state` alone; an optimizer has twice as much to gather."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights: Any = get_model_state_dict(self.policy, options=options)
        names: dict[nn.Parameter, str] = {}
        for name, parameter in self.policy.named_parameters(remove_duplicate=False):
            first = names.setdefault(parameter, name)
            if first != name and name in weights:  # gathered one by one, tied weights come apart
                weights[name] = weights[first]
        return weights

    def restore(self, weights: dict[str, torch.Tensor], optimizer: dict[str, Any]) -> None:
        """Put back what `state` returned; all ranks must call it with the same content."""
        options = StateDictOptions(full_state_dict=True)
        content: dict[str, Any] = dict(weights)
        set_model_state_dict(self.policy, content, options=options)
        set_optimizer_state_dict(self.policy, self.optimizer, optimizer, options=options)


@contextlib.contextmanager
def whole(policy: nn.Module) -> Generator[None]:
    """Inside the block sharded weights are whole on this rank, so that ranks may run apart.

    Ranks that generate texts make different numbers of forward passes; with weights that are
    gathered per pass the ranks would wait for each other forever. So the shards' hooks are off as
    well: they note the passes, and fetch ahead in the backward pass by what they noted.

    Args:
        policy: what `shard` was given; anything not sharded is left alone.

    Returns:
        A context manager without a value.
    """
    sharded = [module for module in policy.modules() if isinstance(module, FSDPModule)]
    hooks = [{name: vars(module)[name] for name in HOOKS} for module in sharded]
    for module in sharded:
        module.unshard()
        vars(module).update({name: OrderedDict() for name in HOOKS})
    try:
        yield
    finally:
        for module, before in zip(sharded, hooks, strict=True):
            vars(module).update(before)
            module.reshard()


def _layers(policy: nn.Module) -> list[nn.Module]:
    """The repeated blocks of the decoder: the longest list of modules that is in no other list."""
    lists: dict[str, nn.ModuleList] = {}
    for name, module in policy.named_modules():
        inside = any(name.startswith(f"{other}.") for other in lists)
        if isinstance(module, nn.ModuleList) and not inside:
            lists[name] = module
    return list(max(lists.values(), key=len)) if lists else []
