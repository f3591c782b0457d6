"""Columns of tokens: what narrows their roles, and the secret from before a rotation."""

from cloud.store.tables.definition import definition

TOKEN_SCOPES = (
    definition("ALTER TABLE api_token ADD COLUMN scopes {text} NOT NULL DEFAULT ''"),
    definition("ALTER TABLE api_token ADD COLUMN nodes {text} NOT NULL DEFAULT ''"),
    definition("ALTER TABLE api_token ADD COLUMN previous_digest {text}"),
    definition("ALTER TABLE api_token ADD COLUMN previous_ends {integer}"),
    definition("CREATE UNIQUE INDEX api_token_previous ON api_token (previous_digest)"),
)
