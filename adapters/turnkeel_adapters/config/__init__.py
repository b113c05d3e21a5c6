"""What did the operator decide, and what holds where nothing was said?"""

from turnkeel_adapters.config.explain import ConfigLine, explain_config
from turnkeel_adapters.config.ingress import IngressConfig
from turnkeel_adapters.config.load import ConfigFault, load_config
from turnkeel_adapters.config.records import AgentConfig, ContainerConfig, HostConfig
from turnkeel_adapters.config.zones import BadZone, load_zone, resolve_zone

__all__ = [
    "AgentConfig",
    "BadZone",
    "ConfigFault",
    "ConfigLine",
    "ContainerConfig",
    "HostConfig",
    "IngressConfig",
    "explain_config",
    "load_config",
    "load_zone",
    "resolve_zone",
]
