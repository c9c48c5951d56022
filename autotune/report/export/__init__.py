"""What users take along: a study's tables, a trial's parameters, and a trial as a script of plain PyTorch."""
