"""The definition of a flow: types, YAML with lines, expressions, and the check that it can be run."""

from holdfast.flows.model.check import check, check_functions, steps_of
from holdfast.flows.model.flow import Flow, Step, json_schema
from holdfast.flows.model.read import Definition, load_flow, read_flow
from holdfast.flows.model.source import Source
from holdfast.flows.model.wrong import WrongFlow

__all__ = [
    "Definition",
    "Flow",
    "Source",
    "Step",
    "WrongFlow",
    "check",
    "check_functions",
    "json_schema",
    "load_flow",
    "read_flow",
    "steps_of",
]
