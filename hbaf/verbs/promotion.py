"""Verbs about champions: the way back and the model card; and how a verdict is shown and a person asked."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hbaf.promotion.verdict import Verdict


def rollback(name: str | None = None, *, reason: str = "") -> int:
    """Makes the previous champion the champion again; a second rollback undoes the first.

    Try:

        hbaf rollback

        hbaf rollback hbaf-calls --reason "anger is found everywhere since Monday"

    Args:
        name: Name of the registered model; default: the only one that has a previous champion.
        reason: Why; recorded with the change.
    """
    from hbaf.home import prepare_environment

    prepare_environment()
    from hbaf.promotion.aliases import rollback as go_back

    move = go_back(name, reason=reason)
    print(f"{move.model}: champion is version {move.after} again, version {move.before} is the previous one now")
    print("scoring that is under way ends with the version it began with")
    return 0


def card(name: str | None = None, *, version: str | None = None, open_: bool = False) -> int:
    """Shows the model card of the champion, or of a version that was champion before.

    Try:

        hbaf card

        hbaf card hbaf-calls --version 3 --open

    Args:
        name: Name of the registered model; default: the only one with a champion.
        version: Version number; default: the champion.
        open_: Open the card as a page in the browser instead of printing it.
    """
    from hbaf.home import prepare_environment

    prepare_environment()
    from hbaf.promotion.card import CARD, PAGE, find_card

    folder = find_card(name, version)
    if open_:
        import webbrowser

        webbrowser.open((folder / PAGE).as_uri())
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown((folder / CARD).read_text()))
    else:
        print((folder / CARD).read_text())
    print(f"page: {folder / PAGE}", file=sys.stderr)
    return 0


def show(verdict: "Verdict") -> None:
    """The verdict in the terminal: every rule with what was measured."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(verdict.title, soft_wrap=True, markup=False, highlight=False)
    console.print(f"  {verdict.compared()}", soft_wrap=True, markup=False, highlight=False)
    if verdict.rules:
        table = Table()
        for name in ("rule", "measured", "asked", "outcome"):
            table.add_column(name, overflow="fold")
        for row in verdict.rows():
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)
    for remark in verdict.remarks():
        console.print(f"  {remark}", soft_wrap=True, markup=False, highlight=False)


def ask_person(agreed: bool) -> "Callable[[Verdict], tuple[bool, str]]":
    """How `promotion.approval` asks on the command line; without a terminal only `--yes` agrees."""

    def ask(verdict: "Verdict") -> tuple[bool, str]:
        if agreed:
            return True, "agreed beforehand, --yes"
        show(verdict)
        if not sys.stdin.isatty():
            return False, "nobody there to agree: run in a terminal, or with --yes"
        answer = input(f"Make version {verdict.version} of {verdict.model} the champion? [y/N] ")
        return (True, "approved") if answer.strip().lower() in ("y", "yes") else (False, "declined")

    return ask
