"""Runs flows: messages go through steps and are called, split and gathered; sessions are the deployment's."""

from holdfast.flows.runtime.deployed import DeployedFlow, deployed
from holdfast.flows.runtime.failures import StepFailed
from holdfast.flows.runtime.message import Message
from holdfast.flows.runtime.receivers import Adapter, Credential, Patience
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
