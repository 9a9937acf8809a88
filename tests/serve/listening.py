"""An application that listens on a socket of this machine while it is tested."""

import socket
import threading
from contextlib import contextmanager

import uvicorn


@contextmanager
def listening(app):
    """Serve an application.

    Yields:
        Its host and port.
    """
    opened = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([opened],))
    thread.start()
    try:
        yield opened.getsockname()
    finally:
        server.should_exit = True
        thread.join()
