"""Logging on and off at a SAML 2.0 identity provider: one small application, to be mounted anywhere (S7, S8).

saml = Saml(security)                              # as [saml] says; or all of it here, and several identity providers:
sp = ServiceProvider("https://site.example/saml", Credentials.read("sp.key", "sp.crt"))
saml = Saml(security, sp, Partner(metadata=Path("idp.xml")))
routes = [Mount("/saml", saml), …]
SessionMiddleware(app, security, application="shop", logon_path="/saml/logon")
"""

from holdfast.errors import ConfigurationError

try:
    import signxml as _signxml  # noqa: F401
except ImportError as exc:
    raise ConfigurationError("signxml is not installed", hint="pip install 'holdfast[saml]'") from exc

from holdfast.identity.saml.parties import Credentials, ServiceProvider
from holdfast.identity.saml.people import People
from holdfast.web.saml.application import Saml
from holdfast.web.saml.partner import Partner

__all__ = ["Credentials", "Partner", "People", "Saml", "ServiceProvider"]
