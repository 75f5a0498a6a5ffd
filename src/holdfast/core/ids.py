"""Session ids: made, measured, checked for form before any store is asked (E1-E4)."""

import hashlib
import math
import re
import secrets
import string
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from holdfast.core.model import KEY_BYTES
from holdfast.errors import ConfigurationError

LEAST_BITS: Final = 128
DRAWS: Final = 10_000
MARK_CHARACTERS: Final = 8
BEGUN_BYTES: Final = 6
NEVER_MS: Final = 2 ** (8 * BEGUN_BYTES) - 1
ALPHABETS: Final = {
    "base64url": string.ascii_letters + string.digits + "-_",
    "alnum": string.ascii_uppercase + string.digits,
}
LENIENT: Final = re.compile(r"[\x21-\x7e]{1,256}")
URL_SAFE: Final = re.compile(r"[A-Za-z0-9._~-]+")


def alias_of(session_id: str) -> bytes:
    """Return the SHA-256 of an id: the only form in which a store ever sees it (E4)."""
    return hashlib.sha256(session_id.encode()).digest()


def mark_of(session_id: str) -> str:
    """Return what logs and lists show of an id: its first 8 characters (E4)."""
    return session_id[:MARK_CHARACTERS]


def new_key(begins_at: float | None = None) -> bytes:
    """Return a fresh internal key of a node: 10 random bytes, and the millisecond at which a tree with it begins.

    Without an instant that is the end of time: what it names began before no instant that anybody could mean.
    """
    begins = NEVER_MS if begins_at is None else int(begins_at * 1000)
    return secrets.token_bytes(KEY_BYTES - BEGUN_BYTES) + begins.to_bytes(BEGUN_BYTES, "big")


def begun_ms(tree: bytes) -> int:
    """Return when a tree began, as its key says: Unix milliseconds."""
    return int.from_bytes(tree[-BEGUN_BYTES:], "big")


def entropy_bits(draws: list[str]) -> float:
    """Estimate the bits of a generator from the length and the symbols seen at each place; the worst draw counts."""
    shortest = min(len(draw) for draw in draws)
    return sum(math.log2(len({draw[place] for draw in draws})) for place in range(shortest))


class Ids(msgspec.Struct, frozen=True):
    """How ids are made and which form one from outside must have."""

    generate: Callable[[], str]
    bits: float
    pattern: re.Pattern[str]
    warnings: tuple[str, ...] = ()

    def well_formed(self, session_id: str) -> bool:
        """Say whether an id from outside may be looked up at all."""
        return self.pattern.fullmatch(session_id) is not None


def make_ids(
    *,
    id_format: Literal["base64url", "alnum"] = "base64url",
    id_bits: int = 256,
    generator: Callable[[], str] | None = None,
    id_pattern: str | None = None,
    validation: Literal["strict", "lenient"] = "strict",
) -> Ids:
    """Return the id maker for these settings.

    `base64url` ids of 256 bits have 43 symbols. `alnum` ids have 32 symbols of A-Z and 0-9, drawn uniformly: 165.4
    bits whatever `id_bits` says, as long as that asks for no more. A custom `generator` is drawn 10,000 times: the
    form must be URL-safe, nothing may repeat, and fewer than 128 estimated bits are a warning (an error when strict).

    Raises:
        ConfigurationError: Fewer than 128 bits, or a generator that repeats itself or draws unusable symbols.
    """
    if generator is not None:
        return _measured(generator, id_pattern, validation)
    alphabet = ALPHABETS[id_format]
    if id_bits < LEAST_BITS:
        raise ConfigurationError(f"id_bits={id_bits} is less than the least of {LEAST_BITS}")
    length = 32 if id_format == "alnum" else math.ceil(id_bits / math.log2(len(alphabet)))
    bits = length * math.log2(len(alphabet))
    if id_format == "alnum" and id_bits not in range(LEAST_BITS, 166) and id_bits != 256:
        raise ConfigurationError(f'id_format="alnum" has 165 bits; id_bits={id_bits} cannot be had')
    form = rf"[{re.escape(alphabet)}]{{{length}}}"
    pattern = LENIENT if validation == "lenient" else re.compile(form)
    if id_format == "base64url":
        return Ids(lambda: secrets.token_urlsafe(math.ceil(bits / 8))[:length], bits, pattern)
    return Ids(lambda: "".join(secrets.choice(alphabet) for _ in range(length)), bits, pattern)


def _measured(generator: Callable[[], str], id_pattern: str | None, validation: str) -> Ids:
    draws = [generator() for _ in range(DRAWS)]
    bad = next((draw for draw in draws if URL_SAFE.fullmatch(draw) is None or len(draw) > 256), None)
    if bad is not None:
        raise ConfigurationError("the id generator drew an id that is empty, too long, or not of URL-safe symbols")
    if len(set(draws)) < DRAWS:
        raise ConfigurationError(f"the id generator repeated itself within {DRAWS} draws")
    bits = entropy_bits(draws)
    warnings: tuple[str, ...] = ()
    if bits < LEAST_BITS:
        warning = f"the id generator has about {bits:.0f} bits of entropy; at least {LEAST_BITS} are needed"
        if validation == "strict":
            raise ConfigurationError(warning, hint='Draw more random symbols, or set validation="lenient".')
        warnings = (warning,)
    if validation == "lenient":
        return Ids(generator, bits, LENIENT, warnings)
    return Ids(generator, bits, re.compile(id_pattern or _form_of(draws)), warnings)


def _form_of(draws: list[str]) -> str:
    symbols = "".join(sorted({symbol for draw in draws for symbol in draw}))
    lengths = [len(draw) for draw in draws]
    return rf"[{re.escape(symbols)}]{{{min(lengths)},{max(lengths)}}}"
