"""Keys of web services, which come from the environment and are in no file of ours."""

import os

from miner_resources.errors import NotConfigured


def read_service_key(variable: str, page: str, missing: NotConfigured) -> str:
    """The key in an environment variable.

    Args:
        variable: its name.
        page: where people get a key.
        missing: what to raise if there is none.

    Raises:
        NotConfigured: there is no key, or it cannot be one.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise missing
    # An HTTP client would quote such a key in its error.
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise NotConfigured(f"{variable} has characters that no key has", remedy=f"copy it again from {page}")
    return key
