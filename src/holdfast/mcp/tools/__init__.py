"""Holdfast's own tools."""

from holdfast.mcp.tools.abap import INSTRUCTIONS, abap_tools

__all__ = ["INSTRUCTIONS", "abap_tools"]
