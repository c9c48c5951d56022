"""Batches of samples: shuffled by seed and epoch alone, loaded, held in memory, copied ahead."""
