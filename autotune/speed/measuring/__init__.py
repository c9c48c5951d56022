"""How fast a training runs: contestants that train block by block, their throughput, and how sure a ratio is."""
