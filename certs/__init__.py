"""A small certificate authority, usable without the cloud.

Read `profiles` (what each certificate contains), `signing_requests` (what a node may ask for),
`keys` (make private keys), `revocation` (what was taken back), `authority` (issue), `files` (the
authority on disk), `tls` (contexts made of it). `errors` has every error in one tree.

    root, 20 years, its key needed for nothing after the first start
    └── intermediate, 10 years, signs everything below
        ├── server, 397 days
        └── node, 90 days
"""
