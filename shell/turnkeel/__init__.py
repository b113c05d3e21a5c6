"""A small host that supervises AI agents in containers and can say why it did what it did."""

__version__ = "0.1.0"
