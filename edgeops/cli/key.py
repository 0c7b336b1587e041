"""``edgeops key``: signing keys."""

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_facts, say

app = typer.Typer(no_args_is_help=True, help="Signing keys: init, show.\n\nExample: edgeops key show")


@app.command("init")
def init(workspace: WorkspaceOption = ".") -> None:
    """Make the signing keys and the trust root of a workspace that has none.

    Example: edgeops key init
    """
    from pathlib import Path

    from edgeops.control.keys import make_keys
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    root = make_keys(opened.keys_folder, opened.settings.fleet)
    say(f"keys made: {', '.join(sorted(root.roles))}; keep {opened.keys_folder} safe")


@app.command("show")
def show(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """Show the trust root: which key may sign what. Private keys are never shown.

    Example: edgeops key show
    """
    from pathlib import Path

    from edgeops.control.workspace import Workspace

    root, _ = Workspace(Path(workspace)).trust
    facts = {
        "fleet": root.fleet,
        "version": root.version,
        "threshold": root.threshold,
        **{role: [kid.hex() for kid in kids] for role, kids in sorted(root.roles.items())},
    }
    print_facts(facts, chosen(output, json))
