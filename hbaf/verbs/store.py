"""The verb about the feature store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from feature_store.manifest import ColumnInfo


def features(
    *,
    collect: bool = False,
    verify: bool = False,
    dry_run: bool = False,
    grace_hours: float = 24.0,
    store: str | None = None,
) -> int:
    """Lists stored feature columns with size, missing rows and the runs that use them; verifies or cleans the store.

    Try:

        hbaf features

        hbaf features --verify

        hbaf features --collect --dry-run

    Args:
        collect: Remove columns that no run in MLflow uses, and temporary files of killed processes.
        verify: Compare every file with its checksum; exit code 1 if something is damaged.
        dry_run: With --collect: only list what would be removed.
        grace_hours: With --collect: keep columns with rows younger than this; a run may be about to use them.
        store: Folder or URL of the store; default: in the home folder.
    """
    from rich.console import Console

    from hbaf.features.columns import default_store
    from hbaf.home import prepare_environment

    prepare_environment()
    place = default_store(store)
    if verify:
        problems = place.verify()
        for problem in problems:
            print(f"DAMAGED {problem.path}: {problem.what}")
        print(f"{place.url}: {len(problems)} problems in {len(place.list())} columns")
        return 1 if problems else 0
    from hbaf.registry.columns_in_use import columns_in_use, unused_columns

    columns = place.list()
    used = columns_in_use(columns)
    if collect:
        unused = unused_columns(columns, used, grace_hours * 3600)
        keep = [column.digest for column in columns if column not in unused]
        removed = place.collect_garbage(keep, dry_run=dry_run, grace_seconds=grace_hours * 3600)
        for column in unused:
            print(
                f"{'would remove' if dry_run else 'removed'} {column.name} {column.digest[:12]}, {size(column.bytes)}"
            )
        print(f"{len(removed)} files {'would be ' if dry_run else ''}removed, {len(keep)} columns kept")
        return 0
    console = Console()
    console.print(column_table(columns, used) if columns else f"{place.url}: no columns yet; `hbaf extract` makes some")
    return 0


def column_table(columns: "list[ColumnInfo]", used: dict[str, str]) -> "Table":
    """One line a column: name, numbers per row, rows, share of missing rows, size, age, who uses it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("column", overflow="fold", min_width=18)
    for heading in ("dim", "rows", "missing", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("since", no_wrap=True)
    table.add_column("used by", overflow="fold")
    for column in columns:
        table.add_row(
            Text(f"{column.name}\n{column.digest[:12]}"),
            str(column.dim),
            str(column.rows),
            f"{column.nan_share:.1%}",
            size(column.bytes),
            f"{column.created:%Y-%m-%d}" if column.created else "",
            Text(used.get(column.digest, "nothing")),
        )
    return table


def size(count: float) -> str:
    """Bytes for people: `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
