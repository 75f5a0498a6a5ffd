"""The object types the simulator implements, as data (ADT §9, §11, §13)."""

from typing import Final

import msgspec

MEDIA_PREFIX: Final = "application/vnd.sap.adt."
INCLUDE_CODES: Final = {"definitions": "CCDEF", "implementations": "CCIMP", "macros": "CCMAC", "testclasses": "CCAU"}


def _media(name: str, versions: tuple[int, ...]) -> tuple[str, ...]:
    return (*(f"{MEDIA_PREFIX}{name}.v{version}+xml" for version in versions), f"{MEDIA_PREFIX}{name}+xml")


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One object type. `media` lists the accepted metadata media types, newest first."""

    type: str
    title: str
    collection: str
    root: str
    namespace: str
    media: tuple[str, ...]
    lock_word: str
    """The inner resource that the 423 answer names (ADT §8.2)."""
    validation: str
    description_limit: int = 60
    includes: tuple[str, ...] = ()
    """Parts beside `main`. The test classes exist only once they were created."""

    @property
    def prefix(self) -> str:
        """The XML prefix of the metadata root."""
        return self.root.partition(":")[0]


CLASS: Final = Kind(
    type="CLAS/OC",
    title="Classes",
    collection="/sap/bc/adt/oo/classes",
    root="class:abapClass",
    namespace="http://www.sap.com/adt/oo/classes",
    media=_media("oo.classes", (4, 3, 2, 1)),
    lock_word="CLASS",
    validation="/sap/bc/adt/oo/validation/objectname",
    includes=tuple(INCLUDE_CODES),
)
INTERFACE: Final = Kind(
    type="INTF/OI",
    title="Interfaces",
    collection="/sap/bc/adt/oo/interfaces",
    root="intf:abapInterface",
    namespace="http://www.sap.com/adt/oo/interfaces",
    media=_media("oo.interfaces", (5, 4, 3, 2)),
    lock_word="INTERFACE",
    validation="/sap/bc/adt/oo/validation/objectname",
)
PROGRAM: Final = Kind(
    type="PROG/P",
    title="Programs",
    collection="/sap/bc/adt/programs/programs",
    root="program:abapProgram",
    namespace="http://www.sap.com/adt/programs/programs",
    media=_media("programs.programs", (3, 2)),
    lock_word="INCLUDE",
    validation="/sap/bc/adt/programs/validation",
    description_limit=70,
)
PACKAGE: Final = Kind(
    type="DEVC/K",
    title="Packages",
    collection="/sap/bc/adt/packages",
    root="pak:package",
    namespace="http://www.sap.com/adt/packages",
    media=_media("packages", (2, 1)),
    lock_word="PACKAGE",
    validation="/sap/bc/adt/packages/validation",
)

KINDS: Final = {kind.type: kind for kind in (CLASS, INTERFACE, PROGRAM, PACKAGE)}
SOURCE_KINDS: Final = (CLASS, INTERFACE, PROGRAM)


def skeleton(kind: Kind, name: str) -> dict[str, str]:
    """Return the sources an object has right after it was created: part name to text (ADT §11)."""
    low = name.lower()
    if kind is CLASS:
        main = (
            f"CLASS {low} DEFINITION\n  PUBLIC\n  FINAL\n  CREATE PUBLIC .\n\n  PUBLIC SECTION.\n  PROTECTED SECTION.\n"
            f"  PRIVATE SECTION.\nENDCLASS.\n\n\n\nCLASS {low} IMPLEMENTATION.\nENDCLASS."
        )
        return {"main": main} | dict(_CLASS_INCLUDES)
    if kind is INTERFACE:
        return {"main": f"INTERFACE {low}\n  PUBLIC .\n\nENDINTERFACE."}
    return {"main": ""}


_CLASS_INCLUDES: Final = {
    "definitions": '*"* use this source file for any type of declarations (class\n'
    '*"* definitions, interfaces or type declarations) you need for\n'
    '*"* components in the private section',
    "implementations": '*"* use this source file for the definition and implementation of\n'
    '*"* local helper classes, interface definitions and type\n*"* declarations',
    "macros": '*"* use this source file for any macro definitions you need\n'
    '*"* in the implementation part of the class',
}
TEST_INCLUDE_SKELETON: Final = '*"* use this source file for your ABAP unit test classes'
