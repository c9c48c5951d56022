from tests.search.conftest import database, empty_database, open_again, storage

__all__ = ["database", "empty_database", "open_again", "storage"]
