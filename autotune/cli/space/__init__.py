"""The commands of ``autotune space``; ``group.py`` lists them."""
