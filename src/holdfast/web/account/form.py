"""What a form of these pages sends: a few short fields, each once."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from holdfast._asgi import Receive, Scope, header
from holdfast.errors import BadInput
from holdfast.web.body import read_body

MOST_BYTES: Final = 16 * 1024
MOST_FIELDS: Final = 20
URLENCODED: Final = b"application/x-www-form-urlencoded"
Form = Mapping[str, str]


async def read_form(scope: Scope, receive: Receive) -> Form:
    """Return the fields of a form.

    Raises:
        BadInput: It is none, has too many fields, or one of them twice.
        BodyTooLarge: It is too long.
    """
    kind = header(scope, b"content-type")
    body = await read_body(receive, MOST_BYTES)
    if body and kind.partition(b";")[0].strip().lower() != URLENCODED:
        raise BadInput("that is no form")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise BadInput("that is no form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadInput("a field of the form came twice")
    return form
