"""What a server's or a script's refusal means to the caller: one of our errors, without a word of an address."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, OutOfMemoryError

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

NOT_NOW: Final = {
    "BusyLoadingError": "the server is still loading its data",
    "ReadOnlyError": "the server has become a replica",
    "ClusterDownError": "the cluster is down",
    "MasterDownError": "the server has lost its primary",
    "TryAgainError": "the cluster is moving these keys",
    "MasterNotFoundError": "no Sentinel knows a primary",
    "TimeoutError": "the server takes no connection in time",
}


def failure(exc: Exception) -> HoldfastError:
    """Return our error for a driver's. Only names of classes and codes of the server are kept."""
    name = type(exc).__name__
    if isinstance(exc, OutOfMemoryError):
        return StoreUnavailable("the server is out of memory", hint="Raise the server's maxmemory, or end sessions.")
    if isinstance(exc, AuthenticationError | AuthorizationError | NoPermissionError) or "invalid username" in str(exc):
        return ConfigurationError(
            "the server refuses this user, password or command", hint="Check user and password in the store's URL."
        )
    code = str(exc).partition(" ")[0]
    if code == "LOADING":
        name = "BusyLoadingError"
    return StoreUnavailable(f"redis: {NOT_NOW.get(name) or (code if code.isupper() else name)}")


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
