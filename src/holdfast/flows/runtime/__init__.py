"""Runs flows: messages go through steps and are called, split and gathered; sessions are the deployment's."""

from holdfast.flows.adapters import Adapter, Credential
from holdfast.flows.failures import StepFailed
from holdfast.flows.message import Message
from holdfast.flows.runtime.deployed import DeployedFlow, deployed
from holdfast.flows.runtime.receivers import Patience
from holdfast.flows.runtime.steps import Counted, StepEnded

__all__ = [
    "Adapter",
    "Counted",
    "Credential",
    "DeployedFlow",
    "Message",
    "Patience",
    "StepEnded",
    "StepFailed",
    "deployed",
]
