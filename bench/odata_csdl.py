"""How long our client takes to parse `$metadata` of 500 entity types (spec 2: at most 300 ms), and to write it.

python bench/odata_csdl.py [TYPES]

Each type has 20 properties with a label, a table of 12 columns, two navigation properties, and an entity set with the
actions and the annotation of a sticky one: about 95 elements each, as in large services of SAP. Prints one JSON line
per step: the best and the median of 7 runs and the processor's time of the best, in ms.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

from holdfast.odata import csdl
from holdfast.odata.csdl import (
    Action,
    EntitySet,
    EntityType,
    Include,
    NavigationProperty,
    Parameter,
    Property,
    ReturnType,
)
from holdfast.odata.vocabulary import TERM, sticky_sets

RUNS = 7
LABEL = "com.sap.vocabularies.Common.v1.Label"
TABLE = "com.sap.vocabularies.UI.v1.LineItem"
REFERENCES = (
    csdl.Reference(uri="common.xml", includes=(Include("com.sap.vocabularies.Common.v1", "Common"),)),
    csdl.Reference(uri="ui.xml", includes=(Include("com.sap.vocabularies.UI.v1", "UI"),)),
    csdl.Reference(uri="session.xml", includes=(Include("com.sap.vocabularies.Session.v1", "Session"),)),
)
KINDS = ("Edm.String", "Edm.Decimal", "Edm.Date", "Edm.Int32", "Edm.Boolean")


def entity_type(number: int) -> EntityType:
    """Return a type as a business application has it."""
    properties = [
        Property(
            f"Field{count}",
            type=KINDS[count % len(KINDS)],
            nullable=count > 0,
            max_length=40 if count % len(KINDS) == 0 else None,
            annotations={LABEL: f"Field {count} of {number}"},
        )
        for count in range(20)
    ]
    navigation = [
        NavigationProperty("Parent", type=f"Demo.Type{number}", nullable=True, partner="Children"),
        NavigationProperty("Children", type=f"Demo.Type{number}", collection=True, partner="Parent"),
    ]
    return EntityType(
        f"Type{number}",
        key={"Field0": "Field0"},
        properties=csdl.by_name(*properties),
        navigation=csdl.by_name(*navigation),
        annotations={TABLE: [{"Value": {"$Path": f"Field{count}"}} for count in range(12)]},
    )


def action(name: str, to: str, *, collection: bool = False) -> Action:
    """Return an action of the choreography."""
    it = Parameter("it", type=to, collection=collection)
    return Action(name, is_bound=True, entity_set_path="it", parameters=(it,), returns=ReturnType(type=to))


def service(types: int) -> csdl.Model:
    """Return the model of a service."""
    names = [f"Demo.Type{number}" for number in range(types)]
    sets = [
        EntitySet(f"Set{number}", type=name, bindings={"Parent": f"Set{number}", "Children": f"Set{number}"})
        for number, name in enumerate(names)
    ]
    sticky = {"NewAction": "Demo.New", "EditAction": "Demo.Edit", "SaveAction": "Demo.Save", "DiscardAction": "Discard"}
    schema = csdl.Schema(
        namespace="Demo",
        types=csdl.by_name(*map(entity_type, range(types))),
        operations={
            "New": tuple(action("New", name, collection=True) for name in names),
            "Edit": tuple(action("Edit", name) for name in names),
            "Save": tuple(action("Save", name) for name in names),
            "Discard": (Action("Discard"),),
        },
        container=csdl.EntityContainer(
            "Container",
            entity_sets=csdl.by_name(*sets),
            action_imports=csdl.by_name(csdl.ActionImport("Discard", action="Demo.Discard")),
        ),
        targets={f"Demo.Container/{each.name}": {TERM: sticky} for each in sets},
    )
    return csdl.Model(schemas={"Demo": schema}, references=REFERENCES, container_name="Demo.Container")


def measure(step: str, run: Callable[[], object], **told: object) -> None:
    """Print how long a step takes."""
    took, worked = [], []
    for _ in range(RUNS):
        begun, at_work = time.perf_counter(), time.process_time()
        run()
        took.append((time.perf_counter() - begun) * 1000)
        worked.append((time.process_time() - at_work) * 1000)
    figures = {"best_ms": min(took), "median_ms": statistics.median(took), "processor_ms": min(worked)}
    print(json.dumps({"step": step} | {name: round(each, 1) for name, each in figures.items()} | told), flush=True)


def main() -> None:
    """Measure each step on one document."""
    types = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    model = service(types)
    xml, text = csdl.write_xml(model), csdl.write_json(model)
    assert len(sticky_sets(csdl.read_xml(xml), strict=True)) == types
    measure("read XML", lambda: csdl.read_xml(xml), bytes=len(xml), types=types)
    measure("find the sticky sets", lambda: sticky_sets(model))
    measure("read JSON", lambda: csdl.read_json(text), bytes=len(text), types=types)
    measure("write XML", lambda: csdl.write_xml(model))
    measure("write JSON", lambda: csdl.write_json(model))


if __name__ == "__main__":
    main()
