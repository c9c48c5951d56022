"""The commands of ``autotune trial``; ``group.py`` lists them."""
