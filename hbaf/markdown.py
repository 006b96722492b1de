"""What people typed, as it may stand in Markdown that MLflow, a forge or a browser shows.

A label, the name of a corpus or a reason is text. Rendered as Markdown it could be a picture or a link that tells a
stranger's server who looks at a card.
"""

import re

# An image or link, HTML, a code span, an address that viewers turn into a link by themselves, an entity.
ACTIVE = re.compile(r"\]\s*[(\[:]|<[A-Za-z/!?]|`|://|www\.|\S@\S|&[#A-Za-z]")


def plain(text: object) -> str:
    """One line that stays text: as it is where nothing in it could be rendered, else as code."""
    line = " ".join(str(text).split())
    return code(line) if ACTIVE.search(line) else line


def code(text: object) -> str:
    """One line as code, whatever is in it."""
    return "`" + " ".join(str(text).split()).replace("`", "'") + "`"


def cell(text: object) -> str:
    """The same as a cell of a table: nothing in it ends the cell or the row."""
    return plain(text).replace("|", "\\|")
