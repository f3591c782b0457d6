"""The open API over HTTP, for operators.

`routes` is the whole API as one table; `app` makes a server of it. A module for each noun has its
answers as types, its handlers (decode, run the operation, return an answer) and its rows of the
table; `crud` has what is the same of kinds like Config. `document` describes the table in OpenAPI,
from the same types; `page` writes that for people.
"""
