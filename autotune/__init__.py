"""Finds the configuration with which a PyTorch training reaches its target soonest."""
