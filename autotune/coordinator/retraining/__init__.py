"""What a study trained is trained again: to confirm the winner, to ablate it, to replay one trial."""
