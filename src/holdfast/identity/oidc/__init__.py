"""Logging on at an OpenID provider, and hearing from it that somebody has logged off. Speaks no HTTP.

party = RelyingParty(fetch, settings.oidc, clock=time.time)
asked = party.asks()                                          # kept with the browser's request
send the browser to await party.authorization_url(asked, state=state)
person = await party.takes(asked, code)                       # who has logged on, as the ID token says
gone = await party.logged_out(logout_token, once)             # who has logged off, as a logout token says
"""

from holdfast.identity.oidc.id_token import Person
from holdfast.identity.oidc.logout import LoggedOut
from holdfast.identity.oidc.party import RelyingParty
from holdfast.identity.oidc.request import Asked

__all__ = ["Asked", "LoggedOut", "Person", "RelyingParty"]
