"""The ``autotune`` command: parse, call one function, print."""
