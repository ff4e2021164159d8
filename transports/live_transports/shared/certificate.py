"""A certificate for a server on this machine, and the authority that vouches for it; both last as long as the run."""

from __future__ import annotations

import ssl
from pathlib import Path


def local_certificate(folder: Path, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server context for localhost, and the file of the authority that clients have to trust.

    Args:
        folder: Where the file goes.
        host: A further name or address.

    Returns:
        The context and the path.

    Raises:
        ImportError: trustme is not installed.
    """
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError:
        failure = ImportError("TLS needs trustme: pip install 'live-protocol[tls]'")
    else:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*dict.fromkeys(("localhost", "127.0.0.1", "::1", host))).configure_cert(context)
        path = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(path))
        return context, path
    raise failure
