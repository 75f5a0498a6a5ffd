"""What a request's address says: its path below where an application is mounted, and its parameters, each once."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from holdfast._asgi import Scope
from holdfast.errors import BadInput

MOST_PARAMETERS: Final = 50
LONGEST_NUMBER: Final = 9
Query = Mapping[str, str]


def below(scope: Scope) -> str:
    """Return the path of a request below where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def query_of(scope: Scope) -> Query:
    """Return the parameters of a request.

    Raises:
        BadInput: There are more than 50, or one is there twice, and nobody could say which counts.
    """
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise BadInput(f"the address has more than {MOST_PARAMETERS} parameters") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise BadInput("the address has a parameter twice")
    return query


def number_in(query: Query, name: str) -> int | None:
    """Return a parameter that is a whole number, None if it is not there; raise BadInput if it is none."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > LONGEST_NUMBER:
        raise BadInput(f"{name} must be a whole number")
    return int(text)
