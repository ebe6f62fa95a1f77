"""What a security profile asks of the endpoint (security white paper A00; S-102, S-106, S-168).

Owns which profiles need TLS and the URL that goes with a profile. Must never make a scheme weaker.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def needs_tls(profile: int) -> bool:
    """Whether a connection with this profile must be ``wss``."""
    return profile >= 2


def url_for(csms_url: str, profile: int) -> str:
    """The endpoint to use with a profile, from the one that is configured.

    Profiles 0 and 1 leave it alone, so ``wss`` stays; 2 and 3 switch ``ws`` to ``wss`` and keep the port unless it was
    the default one of ``ws``. Implements: S-106, S-168.
    """
    parts = urlsplit(csms_url)
    if not needs_tls(profile) or parts.scheme != "ws":
        return csms_url
    place = parts.netloc.removesuffix(":80").removesuffix(":")
    return urlunsplit(("wss", place, parts.path, parts.query, parts.fragment))
