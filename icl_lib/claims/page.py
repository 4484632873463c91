"""How Sphinx shows the outputs of :mod:`icl_lib.claims.cells`: an entry point of MyST-NB.

MyST-NB asks each ``myst_nb.mime_renderers`` entry point for nodes. A claim becomes an empty
container that carries its data; the book's own extension fills it, with the expectations of the
day. The report of what a run cost is for the run-time table and shows nothing.
"""

from __future__ import annotations

import json

from icl_lib.claims.cells import CLAIM_MIME, RUN_MIME


class ClaimOutputs:
    """The renderer; both MIME types come before Markdown and plain text."""

    mime_priority_overrides = [("*", CLAIM_MIME, 1), ("*", RUN_MIME, 1)]

    @staticmethod
    def handle_mime(renderer, data, inline):
        """Return the nodes of one output, None if it is not ours."""
        if data.mime_type == RUN_MIME:
            return []
        if data.mime_type != CLAIM_MIME:
            return None
        from docutils import nodes  # only Sphinx, which brings docutils, comes here

        content = data.content
        payload = json.loads(content) if isinstance(content, str) else content
        return [nodes.container(classes=["icl-claim"], icl_claim=payload)]
