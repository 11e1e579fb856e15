"""Migrations: numbered SQL files a dialect, applied in order under the write lock, never edited once released."""
