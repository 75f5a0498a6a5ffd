"""ABAP development over HTTP: object types, wire format, locks that are always released, and the handlers."""
