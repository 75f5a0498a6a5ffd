"""Whether a form was sent by a page of this site (R49, R58)."""

from typing import Final
from urllib.parse import urlsplit

from holdfast._asgi import Scope
from holdfast.errors import Forbidden

SAME_SITE: Final = ("same-origin", "none")


def check_same_origin(scope: Scope, url: str) -> None:
    """Raise Forbidden if a page of another site has sent a form here (R49, R58)."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    parts = urlsplit(url)
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    theirs = origin not in (None, f"{parts.scheme}://{parts.netloc}") if site is None else site not in SAME_SITE
    if theirs:
        raise Forbidden("the form was sent by a page of another site", hint="Log out on a page of this site.")
