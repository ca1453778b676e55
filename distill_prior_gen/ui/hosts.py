"""Which hosts only this machine can reach."""

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine can reach."""


def is_local(host: str, share: bool) -> bool:
    """Whether a page that is served at this host can be reached from this machine only.

    Args:
        host: address that the server listens at; an IPv6 address may stand in brackets.
        share: whether the page is also made public through Gradio's servers.
    """
    return host.strip("[]") in LOCAL_HOSTS and not share
