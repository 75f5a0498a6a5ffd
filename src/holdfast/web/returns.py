"""Where a browser may be sent after a logon or logout: to a page of this site, and nowhere else (S20, T31)."""

from typing import Final

from holdfast.errors import BadInput

MOST_CHARACTERS: Final = 2048
PRINTED: Final = frozenset(map(chr, range(0x21, 0x7F))) - {
    "\\"
}  # browsers take "\" for "/", and drop tabs and newlines


def local_path(address: str) -> str:
    """Return an address that leads to a page of the site that names it: a path, perhaps with a query.

    Raises:
        BadInput: It could lead a browser to another site, or is no address at all.
    """
    if not address.startswith("/") or address.startswith("//") or not PRINTED.issuperset(address):
        raise BadInput("the address to go on with is none of this site", hint="Name a path that begins with one slash.")
    if len(address) > MOST_CHARACTERS:
        raise BadInput(f"the address to go on with is longer than {MOST_CHARACTERS} characters")
    return address
