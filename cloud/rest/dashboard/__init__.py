"""The dashboard: a page at `/` that shows the API to people.

`served.py` serves what is in `static/` as it is; nothing is built. In there: `index.html` loads
`app.js`, which knows the pages and what they are made of, and asks the API by way of `api.js`.
`vendor/` holds the two libraries it uses, unchanged but for one import.
"""
