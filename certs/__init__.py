"""A small certificate authority, usable without the cloud.

Read `profiles` (what each certificate contains), `signing_requests` (what a node may ask for),
`keys` (make private keys), `signatures` (check what a device signed), `revocation` (lists),
`authority` (issue), `files` (the authority on disk), `tls` (contexts made of it). `errors` has
every error in one tree.

Succession: `succession` (one intermediate after another), `acceptance` (what an operator may
bring), `encryption` (keys under a passphrase); on disk by `pem_files` and `changes`.

    root, 20 years, its key needed for a new intermediate alone
    └── intermediate, 10 years, signs everything below
        ├── server, 397 days
        └── node, 90 days
"""
