"""A small certificate authority, usable without the cloud.

Read `profiles` (what each certificate contains), `signing_requests` (what a node may ask for),
`authority` (issue), `files` (the authority on disk), `tls` (contexts made of it).
"""
