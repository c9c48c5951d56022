"""What a step of training is made of: the model, its precision, micro-batches, optimizer, schedule and pace."""
