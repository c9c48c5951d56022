"""What an epoch took and came to, when a training is over or lost, and what the coordinator hears of it."""
