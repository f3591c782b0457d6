"""Nouns and the rules about them; pure: values in, values out.

Read `names`, then the nouns (`node`, `app`, `config`, `secret`, `batch`, `report`), then the
values computed from them: `selectors`, `desired`, `delta`, `readiness`, `stats`, `fingerprint`.
"""
