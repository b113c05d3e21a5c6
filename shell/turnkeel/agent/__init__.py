"""How does a program become a supervised agent? `with Agent.from_environment() as agent: ...`, or `agent exec`."""

from turnkeel.agent.errors import AgentError, NoSession, NotInHand, UnsettledMessage
from turnkeel.agent.kit import Agent
from turnkeel.agent.message import Message
from turnkeel.agent.resuming import kept_resume
from turnkeel_adapters.sessions.container_attachments import OutputRefused
from turnkeel_adapters.sessions.container_resume import KeptResume, ResumeHandles
from turnkeel_adapters.sessions.container_side import ClaimLost, Routing
from turnkeel_adapters.sessions.providers import BadHandle
from turnkeel_core.login import LOGIN_REFUSED_EXIT as LOGIN_REFUSED

__all__ = [
    "LOGIN_REFUSED",
    "Agent",
    "AgentError",
    "BadHandle",
    "ClaimLost",
    "KeptResume",
    "Message",
    "NoSession",
    "NotInHand",
    "OutputRefused",
    "ResumeHandles",
    "Routing",
    "UnsettledMessage",
    "kept_resume",
]
