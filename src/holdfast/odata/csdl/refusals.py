"""How metadata is refused. `target` names the part of it that is wrong, as far as one was found.

* ODataError
  - BadMetadata            the document is no CSDL of OData 4, or contradicts itself
    . MetadataTooLarge     it is larger or deeper than is read here
    . WrongReference       an annotation names what is not there, or is not what it must be (O1, O20)
"""

from typing import ClassVar

from holdfast.odata.errors import ODataError


class BadMetadata(ODataError):
    """The document is no CSDL of OData 4, or contradicts itself."""

    code: ClassVar[str] = "bad_metadata"
    status = 502
    default_hint = "Ask whoever publishes the service; its $metadata must be CSDL 4.0 or 4.01."


class MetadataTooLarge(BadMetadata):
    """The document is larger or deeper than is read here."""

    code = "metadata_too_large"
    default_hint = "Raise the limit that the message names, if the service can be trusted."


class WrongReference(BadMetadata):
    """An annotation names what is not there, or is not what it must be (O1, O20)."""

    code = "wrong_reference"
    status = 500
    default_hint = "Correct the annotation's value, or the signature of what it names."
