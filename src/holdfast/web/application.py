"""What an application has chosen for its sessions."""

from collections.abc import Collection

import msgspec

from holdfast.web.binding import Bindings
from holdfast.web.cookies import Cookie
from holdfast.web.session_data import PREFIX, OnConflict


class Paths:
    """Some paths: those that are named, and all below those whose name ends with `/`."""

    def __init__(self, paths: Collection[str] = ()) -> None:
        self._paths = frozenset(paths)
        self._folders = tuple(path for path in paths if path.endswith("/"))

    def __contains__(self, path: str) -> bool:
        """Say whether a path is one of them."""
        return path in self._paths or (bool(self._folders) and path.startswith(self._folders))


class Application(msgspec.Struct, frozen=True):
    """What an application has chosen for its sessions; see `SessionMiddleware`."""

    name: str
    cookie: Cookie
    keeps: Collection[str] = frozenset()
    on_conflict: OnConflict | None = None
    binding: Bindings = Bindings()
    background: Paths = Paths()  # whose requests are no activity

    def survives(self, name: str) -> bool:
        """Say whether something in a visitor's session is kept at a logon."""
        return not name.startswith(PREFIX) or name.removeprefix(PREFIX) in self.keeps
