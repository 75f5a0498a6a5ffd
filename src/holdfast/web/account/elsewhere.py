"""Another way to log on, which the logon page offers: where it begins, and where it ends."""

from urllib.parse import quote

import msgspec

from holdfast.web.federation import Federation
from holdfast.web.returns import local_path
from holdfast.web.security import Logon


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """A provider at which people log on, as `Oidc` and `Saml` mount it at this site.

    Args:
        title: What the provider is called.
        logon: The path that sends a browser there.
        logout: The path that logs off here and there; empty: this site's own page logs off here alone.
        federation: Says which logons came from there.
    """

    title: str
    logon: str
    logout: str = ""
    federation: Federation | None = None

    def __post_init__(self) -> None:
        """Raise BadInput if a path is none of this site."""
        for path in filter(None, (self.logon, self.logout)):
            local_path(path)

    def way(self, to: str, *, level: int = 1, anew: bool = False) -> str:
        """Return the address that begins a logon, anew and of a level if need be, and leads back `to` a page."""
        more = f"&level={level}" if level > 1 else ""
        return f"{self.logon}?next={quote(to, safe='')}{'&anew=1' if anew else ''}{more}"

    def ends(self, logon: Logon) -> bool:
        """Say whether a logon is ended at the provider's own path."""
        return bool(self.logout) and self.federation is not None and self.federation.knows(logon)
