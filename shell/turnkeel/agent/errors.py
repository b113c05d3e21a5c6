"""What did the program do wrong as an agent, and what should it do instead?"""


class AgentError(Exception):
    """The agent kit was used, or started, in a way that cannot work; the text says what to do."""


class NoSession(AgentError):
    """There is no session folder where the environment points."""


class UnsettledMessage(AgentError):
    """The next message was asked for while one is in hand: answer it, or call `done` or `fail` for it first."""


class NotInHand(AgentError):
    """A message was settled that is not, or no longer, in hand."""
