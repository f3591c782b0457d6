"""People's edge: the open API over HTTP.

`routes` is the whole API as one table; `app` makes a server of it; a module per noun holds its
handlers (decode, run the operation, encode); `views` says how things look in JSON.
"""
