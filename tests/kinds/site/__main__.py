"""The command `edgesync` that knows sites."""

import sys

from cloud.core.kinds import KINDS
from edgesync.__main__ import main
from tests.kinds.site.kind import SITE

KINDS.register(SITE)

if "serve" in sys.argv:
    # The command line loads no part of a server.
    from cloud.operations.kinds import register_operations
    from cloud.rest.routes import register_routes
    from tests.kinds.site.operations import SITES
    from tests.kinds.site.rest import SITE_ROUTES

    register_operations(SITES)
    register_routes(SITE_ROUTES)

main()
