"""Resources as the command line knows them: kinds, manifests, columns, plans, changes."""
