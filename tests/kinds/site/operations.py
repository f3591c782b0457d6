"""What people do with sites: what is done with things of every kind."""

from cloud.operations.kinds import versioned_operations
from tests.kinds.site.core import Site, checked_site_spec

SITES = versioned_operations(Site, checked_site_spec)
