"""What happens at the issuer of a logon when it ends here, and nobody's browser is there to be sent (S19).

security.federations.append(saml)                   # done by the faces of SAML and OIDC themselves
stays = await told(security.federations, logon)     # after an administrator has ended the logon here
stays = await told_each(security.federations, logons)
stays = await out_of_reach(security.federations, logons)    # before, for who is to confirm it
"""

import logging
from collections.abc import Iterable
from typing import Protocol

from holdfast.core.together import together
from holdfast.errors import HoldfastError
from holdfast.web.security import Logon

logger = logging.getLogger(__name__)


class Federation(Protocol):
    """One way by which logons come from elsewhere."""

    def knows(self, logon: Logon) -> bool:
        """Say whether a logon came this way."""
        ...

    async def reaches(self, logon: Logon) -> bool:
        """Say whether the issuer of such a logon can be told over the back channel, without its person's browser."""
        ...

    async def ended(self, logon: Logon) -> list[str]:
        """Tell the issuer, over the back channel, that a logon has ended here.

        Returns:
            The names of the systems that stay logged on as far as is known: none if the issuer has ended its own
            session and all that came of it.
        """
        ...


async def told(federations: Iterable[Federation], logon: Logon) -> list[str]:
    """Tell the issuer of a logon that it has ended here; return the names of the systems that stay logged on.

    What fails at the issuer is logged, and the issuer then counts as one that stays. A logon of our own has none.
    """
    for federation in federations:
        if federation.knows(logon):
            try:
                return await federation.ended(logon)
            except HoldfastError as exc:
                logger.warning("the issuer %s was not told of a logout: %s", logon.issuer, exc.code)
                return [logon.issuer]
    return [logon.issuer] if logon.issuer else []


async def told_each(federations: Iterable[Federation], logons: Iterable[Logon]) -> tuple[str, ...]:
    """Tell the issuers of several logons, many at once; return the names of the systems that stay logged on, sorted."""
    ways, stays = tuple(federations), set[str]()

    async def tell(logon: Logon) -> None:
        stays.update(await told(ways, logon))

    await together(tell, logons)
    return tuple(sorted(stays))


async def out_of_reach(federations: Iterable[Federation], logons: Iterable[Logon]) -> tuple[str, ...]:
    """Return the issuers of logons that cannot be told of their end, sorted: people stay logged on there."""
    ways, beyond = tuple(federations), set[str]()

    async def look(logon: Logon) -> None:
        way = next((one for one in ways if one.knows(logon)), None)
        if logon.issuer and (way is None or not await way.reaches(logon)):
            beyond.add(logon.issuer)

    await together(look, logons)
    return tuple(sorted(beyond))
