"""Scripts that lie elsewhere: what is a URL, and what of it may be shown."""

from __future__ import annotations


def is_url(path: str) -> bool:
    """Whether this is the URL of something to be downloaded, and not a path among the template's files."""
    return path.lower().startswith(("http://", "https://"))


def shown_url(path: str) -> str:
    """A URL without user, password, query and fragment, which may be secret; a path as it is."""
    if not is_url(path):
        return path
    scheme, _, rest = path.partition("://")
    host, slash, below = rest.partition("#")[0].partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{below}"
