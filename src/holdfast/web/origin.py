"""Whether a form was sent by a page of this site (R49, R58)."""

from typing import Final
from urllib.parse import urlsplit

from holdfast._asgi import Scope
from holdfast.errors import Forbidden
from holdfast.web.address import Proxies

SAME_SITE: Final = ("same-origin", "none")


def check_same_origin(scope: Scope, url: str) -> None:
    """Raise Forbidden if a page of another site has sent a form here (R49, R58)."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    parts = urlsplit(url)
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    theirs = origin not in (None, f"{parts.scheme}://{parts.netloc}") if site is None else site not in SAME_SITE
    if theirs:
        raise Forbidden("the form was sent by a page of another site", hint="Log out on a page of this site.")


def check_sender(scope: Scope, proxies: Proxies) -> None:
    """Raise Forbidden unless the request says that a page of this very site has sent it, as every browser does."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if not {b"origin", b"sec-fetch-site"} & headers.keys():
        raise Forbidden("the request does not say which page has sent it", hint="Send it from a page of this site.")
    check_same_origin(scope, f"{proxies.scheme_of(scope)}://{headers.get(b'host', '')}")
