"""The table of guards."""

GUARD = (
    # The share is a text: both databases give back just what was put in.
    """
    CREATE TABLE guard (
        namespace TEXT NOT NULL PRIMARY KEY,
        max_share TEXT NOT NULL,
        min_nodes INTEGER NOT NULL
    ) STRICT
    """,
)
