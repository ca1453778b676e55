"""Takes README.md and CHANGELOG.md into the website, and adapts the links that leave docs/."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
"""Files beside docs/, and the pages that they become."""

LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    outside = page.file.src_uri in OUTSIDE.values()
    folder = "" if outside else posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def adapted(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if target in OUTSIDE:
            return link[1] + OUTSIDE[target]
        if target.startswith("docs/"):
            return link[1] + posixpath.relpath(target, "docs")
        return f"{link[1]}{config.repo_url}/blob/main/{target}"

    return LINK.sub(adapted, markdown)
