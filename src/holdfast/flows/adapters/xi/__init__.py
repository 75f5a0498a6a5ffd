"""The adapter `xi`: messages of SAP's XI protocol 3.0, as integration engines take them at `/sap/xi/engine`."""

from holdfast.flows.adapters.xi.adapter import Xi, XiAdapter

__all__ = ["Xi", "XiAdapter"]
