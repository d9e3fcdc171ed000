"""A throw-away PostgreSQL server, started from the installed programs with its own default settings."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(root: Path) -> Iterator["Postgres"]:
    """A server with its data below `root`, for as long as the context lasts."""
    folder = root / "postgres"
    folder.mkdir()
    user = []
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
    programs = find_programs()
    data = str(folder / "data")
    options = f"-k '{folder}' -c listen_addresses=''"
    control = [*user, str(programs / "pg_ctl"), "-s", "-w", "-D", data, "-l", str(folder / "log")]
    initdb = [*user, str(programs / "initdb"), "-D", data, "-U", "inboxd", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield Postgres(folder, programs)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self.main = int((folder / "data" / "postmaster.pid").read_text().split()[0])

    def database(self, name: str, template: str = "template1") -> str:
        """Makes a database, empty or as a copy of another. Returns its URL."""
        create = [str(self.programs / "createdb"), "-h", str(self.folder), "-U", "inboxd", "-T", template, name]
        subprocess.run(create, check=True)
        return f"postgres://inboxd@/{name}?host={self.folder}"

    def pids(self) -> list[int]:
        """Its processes: the first one and all that it started."""
        children = Path(f"/proc/{self.main}/task/{self.main}/children").read_text().split()
        return [self.main, *map(int, children)]


def find_programs() -> Path:
    """Where they are: in the path, or where Debian puts them, the newest version first."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    if newest is None:
        raise RuntimeError("PostgreSQL is missing: apt-get install postgresql")
    return newest.parent
