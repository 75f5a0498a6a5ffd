"""What a server's or a script's refusal means to the caller: one of our errors, without a word of an address."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from holdfast.errors import (
    BadInput,
    ConfigurationError,
    HoldfastError,
    LeaseLost,
    SessionConflict,
    SessionEnded,
    SessionExists,
    StoreUnavailable,
)

CODES: Final = {  # the driver has classes for these, and takes the codes off their texts
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}
IN_A_SCRIPT: Final = re.compile(r"-([A-Z]+) ")  # before Redis 7, a code stands in the middle of what the script says
NOT_NOW: Final = {
    "LOADING": "the server is still loading its data",
    "READONLY": "the server has become a replica",
    "CLUSTERDOWN": "the cluster is down",
    "MASTERDOWN": "the server has lost its primary",
    "MISCONF": "the server cannot write to its disk",
    "NOREPLICAS": "the server has too few replicas",
    "OOM": "the server is out of memory (maxmemory)",
    "TRYAGAIN": "the cluster is moving these keys",
    "MasterNotFoundError": "no Sentinel knows a primary",
    "TimeoutError": "the server takes no connection in time",
}
HINTS: Final = {"OOM": "Raise the server's maxmemory, or end sessions."}


def code_of(exc: Exception) -> str:
    """Return the code with which a server refuses a command, or the class of another fault."""
    name = type(exc).__name__
    words = str(exc)
    inside = IN_A_SCRIPT.search(words) if "user_script" in words else None
    first = inside[1] if inside is not None else words.partition(" ")[0]
    return CODES.get(name) or (first if first.isupper() else name)


def failure(exc: Exception) -> HoldfastError:
    """Return our error for a driver's. Only codes and names of classes are kept: the rest may have a secret in it."""
    if isinstance(exc, AuthenticationError | AuthorizationError | NoPermissionError):
        return ConfigurationError(
            "the server refuses this user, password or command", hint="Check user and password in the store's URL."
        )
    code = code_of(exc)
    return StoreUnavailable(f"redis: {NOT_NOW.get(code, code)}", hint=HINTS.get(code))


def _hex(key: bytes) -> str:
    return key.hex()[:8]


REFUSALS: Final[Mapping[bytes, Callable[..., HoldfastError]]] = {
    b"there": lambda key: SessionExists(f"node {_hex(key)} is there already"),
    b"taken": lambda: SessionExists("the id is taken"),
    b"new taken": lambda: SessionExists("the new id is taken"),
    b"root": lambda: BadInput("the tree of a root is its own key"),
    b"deep": lambda: BadInput("a tree is at most 6 nodes deep"),
    b"itself": lambda: BadInput("a node cannot hang below itself"),
    b"foreign": lambda: BadInput("a record written under a lease belongs to the lease's tree"),
    b"ended": lambda key: SessionEnded(f"node {_hex(key)} has ended, or one above it"),
    b"absent": lambda key: SessionEnded(f"node {_hex(key)} is gone"),
    b"gone": lambda key: SessionConflict(f"node {_hex(key)} is gone"),
    b"version": lambda key, stored, given: SessionConflict(f"node {_hex(key)} has version {stored}, not {given}"),
    b"twice": lambda: SessionConflict("one node is written twice in one step"),
    b"taken over": lambda key: LeaseLost(f"the lease on node {_hex(key)} was taken over"),
    b"lease": lambda key: LeaseLost(f"the lease on node {_hex(key)} was taken over, or the node is gone"),
}


def refused(answer: Sequence[Any]) -> HoldfastError:
    """Return the error that a script's refusal stands for."""
    return REFUSALS[answer[0]](*answer[1:])
