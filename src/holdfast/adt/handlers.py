"""The handlers of the source, blocking: `from holdfast.adt.handlers import *` runs its example as it stands (A12).

The same as in `holdfast.adt.aio`, where they are documented; each waits for its answer. They may be called from
anywhere, a running event loop and a notebook included: the work is done in a thread of our own.
"""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from holdfast.adt import aio
from holdfast.adt.runtime import runtime
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    BadInput,
    HoldfastError,
    LockLostError,
    LogonFailed,
    NotFound,
    ObjectChanged,
    ObjectLocked,
    QuotaExceeded,
    SessionExpiredError,
)

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(handler: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a handler that waits for its answer."""

    @functools.wraps(handler)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        return runtime.block(lambda: handler(*args, **kwargs))

    return wait


get_session = _blocking(aio.get_session)
list_sessions = _blocking(aio.list_sessions)
list_locks = _blocking(aio.list_locks)
close_session = _blocking(aio.close_session)
resume_update = _blocking(aio.resume_update)
list_drafts = _blocking(aio.list_drafts)
discard_draft = _blocking(aio.discard_draft)
search_objects = _blocking(aio.search_objects)
inactive_objects = _blocking(aio.inactive_objects)

validate_class = _blocking(aio.validate_class)
create_class = _blocking(aio.create_class)
read_class = _blocking(aio.read_class)
lock_class = _blocking(aio.lock_class)
update_class = _blocking(aio.update_class)
check_class = _blocking(aio.check_class)
unlock_class = _blocking(aio.unlock_class)
activate_class = _blocking(aio.activate_class)
delete_class = _blocking(aio.delete_class)

validate_interface = _blocking(aio.validate_interface)
create_interface = _blocking(aio.create_interface)
read_interface = _blocking(aio.read_interface)
lock_interface = _blocking(aio.lock_interface)
update_interface = _blocking(aio.update_interface)
check_interface = _blocking(aio.check_interface)
unlock_interface = _blocking(aio.unlock_interface)
activate_interface = _blocking(aio.activate_interface)
delete_interface = _blocking(aio.delete_interface)

validate_program = _blocking(aio.validate_program)
create_program = _blocking(aio.create_program)
read_program = _blocking(aio.read_program)
lock_program = _blocking(aio.lock_program)
update_program = _blocking(aio.update_program)
check_program = _blocking(aio.check_program)
unlock_program = _blocking(aio.unlock_program)
activate_program = _blocking(aio.activate_program)
delete_program = _blocking(aio.delete_program)

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "BadInput",
    "HoldfastError",
    "LockLostError",
    "LogonFailed",
    "NotFound",
    "ObjectChanged",
    "ObjectLocked",
    "QuotaExceeded",
    "SessionExpiredError",
    "activate_class",
    "activate_interface",
    "activate_program",
    "check_class",
    "check_interface",
    "check_program",
    "close_session",
    "create_class",
    "create_interface",
    "create_program",
    "delete_class",
    "delete_interface",
    "delete_program",
    "discard_draft",
    "get_session",
    "inactive_objects",
    "list_drafts",
    "list_locks",
    "list_sessions",
    "lock_class",
    "lock_interface",
    "lock_program",
    "read_class",
    "read_interface",
    "read_program",
    "resume_update",
    "search_objects",
    "unlock_class",
    "unlock_interface",
    "unlock_program",
    "update_class",
    "update_interface",
    "update_program",
    "validate_class",
    "validate_interface",
    "validate_program",
]
