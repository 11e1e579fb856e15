"""A SQLAlchemy engine whose every new connection logs in with the current password: rotation needs no restart.

python examples/secrets/sqlalchemy_engine.py
"""

import psycopg
from sqlalchemy import Engine, create_engine, text

from tradewarden import PlatformSecrets


def engine_of(secrets: PlatformSecrets) -> Engine:
    """Return an engine for the platform's database; connections are tried before they are used, and live an hour."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(secrets.database().uri()),
        pool_pre_ping=True,
        pool_recycle=3600,
    )


def main() -> None:
    """Ask the database who we are."""
    with PlatformSecrets.from_environment() as secrets:
        print(f"{secrets.database()}")
        engine = engine_of(secrets)
        with engine.connect() as connection:
            print(connection.execute(text("select 'asked as ' || current_user")).scalar_one())
        engine.dispose()


if __name__ == "__main__":
    main()
