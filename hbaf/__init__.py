"""Emotion recognition in conversations: HBAF (Luo et al. 2025, arXiv 2503.06405) and the pipeline around it.

    import hbaf

    hbaf.train("~/calls", "demo").run.weighted_f1             # validates, extracts, trains, registers a candidate
    hbaf.promote("~/calls").title                             # the champion, if it meets every rule
    hbaf.score("~/new", purpose="research").scores.folder     # a table and a report
    hbaf.load().emotions                                      # the champion in memory

These are the functions of `hbaf.pipeline`, which the command line and the flows call too; `hbaf.pipeline.search` stays
there, for `hbaf.search` is a package. They are imported when they are first used: `import hbaf` itself costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hbaf.parameters import CorpusParameters, PromotionParameters, from_recipe
    from hbaf.pipeline import compare, evaluate, extract, finetune, load, prepare, promote, score, train, validate

__version__ = "0.1.0"
__all__ = [
    "CorpusParameters",
    "PromotionParameters",
    "compare",
    "evaluate",
    "extract",
    "finetune",
    "from_recipe",
    "load",
    "prepare",
    "promote",
    "score",
    "train",
    "validate",
]


if not TYPE_CHECKING:  # a type checker sees the imports above, and no other name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'hbaf' has no attribute {name!r}")
        from hbaf import pipeline

        return getattr(pipeline, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
