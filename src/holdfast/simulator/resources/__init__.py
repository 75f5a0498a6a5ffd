"""The resources of ADT, in the order their URLs are tried: the busy ones first."""

from holdfast.simulator.profiles import Profile
from holdfast.simulator.resources import activation, catalogue, checks, deletion, identity, objects, transports
from holdfast.simulator.router import Resource

ADT = "/sap/bc/adt"


def routes(profile: Profile) -> list[tuple[str, Resource]]:
    """Return what this release has."""
    found = objects.routes(profile)
    found += activation.routes()
    found += checks.routes(profile)
    found += identity.routes(profile)
    found += catalogue.routes()
    found += transports.routes()
    if profile.deletion_service:
        found += deletion.routes()
    return [(ADT + path if not path.startswith("/sap/") else path, resource) for path, resource in found]
