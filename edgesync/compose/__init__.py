"""Turn a Compose file into manifests (https://github.com/compose-spec/compose-spec).

`source` reads the file, `variables` replaces `${NAME}`, `values` reads the small notations (ports,
durations, sizes), `files` makes configs, secrets and volumes, `services` makes services, and
`project` puts them together. Whatever a manifest cannot express becomes a `Note` with its line.
"""
