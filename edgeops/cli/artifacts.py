"""How the forms of a model version are shown to people."""

from typing import Any


def in_words(document: dict[str, Any]) -> dict[str, Any]:
    """A document with its artifacts as lines, and without what says nothing."""
    shown = dict(document)
    shown["artifacts"] = [_line(form) for form in document["artifacts"]]
    for key in ("artifacts", "not_packaged"):
        if not shown[key]:
            del shown[key]
    return shown


def _line(form: dict[str, Any]) -> str:
    arena = f", arena {form['arena_bytes']:,} bytes" if form["arena_bytes"] else ""
    return f"{form['runtime']} for {form['target']}: {form['bytes']:,} bytes{arena}, sha256 {form['sha256'][:12]}"
