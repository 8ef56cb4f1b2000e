"""Free TCP ports on this machine."""

import socket


def free_port(preferred: int | None = None) -> int:
    """A port on 127.0.0.1 that nobody listens on: the preferred one where possible."""
    if preferred is not None and is_free(preferred):
        return preferred
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
