"""From a spec to what a study runs on: this machine made ready, the study found or made, its books opened."""
