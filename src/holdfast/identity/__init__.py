"""Who is it: tokens in, facts out. Speaks no HTTP: what it has to fetch goes through a callable that it is handed."""

from holdfast.identity.facts import Identity, InvalidToken, IssuerUnavailable, TokenVerifier

__all__ = ["Identity", "InvalidToken", "IssuerUnavailable", "TokenVerifier"]
