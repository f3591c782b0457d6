"""What people do from the command line with what a server keeps.

Each module is a verb or a few that belong together; `options` is what they share.
"""
