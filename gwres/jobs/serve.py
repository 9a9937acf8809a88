"""The job that serves a registered model until it is told to stop."""

import logging
import signal
import socket
import threading

import uvicorn

from gwres.errors import InputError, within
from gwres.serve import registered
from gwres.serve.app import application
from gwres.tracking import registry

logger = logging.getLogger(__name__)


def serve(model, host, port, timeout):
    """Answer requests; SIGTERM and Ctrl-C end it well.

    Args:
        model: see `registry.pin`.
        host: address to listen at.
        port: to listen at, 1 to 65535.
        timeout: seconds until a request is given up, 0.1 to 3600.

    Raises:
        InputError: no such model, a number out of range, or an address that cannot be
            listened at.
    """
    within("port", port, 1, 65_535)
    within("timeout", timeout, 0.1, 3600)
    try:
        listening = socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        raise InputError(
            f"host and port must be free to listen at; received {host}, {port}: {error}"
        ) from None
    with listening:
        uri = registry.pin(model)
        app = application(registered.load(uri), uri, timeout)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        _run(uvicorn.Server(config), listening, uri)


def _run(server, listening, uri):
    """Run a server in a thread of its own, until a signal comes."""
    stop = threading.Event()
    signals = signal.SIGINT, signal.SIGTERM
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in signals}
    # In the main thread uvicorn would end the process by the signal it was sent.
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    host, port, *_ = listening.getsockname()
    logger.info("serving %s at http://%s:%d; see /docs", uri, host, port)
    try:
        while thread.is_alive() and not stop.wait(0.2):
            pass
        server.should_exit = True
        thread.join()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if not stop.is_set():
        raise RuntimeError("the server ended by itself; its log says why")
