"""What a database holds, looked at before anything is made or set in it: it may be another program's."""

from dataclasses import dataclass

from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.exc import DBAPIError

from autotune.errors import StorageError
from autotune.recording import transactions
from autotune.recording.revision import read_revision
from autotune.recording.sqlite_file import check_pages, check_whole, file_of, has_log

_BUSY_SECONDS = 60
_OPTUNA_TABLES = frozenset({"studies", "trials", "version_info"})
_TAKEN_NAMES = _OPTUNA_TABLES | {"alembic_version"}
"""Names of Optuna's tables; a table of such a name may be another program's, as MLflow's ``alembic_version`` is."""
_MOST_NAMES = 3


@dataclass(frozen=True)
class Found:
    """What is in a database that is there."""

    shown: str
    """The database's URL, without a password."""
    is_file: bool
    revision: str | None
    """The revision of our tables; None where there are none."""
    is_mark_over: bool
    """The file has a mark of ours that is out of date and should be removed."""
    others: tuple[str, ...]
    """Names of all tables, where ours are not among them; else empty."""

    @property
    def is_optunas(self) -> bool:
        """Optuna's tables are there, and none of ours."""
        return set(self.others) >= _OPTUNA_TABLES

    def check_free(self) -> None:
        """Raise StorageError where our tables can't be made because of another program's.

        A database of Optuna's is free, since our tables have other names. So is a server's database that others use,
        as long as no table there has a name of Optuna's.
        """
        in_the_way = set(self.others) if self.is_file else _TAKEN_NAMES.intersection(self.others)
        if self.is_optunas or not in_the_way:
            return
        names = sorted(in_the_way)
        shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        raise StorageError(
            f"{self.shown}: studies live in a database of their own or in one of Optuna's, got another program's, "
            f"with tables {shown}; name another with --storage"
        )


def look(url: URL) -> Found:
    """What is in this existing database; nothing in it is changed or set up.

    Raises:
        StorageError: It can't be opened, is corrupt, or was copied from a running study without its log.
    """
    is_file = url.get_backend_name() == "sqlite"
    had_log = is_file and has_log(file_of(url))
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS} if is_file else {"connect_timeout": 10})
    shown = transactions.shown_url(engine)
    try:
        with engine.connect() as connection:
            check_pages(connection)
            revision = read_revision(connection)
            return Found(
                shown=shown,
                is_file=is_file,
                revision=revision,
                is_mark_over=revision is not None and check_whole(connection, had_log=had_log),
                others=() if revision is not None else tuple(inspect(connection).get_table_names()),
            )
    except DBAPIError as error:
        raise transactions.explain_error(shown, error) from error
    finally:
        engine.dispose()
