"""People's edge: the open API over HTTP.

`routes` is the whole API as one table; `app` makes a server of it; a module per noun holds its
handlers (decode, run the operation, encode); `views` says how things look in JSON. `document`
describes the table in OpenAPI, with the types that `described` and `shapes` put into it; `page`
writes that for people.
"""
