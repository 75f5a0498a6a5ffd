"""An administrator of a site that runs elsewhere, over its HTTP API; see `holdfast.web.administration`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import httpx2
import msgspec

from holdfast.errors import BadInput, ConfigurationError, HoldfastError, NotFound, StoreUnavailable
from holdfast.identity.fetching import checked
from holdfast.web.administration.administrator import Ended, Page
from holdfast.web.security import Listed

TIMEOUT_S: Final = 60.0
T = TypeVar("T")


class RemoteAdministrator:
    """Does what `Administrator` does, by asking a site for it."""

    def __init__(self, client: httpx2.AsyncClient, *, local: bool = False) -> None:
        self._client, self._local = client, local

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, token: str, *, local: bool = False) -> AsyncIterator["RemoteAdministrator"]:
        """Reach the API at an address until the block ends; raise ConfigurationError if a token may not go there."""
        if not token:
            raise ConfigurationError("administrators have a token of their own", hint="Set HOLDFAST_ADMIN_TOKEN.")
        base = checked(url.rstrip("/"), named="--server")
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
            yield cls(client, local=local)

    async def page(self, *, user: str = "", application: str = "", after: str = "") -> Page:
        """Return a page of logons."""
        return await self._ask("GET", "/logons", Page, user=user, application=application, after=after)

    async def show(self, handle: str) -> Listed:
        """Return one logon."""
        return await self._ask("GET", f"/logons/{_in_path(handle)}", Listed)

    async def end(self, handle: str) -> Ended:
        """End one logon."""
        return await self._ask("DELETE", f"/logons/{_in_path(handle)}", Ended)

    async def end_user(self, principal: str) -> Ended:
        """End all logons of a principal."""
        return await self._ask("DELETE", "/logons", Ended, user=principal)

    async def end_application(self, application: str) -> Ended:
        """End all sessions of an application."""
        return await self._ask("DELETE", "/logons", Ended, application=application)

    async def end_all(self) -> Ended:
        """End all logons."""
        return await self._ask("DELETE", "/logons", Ended, all="yes")

    async def _ask(self, method: str, path: str, kind: type[T], **query: str) -> T:
        local = {"local": "yes"} if self._local and method == "DELETE" else {}
        given = {name: value for name, value in query.items() if value}
        try:
            answer = await self._client.request(method, path, params=given | local)
            if answer.status_code != 200:
                raise _error(answer)
            return msgspec.json.decode(answer.content, type=kind)
        except httpx2.HTTPError as exc:
            raise StoreUnavailable(f"the site does not answer: {type(exc).__name__}") from exc
        except msgspec.MsgspecError as exc:
            raise BadInput("what answers there is no administrator's API", hint="Check --server.") from exc


def _in_path(handle: str) -> str:
    if not handle.isalnum():
        raise NotFound("there is no such logon", hint="`holdfast logons list` shows those there are.")
    return handle


def _error(answer: httpx2.Response) -> HoldfastError:
    """Return the error that the site answered with."""
    try:
        said: Any = answer.json()["error"]
        text, hint = str(said["message"]), str(said["hint"])
    except (ValueError, KeyError, TypeError):
        return BadInput(f"the site answers {answer.status_code}", hint="Check --server.")
    return NotFound(text, hint=hint) if answer.status_code == 404 else BadInput(text, hint=hint)
