"""A trial's state, copied in one moment and written beside the training, so that a later process goes on."""
