"""The commands of ``autotune study``, a module or a few commands each; ``group.py`` lists them."""
