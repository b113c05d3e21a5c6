"""How does an agent run in a container of Docker or Podman?"""

from turnkeel_adapters.runners.oci.argv import Place, compose_run, name_container
from turnkeel_adapters.runners.oci.doctor import Finding, examine
from turnkeel_adapters.runners.oci.errors import RuntimeDown, RuntimeUnavailable
from turnkeel_adapters.runners.oci.runner import ContainerRunner
from turnkeel_adapters.runners.oci.settings import ContainerSettings, RuntimeLimits

__all__ = [
    "ContainerRunner",
    "ContainerSettings",
    "Finding",
    "Place",
    "RuntimeDown",
    "RuntimeLimits",
    "RuntimeUnavailable",
    "compose_run",
    "examine",
    "name_container",
]
