"""Alembic migrations of our own tables.

A new version is a module in ``versions/`` with ``revision`` and ``down_revision``, and a new
``HEAD_REVISION`` in ``tables.py``; a test holds that the migrated schema is that of ``tables.py``.
"""
