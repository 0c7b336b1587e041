"""How an optional part is installed: from a checkout where EdgeOps came from one, else by its name."""

from __future__ import annotations

import json
import re
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

_BY_NAME = re.compile(r'pip install "edgeops\[([a-z,-]+)\]"')


def as_installed(fix: str) -> str:
    """A hint that names an extra, with the command that brings it here."""
    return _BY_NAME.sub(lambda match: install_line(match[1]), fix)


def install_line(extra: str) -> str:
    """The command that brings ``extra``, with the checkout's constraints where there are any."""
    folder = checkout()
    if folder is None:
        return f'pip install "edgeops[{extra}]"'
    line = f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"
    constraints = folder / "constraints.txt"
    return f"{line} -c {shlex.quote(str(constraints))}" if constraints.is_file() else line


def checkout() -> Path | None:
    """The folder that EdgeOps was installed from, if it was one."""
    try:
        text = metadata.distribution("edgeops").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = urlsplit(json.loads(text)["url"]) if text else None
    if url is None or url.scheme != "file":
        return None
    folder = Path(unquote(url.path))
    return folder if (folder / "pyproject.toml").is_file() else None
