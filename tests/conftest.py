import os

# Small models on busy cores: one thread each, in this process and in every one that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
# A developer's own settings must not lead a test into a real study.
for name in ("AUTOTUNE_STORAGE", "AUTOTUNE_FILES", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)
