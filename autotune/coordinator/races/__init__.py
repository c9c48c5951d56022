"""What races do for a study, and alone: which settings of the speed parameters train fastest here."""
