"""Where everything is kept.

Read `interface` (what the rest of the server sees), then `sql` (every statement), `migrations`
(the tables) and `sqlite` (threads and transactions); `sealing` keeps secrets unreadable.
"""
