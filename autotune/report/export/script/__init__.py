"""A trial as one runnable file of plain PyTorch, which needs no autotune."""
