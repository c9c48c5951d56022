"""Reports of epochs as a trial sends them."""

from autotune.events import EpochReport


def make_report(epoch: int, **fields: object) -> EpochReport:
    """An epoch of 640 samples in two seconds; what may be left out is, unless ``fields`` say otherwise."""
    usual = {
        "step": 10 * epoch,
        "metrics": {"train_loss": 1.5, "val_accuracy": 0.25},
        "samples": 640,
        "seconds": 2.0,
        "samples_per_second": 320.0,
        "data_wait_share": 0.25,
        "peak_memory_bytes": 5_000_000_000,
        "at": 1_700_000_000.0 + epoch,
    }
    return EpochReport.model_validate({"epoch": epoch, **usual, **fields})
