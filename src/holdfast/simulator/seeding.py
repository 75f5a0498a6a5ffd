"""The demo objects a fresh system holds: packages `$TMP` and `ZHOLDFAST_DEMO`, read from the folder `seed`.

File names say what a file is, as abapGit writes them: `zcl_a.clas.abap`, `zcl_a.clas.testclasses.abap`,
`zif_a.intf.abap`, `z_report.prog.abap`. The first line of a main source is a comment that holds the description.
"""

from importlib.resources import files
from typing import Final

from holdfast.simulator.kinds import CLASS, INTERFACE, PACKAGE, PROGRAM, Kind
from holdfast.simulator.profiles import Profile
from holdfast.simulator.repository import Repository, WorkbenchObject

DEMO_PACKAGE: Final = "ZHOLDFAST_DEMO"
PACKAGES: Final = {"$TMP": "Temporary Objects (never transported!)", DEMO_PACKAGE: "Holdfast demo: a small order desk"}
EXTENSIONS: Final = {"intf": INTERFACE, "clas": CLASS, "prog": PROGRAM}
OWNER: Final = "DEVELOPER"


def plant(repository: Repository, profile: Profile, now: float) -> None:
    """Create the demo packages and objects, active."""
    for name, description in PACKAGES.items():
        repository.create(_new(PACKAGE, name, description, "", now), now)
    for (kind, name), sources in _read_seed().items():
        if kind is PROGRAM and not profile.programs:
            continue
        description = sources["main"].partition("\n")[0].lstrip('*"& ')
        target = repository.create(_new(kind, name, description, DEMO_PACKAGE, now), now)
        if "testclasses" in sources:
            repository.add_test_include(target, OWNER, now)
        for part, source in sources.items():
            repository.write(target, part, source, user=OWNER, now=now)
        repository.activate([target], user=OWNER, now=now)


def _new(kind: Kind, name: str, description: str, package: str, now: float) -> WorkbenchObject:
    return WorkbenchObject(
        type=kind.type, name=name, description=description, package=package, responsible=OWNER, created_at=now
    )


def _read_seed() -> dict[tuple[Kind, str], dict[str, str]]:
    found: dict[tuple[Kind, str], dict[str, str]] = {}
    entries = sorted(files("holdfast.simulator").joinpath("seed").iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        name, _, rest = entry.name.removesuffix(".abap").partition(".")
        extension, _, part = rest.partition(".")
        if extension in EXTENSIONS:
            sources = found.setdefault((EXTENSIONS[extension], name.upper()), {})
            sources[part or "main"] = entry.read_text("utf-8")
    return found
