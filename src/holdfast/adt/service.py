"""The ABAP service: what the handlers and the MCP tools call. Answers are plain mappings, errors are typed.

Findings about an object (a name that is taken, syntax errors, a refused activation) are answers with `success` false
and `messages`; errors are for calls that could not be carried out.
"""

from holdfast.adt.reads import LOCAL_PACKAGE, Reads
from holdfast.adt.resumes import Resumes
from holdfast.adt.sessions import State

__all__ = ["LOCAL_PACKAGE", "Abap", "State"]


class Abap(Reads, Resumes):
    """The ABAP face over one engine: sessions, reading, writing, drafts. `embedded.open_abap` makes one."""
