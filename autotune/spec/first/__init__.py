"""The first task file and spec of a user: written anew, or read from a plain PyTorch script."""
