"""The same list from a plain Fastify service and a plain FastAPI service, beside inboxd and nginx, on SQLite."""

import argparse
import http.client
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from calm import calmly
from lists import new_database, write_requests
from nginx import check_answers, save_answers, serve_nginx
from servers import Server, free_port, get
from stores import serve
from table import Table, say
from wrk import Load, load

SERVICES = Path(__file__).parent / "others"
# What both libraries ask for.
NODE = 20
# Besides the plain list: what all services must answer with the same bytes.
QUERIES = ["", "?type=whatsapp", "?status=pending", "?type=telegram&status=active&limit=2", "?limit=4&offset=7", "?offset=100"]


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", type=Path, help="folder that keeps the other services' libraries between runs")


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    place = options.services or root / "services"
    commands = {"Fastify": install_fastify(place), "FastAPI": install_fastapi(place)}
    database, keys = new_database(options, root)
    wanted = write_requests(keys, root / "lists.txt")
    rounds: dict[str, list[Load]] = {}
    with ExitStack() as stack:
        servers = {"inboxd": stack.enter_context(serve(options.inboxd, f"sqlite:{copy(database, 'inboxd')}", root))}
        for name, command in commands.items():
            if command:
                servers[name] = stack.enter_context(service(command, copy(database, name), root / f"{name}.log"))
        lines = dict.fromkeys(servers, wanted)
        ours = servers["inboxd"]
        for server in servers.values():
            # Two workers may come up at different times: the load warms up both.
            server.first_answer("/inboxes", {"Authorization": f"Bearer {keys[0]}"})
        say("comparing the answers")
        for name, server in servers.items():
            compare(name, server, ours, keys)
        lines["nginx"] = save_answers(ours, keys, root)
        servers["nginx"] = stack.enter_context(serve_nginx(root))
        servers["nginx"].first_answer("/0.json", {})
        check_answers(servers["nginx"], ours, keys)
        for name, server in servers.items():
            load(server, lines[name], options.connections, 3)
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            for name, server in servers.items():
                one = calmly(lambda: load(server, lines[name], options.connections, options.seconds))
                rounds.setdefault(name, []).append(one)
        time.sleep(2)
        memory = {name: server.share_of_memory() for name, server in servers.items()}
    report(rounds, memory, table)


def report(rounds: dict[str, list[Load]], memory: dict[str, float], table: Table) -> None:
    for name, loads in rounds.items():
        table.add(f"{name}: CPU of a list, µs", [one.micros for one in loads], ".1f")
    for name, loads in rounds.items():
        if name != "nginx":
            ratios = [one.micros / bar.micros for one, bar in zip(loads, rounds["nginx"], strict=True)]
            table.add(f"{name}: list / nginx", ratios, ".2f", "at most 1.1" if name == "inboxd" else "")
    for name, loads in rounds.items():
        table.add(f"{name}: lists a second", [one.rate for one in loads], ",.0f")
    for name, taken in memory.items():
        table.add(f"{name}: memory after the loads, MB", [taken], ".0f")


def copy(database: Path, name: str) -> Path:
    """Each service has a database of its own, with the same rows."""
    return Path(shutil.copy(database, database.with_name(f"{name}.db")))


def service(command: list[str], database: Path, log: Path) -> Server:
    port = free_port()
    filled = [part.format(database=database, port=port) for part in command]
    # NODE_ENV is what Node's libraries look at for their production settings.
    environment = {**os.environ, "DATABASE": str(database), "NODE_ENV": "production"}
    return Server(filled, port, log, environment)


def install_fastify(place: Path) -> list[str] | None:
    """Its command, or nothing where Node is missing or too old."""
    if not shutil.which("npm"):
        return missing("Fastify", "npm is not installed")
    said = subprocess.run(["node", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    if int(said.strip().lstrip("v").split(".")[0]) < NODE:
        return missing("Fastify", f"it needs Node {NODE}, and here is {said.strip()}")
    folder = copy_service("fastify", place)
    say("installing Fastify and better-sqlite3")
    install = ["npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
    # Some minutes where better-sqlite3 has to be compiled.
    return command_if("Fastify", install, folder, ["node", str(folder / "server.js"), "{database}", "{port}"])


def install_fastapi(place: Path) -> list[str] | None:
    """Its command, or nothing where it cannot be installed."""
    folder = copy_service("fastapi", place)
    say("installing FastAPI and Uvicorn")
    programs = folder / "venv" / "bin"
    install = f"python3 -m venv venv && {programs}/pip install --quiet --disable-pip-version-check -r requirements.txt"
    serve_command = [
        str(programs / "uvicorn"), "main:app", "--app-dir", str(folder), "--host", "127.0.0.1", "--port", "{port}",
        "--workers", str(os.cpu_count()), "--timeout-keep-alive", "75",
    ]  # fmt: skip
    return command_if("FastAPI", ["sh", "-c", install], folder, serve_command)


def copy_service(name: str, place: Path) -> Path:
    return Path(shutil.copytree(SERVICES / name, place / name, dirs_exist_ok=True))


def command_if(name: str, install: list[str], folder: Path, command: list[str]) -> list[str] | None:
    done = subprocess.run(install, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        return missing(name, f"it cannot be installed:\n{done.stdout}")
    return command


def missing(name: str, why: str) -> None:
    say(f"{name} is left out: {why}")


def compare(name: str, server: Server, ours: Server, keys: list[str]) -> None:
    """That a service answers with the same bytes as inboxd, and only those who have a key."""
    for key in keys[:: max(1, len(keys) // 20)]:
        for query in QUERIES:
            headers = {"Authorization": f"Bearer {key}"}
            if get(server.port, f"/inboxes{query}", headers) != get(ours.port, f"/inboxes{query}", headers):
                raise RuntimeError(f"{name} and inboxd differ on /inboxes{query}")
    for headers in ({}, {"Authorization": f"Bearer {keys[0]}x"}):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/inboxes", headers=headers)
        status = connection.getresponse().status
        connection.close()
        if status != 401:
            raise RuntimeError(f"{name} answered a wrong key with {status}")
