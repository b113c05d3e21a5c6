"""Which server does the configuration's `[ingress]` ask for?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from turnkeel_adapters.channels.opening import ExtraMissing

if TYPE_CHECKING:  # a host without an ingress pays for no HTTP server, and needs none
    from turnkeel.ingress.ports import IngressPorts
    from turnkeel.ingress.server import IngressServer
    from turnkeel_adapters.config.ingress import IngressConfig


def open_ingress(
    config: "IngressConfig | None", ports: "IngressPorts", environ: Mapping[str, str]
) -> "IngressServer | None":
    """A server that has its address already, or None without the table.

    ExtraMissing, SecretUnusable, IngressUnavailable: then the host must not start, since senders would wait in vain.
    """
    if config is None:
        return None
    try:
        from turnkeel.ingress.server import IngressServer
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"ingress: needs {error.name}; install turnkeel[web]") from error
    server = IngressServer(config, ports, environ)
    server.bind()
    return server
