"""The HTML pages of a validation: great_expectations' Data Docs, made to load nothing from anywhere."""

import re
from collections.abc import Mapping
from typing import Any

from hbaf.validation.report import CONTENT_POLICY, PAGE_STYLE
from hbaf.validation.rules import TableName

# The maker's navigation and filters need scripts; its status icons come from a font on a server.
DOCS_STYLE = """
nav,.card,a[data-toggle],thead[hidden]{display:none}
.fa-check-circle::before{content:"kept";color:#176b2c} .fa-times::before{content:"broken";color:#a4161a}
"""


def data_docs_pages(outcomes: Mapping[TableName, Any]) -> dict[TableName, str]:
    """Data Docs pages by table name, self-contained: great_expectations' own load styles and scripts from servers."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    view, renderer = DefaultJinjaPageView(), ValidationResultsPageRenderer()
    return {name: self_contained(view.render(renderer.render(outcome))) for name, outcome in outcomes.items()}


def self_contained(page: str) -> str:
    """The page without scripts, foreign styles, images, and the maker's footer; the browser may load nothing."""
    for element in ("script", "footer"):
        page = re.sub(rf"<{element}\b.*?</{element}>", "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r"<(link|img)\b[^>]*>", "", page, flags=re.IGNORECASE)
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    page = re.sub(r'href="[^"#][^"]*"', 'href="index.html"', page)
    page = page.replace("</head>", f"{CONTENT_POLICY}<style>{PAGE_STYLE}{DOCS_STYLE}</style></head>", 1)
    return page.replace("<body>", '<body><p><a href="index.html">All rules</a></p>', 1)
