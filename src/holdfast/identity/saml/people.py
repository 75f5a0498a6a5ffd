"""Who somebody is here, from what an identity provider asserts of them: name, roles, strength of the logon."""

from collections.abc import Mapping

import msgspec

from holdfast.identity.saml.refusals import SamlBadAssertion
from holdfast.identity.saml.responses import Asserted


class People(msgspec.Struct, frozen=True, kw_only=True):
    """How assertions of one identity provider are read.

    Args:
        subject: The attribute that names a person for good; the `NameID` if empty, which has to be one that stays.
        name: The attribute with what to call them on a page.
        roles_in: The attribute with their roles or groups.
        roles: What these are called here; those that are not named count for nothing. Empty: as they are.
        levels: How strong a logon is, by its `AuthnContextClassRef`; 1 for one that is not named.
    """

    subject: str = ""
    name: str = ""
    roles_in: str = ""
    roles: Mapping[str, str] = {}
    levels: Mapping[str, int] = {}

    def subject_of(self, asserted: Asserted) -> str:
        """Return the name under which somebody's sessions are kept.

        Raises:
            SamlBadAssertion: The attribute is not there, or has several values.
        """
        if not self.subject:
            return asserted.name_id.value
        values = asserted.attributes.get(self.subject, ())
        if len(values) != 1 or not values[0]:
            raise SamlBadAssertion(f"the assertion has {len(values)} values of the attribute that names people")
        return values[0]

    def name_of(self, asserted: Asserted) -> str:
        """Return what to call somebody."""
        return next(iter(asserted.attributes.get(self.name, ())), "")

    def roles_of(self, asserted: Asserted) -> tuple[str, ...]:
        """Return somebody's roles here."""
        said = asserted.attributes.get(self.roles_in, ()) if self.roles_in else ()
        return tuple(dict.fromkeys(self.roles[role] for role in said if role in self.roles) if self.roles else said)

    def level_of(self, asserted: Asserted) -> int:
        """Return how strongly somebody proved who they are."""
        return self.levels.get(asserted.context, 1)
