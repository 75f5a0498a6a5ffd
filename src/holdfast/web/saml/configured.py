"""What `[saml]` says, as the parts it is made of."""

from pathlib import Path

from holdfast.config import SamlSettings
from holdfast.errors import ConfigurationError
from holdfast.identity.fetching import checked
from holdfast.identity.saml.parties import Credentials, ServiceProvider
from holdfast.identity.saml.people import People
from holdfast.web.saml.partner import Partner


def configured(settings: SamlSettings) -> tuple[ServiceProvider, Partner]:
    """Return what we are to the identity provider, and what is agreed with it.

    Raises:
        ConfigurationError: A setting is missing or contradicts another, or a file cannot be read.
    """
    for name in ("url", "key", "certificate", "metadata"):
        if not getattr(settings, name):
            raise ConfigurationError(f"saml.{name} is missing")
    return _service_provider(settings), _partner(settings)


def _service_provider(settings: SamlSettings) -> ServiceProvider:
    signing = _pairs(settings, "key", "certificate")
    decrypts = _pairs(settings, "encryption_key", "encryption_certificate")
    url = checked(settings.url, named="saml.url")
    return ServiceProvider(url, *signing, entity_id=settings.entity_id, decrypts=decrypts)


def _partner(settings: SamlSettings) -> Partner:
    place = settings.metadata
    return Partner(
        metadata=place if "://" in place else Path(place),
        entity_id=settings.issuer,
        vouched_by=_content(settings.vouched_by) if settings.vouched_by else b"",
        people=People(
            subject=settings.subject,
            name=settings.name,
            roles_in=settings.roles_in,
            roles=settings.roles,
            levels=settings.levels,
        ),
        signed=settings.signed,
        fresh=settings.fresh,
        name_format=settings.name_format,
        unsolicited=settings.unsolicited,
        logout=settings.logout,
    )


def _pairs(settings: SamlSettings, key: str, certificate: str) -> list[Credentials]:
    """Return the keys with their certificates, the present ones first and those before them then."""
    found = []
    for prefix in ("", "old_"):
        files = getattr(settings, prefix + key), getattr(settings, prefix + certificate)
        if (files[0] is None) != (files[1] is None):
            raise ConfigurationError(f"saml.{prefix}{key} and saml.{prefix}{certificate} belong together")
        if files[0] is not None:
            found.append(Credentials(*map(_content, files)))
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from exc
