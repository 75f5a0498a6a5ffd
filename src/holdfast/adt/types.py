"""ABAP object types as data: one row each (A15). Adding a row adds the type to every operation.

Source of the facts: ADT §9 (URIs, media types, roots, name lengths), §10 (validation), §12 (parts of a class).
"""

import re
from typing import Final
from urllib.parse import quote

import msgspec

from holdfast.errors import BadInput

ADT: Final = "/sap/bc/adt"
MEDIA: Final = "application/vnd.sap.adt."
LONGEST_DESCRIPTION: Final = 60
NAME: Final = re.compile(r"(/[A-Z0-9_]{1,8}/)?[A-Z_%$][A-Z0-9_%$]*")
TYPE: Final = re.compile(r"[A-Z0-9]{4}(/[A-Z0-9]{1,4})?")
PACKAGE: Final = re.compile(r"\$?(/[A-Z0-9_]{1,8}/)?[A-Z0-9_$]+")


class ObjectType(msgspec.Struct, frozen=True, kw_only=True):
    """One object type.

    `word` is what handlers are called after (`lock_class`), `argument` the name of their own argument. `media` lists
    the metadata types we accept, newest first. `parts` are the sources beside `main` and their paths below the object.
    """

    type: str
    word: str
    title: str
    collection: str
    media: tuple[str, ...]
    root: str
    namespace: str
    validation: str
    validation_media: str = "application/vnd.sap.as+xml"
    longest_name: int = 30
    parts: tuple[str, ...] = ()

    @property
    def argument(self) -> str:
        """The handlers' own name of the object's name, such as `class_name`."""
        return f"{self.word}_name"

    def path(self, name: str) -> str:
        """Return the object's path, percent-encoded; names travel in lower case, as servers emit them."""
        return f"{self.collection}/{quote(name.lower(), safe='')}"

    def source_path(self, name: str, part: str = "main") -> str:
        """Return the path of one source of the object. Raises BadInput for a part this type does not have."""
        if part == "main":
            return f"{self.path(name)}/source/main"
        if part not in self.parts:
            listed = ", ".join(("main", *self.parts))
            raise BadInput(f"a {self.word} has no include {part!r}", hint=f"Use one of: {listed}.")
        return f"{self.path(name)}/includes/{part}"

    def checked_name(self, name: str) -> str:
        """Return the name in upper case. Raises BadInput that names the rule it breaks."""
        upper = name.strip().upper()
        if not upper:
            raise BadInput(f"{self.argument} is empty", hint="Give the object's name.")
        if len(upper) > self.longest_name:
            raise BadInput(
                f"{self.argument} has {len(upper)} characters; a {self.word} name has at most {self.longest_name}",
                hint="Shorten the name.",
            )
        if NAME.fullmatch(upper) is None:
            raise BadInput(
                f"{self.argument} {name!r} is not an ABAP name",
                hint="Begin with a letter and use letters, digits and _ only; a namespace stands in slashes before it.",
            )
        return upper


TYPES: Final = {
    row.type: row
    for row in (
        ObjectType(
            type="CLAS/OC",
            word="class",
            title="class",
            collection=f"{ADT}/oo/classes",
            media=tuple(f"{MEDIA}oo.classes.v{n}+xml" for n in (4, 3, 2, 1)),
            root="class:abapClass",
            namespace="http://www.sap.com/adt/oo/classes",
            validation=f"{ADT}/oo/validation/objectname",
            validation_media="application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.oo.clifname.check",
            parts=("definitions", "implementations", "macros", "testclasses"),
        ),
        ObjectType(
            type="INTF/OI",
            word="interface",
            title="interface",
            collection=f"{ADT}/oo/interfaces",
            media=tuple(f"{MEDIA}oo.interfaces.v{n}+xml" for n in (5, 4, 3, 2, 1)),
            root="intf:abapInterface",
            namespace="http://www.sap.com/adt/oo/interfaces",
            validation=f"{ADT}/oo/validation/objectname",
            validation_media="application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.oo.clifname.check",
        ),
        ObjectType(
            type="PROG/P",
            word="program",
            title="program",
            collection=f"{ADT}/programs/programs",
            media=tuple(f"{MEDIA}programs.programs.v{n}+xml" for n in (3, 2, 1)),
            root="program:abapProgram",
            namespace="http://www.sap.com/adt/programs/programs",
            validation=f"{ADT}/programs/validation",
        ),
    )
}
SHORT: Final = {row.type.partition("/")[0]: row for row in TYPES.values()}
WORDS: Final = {row.word: row for row in TYPES.values()}


def object_type(name: str) -> ObjectType:
    """Return the type named `CLAS/OC`, `CLAS` or `class`, in any case. Raises BadInput with the types there are."""
    found = TYPES.get(name.upper()) or SHORT.get(name.upper()) or WORDS.get(name.lower())
    if found is None:
        raise BadInput(f"there is no object type {name!r}", hint=f"Use one of: {', '.join(TYPES)}.")
    return found


# Types that can be searched for, whether or not we can edit them (ADT §9).
SEARCHED: Final = (
    *("BDEF", "CLAS", "DCLS", "DDLA", "DDLS", "DDLX", "DEVC", "DOMA", "DTEL", "ENQU"),
    *("FUGR", "INTF", "MSAG", "PROG", "SRVB", "SRVD", "TABL", "TRAN", "TTYP", "TYPE"),
)


def searched_type(name: str) -> str:
    """Return an object type to search for: one of ours by any of its names, or any other as SAP writes it."""
    known = SHORT.get(name.upper()) or WORDS.get(name.lower())
    if known is not None:
        return known.type
    if name.upper().partition("/")[0] not in SEARCHED or TYPE.fullmatch(name.upper()) is None:
        raise BadInput(f"{name!r} is not an object type", hint=f"Use one of: {', '.join(SEARCHED)}.")
    return name.upper()


def checked_package(name: str) -> str:
    """Return a package name in upper case, or raise BadInput."""
    upper = name.strip().upper()
    if len(upper) > 30 or PACKAGE.fullmatch(upper) is None:
        raise BadInput(f"package {name!r} is not a package name", hint="Use a name such as $TMP or ZMY_PACKAGE.")
    return upper


def checked_description(text: str) -> str:
    """Return a description that fits, or raise BadInput."""
    if len(text) > LONGEST_DESCRIPTION:
        raise BadInput(
            f"description has {len(text)} characters; at most {LONGEST_DESCRIPTION} are kept",
            hint="Shorten the description.",
        )
    return text
