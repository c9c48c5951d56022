"""Ports of 127.0.0.1 for servers that tests start."""

import contextlib
import random
import socket

# Where a system picks ports for others: from 32768 on (Linux), or from 49152.
_FIRST, _LAST = 20000, 32767


def free_port() -> int:
    """A port that is free, and stays so until a server that takes seconds to start asks for it."""
    draw = random.SystemRandom()  # each test process, and each test run beside this one, looks elsewhere
    while True:
        port = draw.randint(_FIRST, _LAST)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
