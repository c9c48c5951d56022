"""What a training runs on: the device and its memory, and the knobs that hold for a whole process."""
