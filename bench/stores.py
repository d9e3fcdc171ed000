"""Databases for the measurements, on both stores, and inboxd on them."""

import csv
import io
import os
import sqlite3
import subprocess
from collections.abc import Iterable
from pathlib import Path

from postgres import Postgres
from servers import Server, free_port

# The key that credentials are sealed with, and that tokens come from (seed.py).
SECRET_KEY = bytes(32)


def inboxd(program: Path, url: str, *arguments: str) -> str:
    """Runs a command. Returns what it prints."""
    command = [str(program), *arguments, "--database-url", url]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment()).stdout


def serve(program: Path, url: str, root: Path, *arguments: str) -> Server:
    port = free_port()
    command = [str(program), "serve", "--listen", f"127.0.0.1:{port}", "--database-url", url, *arguments]
    return Server(command, port, root / "inboxd.log", environment())


def environment() -> dict[str, str]:
    # Nobody else's settings. Every request counts towards a limit that none comes near.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INBOXD_")}
    return inherited | {"INBOXD_SECRET_KEY": SECRET_KEY.hex(), "INBOXD_RATE_LIMIT": "1000000000"}


def run_sql(server: Postgres, database: str, text: str) -> None:
    """Runs statements, each in a transaction of its own."""
    subprocess.run(psql(server, database), input=text, check=True, stdout=subprocess.DEVNULL, text=True)


def copy_rows(server: Postgres, database: str, table: str, columns: list[str], rows: Iterable[tuple]) -> None:
    """Adds rows to a table. Bytes are written as PostgreSQL writes them, in hexadecimal."""
    command = [*psql(server, database), "-c", f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT csv)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        with io.TextIOWrapper(process.stdin, encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            for row in rows:
                writer.writerow([f"\\x{value.hex()}" if isinstance(value, bytes) else value for value in row])
    if process.returncode:
        raise RuntimeError(f"psql ended with {process.returncode}")


def psql(server: Postgres, database: str) -> list[str]:
    program = str(server.programs / "psql")
    return [program, "-h", str(server.folder), "-U", "inboxd", "-d", database, "-q", "-X", "-v", "ON_ERROR_STOP=1"]


def copy_to_postgres(file: Path, server: Postgres, database: str, tables: list[str]) -> None:
    """Adds the rows of a SQLite database to a PostgreSQL database that inboxd migrated."""
    connection = sqlite3.connect(file)
    for table in tables:
        # table_info leaves out what the database computes itself.
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        names = ", ".join(columns)
        copy_rows(server, database, table, columns, connection.execute(f"SELECT {names} FROM {table}"))
    connection.close()
    settle(server, database)


def settle(server: Postgres, database: str) -> None:
    """Does now what PostgreSQL would do some time later, while something is measured."""
    run_sql(server, database, "VACUUM ANALYZE; CHECKPOINT;")
