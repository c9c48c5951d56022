"""The commands of ``autotune storage``; ``group.py`` lists them."""
