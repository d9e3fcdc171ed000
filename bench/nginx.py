"""nginx, which serves inboxd's answers as files."""

from pathlib import Path

from servers import Server, free_port, get

HERE = Path(__file__).parent


def serve_nginx(root: Path) -> Server:
    """Serves the folder `www` below `root`."""
    port = free_port()
    config = root / "nginx.conf"
    text = (HERE / "nginx.conf").read_text()
    config.write_text(text.replace("{root}", str(root)).replace("{port}", str(port)))
    return Server(["nginx", "-c", str(config), "-e", str(root / "error.log")], port, root / "nginx.log")


def save_answers(inboxd: Server, keys: list[str], root: Path) -> Path:
    """Saves each key's list as a file in `www`. Returns the file that names them all."""
    folder = root / "www"
    folder.mkdir(exist_ok=True)
    for number, key in enumerate(keys):
        body = get(inboxd.port, "/inboxes", {"Authorization": f"Bearer {key}"})
        (folder / f"{number}.json").write_bytes(body)
    names = root / "www.txt"
    names.write_text("".join(f"/{number}.json\n" for number in range(len(keys))))
    return names


def check_answers(nginx: Server, inboxd: Server, keys: list[str]) -> None:
    """That both answer some of the keys with the same bytes."""
    for number in range(0, len(keys), max(1, len(keys) // 50)):
        ours = get(inboxd.port, "/inboxes", {"Authorization": f"Bearer {keys[number]}"})
        if get(nginx.port, f"/{number}.json", {}) != ours:
            raise RuntimeError(f"nginx and inboxd differ on {number}.json")
