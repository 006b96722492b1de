"""The verb that shows scored conversations to somebody who labels them."""

from pathlib import Path


def review(scores: Path, *, port: int = 8767) -> int:
    """Shows scored conversations in a browser of this machine; labels that are given there are kept at once.

    Prints an address with a token. In a conversation `l` begins labelling: digits or first letters choose an emotion.
    The next `hbaf validate` and `hbaf train` of the corpus know the labels, as after `hbaf label import`. Serves this
    machine alone; docs/labelling.md.

    Try:

        hbaf review scored

        hbaf review ~/.local/share/hbaf/scores/calls-4f0c9e21ab77-hbaf-calls-0123456789ab --port 9000

    Args:
        scores: Folder that `hbaf score` wrote.
        port: 0 takes any free one.
    """
    from hbaf.serving.review import review as show

    show(scores, port=port)
    return 0
