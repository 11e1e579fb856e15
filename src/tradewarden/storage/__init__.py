"""The adapters: what the rooms keep, in SQLite, in memory and (from a later version on) in PostgreSQL.

SQL stops here. One text for each statement, valid in both dialects; only the placeholder differs (`?` is written).
"""
