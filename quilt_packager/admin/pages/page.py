"""The common part of all pages."""

from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.rendering import Renderer


class Page:
    """A page of an engine.

    Its frame needs no request to AWS: parts that are not cached are loaded by htmx, or without
    JavaScript by a second request for the whole page.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer
