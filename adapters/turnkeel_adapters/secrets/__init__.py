"""Which secrets does a host know, and what hides them?"""

from turnkeel_adapters.secrets.data import redact_data, redact_json
from turnkeel_adapters.secrets.files import SECRET_FILE_BYTES
from turnkeel_adapters.secrets.keeper import SecretKeeper
from turnkeel_adapters.secrets.known import KnownSecrets, known_secrets, secrets_of_credentials
from turnkeel_adapters.secrets.settings import DEFAULT_ENV_FILES, RedactConfig

__all__ = [
    "DEFAULT_ENV_FILES",
    "SECRET_FILE_BYTES",
    "KnownSecrets",
    "RedactConfig",
    "SecretKeeper",
    "known_secrets",
    "redact_data",
    "redact_json",
    "secrets_of_credentials",
]
