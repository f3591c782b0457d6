"""The types of the API's answers, for the server, the OpenAPI document and clients.

`common` has what several nouns share; the others are named after the modules of `cloud.rest` that
make them.
"""
