"""The server's own certificate authority."""

from __future__ import annotations

from pathlib import Path
import ssl

import trustme


def make(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the authority's PEM file and the server's TLS context.

    Both are kept in `directory`, so that clients of a restarted server need not be told again.
    """
    authority_pem, server_pem = directory / "ca.pem", directory / "server.pem"
    if not (authority_pem.exists() and server_pem.exists()):
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(organization_name="Local Dropbox")
        authority.cert_pem.write_to_path(authority_pem)
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(server_pem)
        server_pem.chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pem)
    return authority_pem, context
