"""Where a study's records are."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Places:
    """The two places that hold a study's records."""

    storage: str
    """The database's URL."""
    tracking_uri: str
    """MLflow's tracking URI."""
