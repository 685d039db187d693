"""`{% island "reading" %}`: the script and style tags of one front-end entry, as Vite's manifest names its files."""

import json
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


class FrontEndNotBuilt(Exception):
    """The built front end is missing; the message says how to make it."""


def read_manifest() -> dict[str, Any]:
    """Vite's manifest: from source entry to built files."""
    path = Path(settings.FRONTEND_BUILD) / "manifest.json"
    if not path.exists():
        raise FrontEndNotBuilt("The front end is not built. Run `make frontend`.")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@register.simple_tag
def island(name: str) -> SafeString:
    """Tags for the entry `src/<name>/main.ts`."""
    manifest = read_manifest()
    entry = manifest[f"src/{name}/main.ts"]
    styles = list(entry.get("css", []))
    for imported in entry.get("imports", []):
        styles += manifest[imported].get("css", [])
    links = format_html_join("", '<link rel="stylesheet" href="{}">', ((static(path),) for path in styles))
    return links + format_html('<script type="module" src="{}"></script>', static(entry["file"]))
