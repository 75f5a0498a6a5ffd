"""Why a flow cannot be run: findings, each with its place and a stable code.

| code | what is wrong |
|---|---|
| `file`, `yaml` | the file cannot be read; what stands in it is no YAML, or none that a flow may use |
| `key`, `value` | a key that is not known, a value that may not be there |
| `adapter`, `step`, `receiver` | there is none of that name |
| `auth`, `setting` | settings of a receiver that contradict each other, or that its adapter cannot work with |
| `expression`, `function` | no expression; a function that is not there |
"""

from holdfast.errors import ConfigurationError
from holdfast.flows.sessions.scopes import Finding

REMEDY = "Correct the flow where the message says."


class WrongFlow(ConfigurationError):
    """The flow cannot be run: `findings` are all that can be told at once."""

    code = "wrong_flow"
    default_hint = REMEDY

    def __init__(self, *findings: Finding) -> None:
        hint = findings[0].remedy if len(findings) == 1 else None
        super().__init__("\n".join(finding.placed for finding in findings), hint=hint)
        self.findings = findings


def wrong(code: str, place: str, text: str, remedy: str = REMEDY) -> WrongFlow:
    """Return the error of one finding."""
    return WrongFlow(Finding(code, text, remedy, place=place))
