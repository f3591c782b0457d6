"""The steps of golden answers that are about rollouts."""

from datetime import datetime
from typing import Any

from cloud.operations.rollout_drive import driven_rollouts, keep_step, plan_step
from cloud.store.transaction import Transaction
from tests.rest.conftest import CHANNEL, NOTIFICATION_RULE, ROLE

NARROW = {"name": "narrow", "role": "operator", "permissions": ["read apps/web"]}

POLICY = {
    "name": "careful",
    "apps": {"names": ["web"]},
    "stages": [
        {"name": "canary", "limit": 1, "soak": "10m", "approval": "required"},
        {"name": "all", "success": "95%"},
    ],
    "budget": {"by": "site", "maxUnavailable": 1},
    "failure": {"max": "2%", "action": "rollback"},
    "windows": [{"schedule": "0 2 * * 1-5", "duration": "3h", "timeZone": "node"}],
    "description": "tills, at night",
}

ROLLOUT_STEPS: list[tuple[str, str, str, Any]] = [
    ("rolloutpolicies-create", "POST", "/v1/rolloutpolicies", POLICY),
    ("rolloutpolicies-get", "GET", "/v1/rolloutpolicies/careful", None),
    ("rolloutpolicies-list", "GET", "/v1/rolloutpolicies", None),
    ("rolloutpolicies-patch", "PATCH", "/v1/rolloutpolicies/careful", {"deadline": "5m"}),
    ("rolloutpolicies-update", "PUT", "/v1/rolloutpolicies/careful", POLICY),
    ("rolloutpolicies-revisions", "GET", "/v1/rolloutpolicies/careful/revisions", None),
    ("rolloutpolicies-revisions-get", "GET", "/v1/rolloutpolicies/careful/revisions/2", None),
    ("rolloutpolicies-diff", "GET", "/v1/rolloutpolicies/careful/diff?from=1&to=2", None),
    ("rolloutpolicies-undo", "POST", "/v1/rolloutpolicies/careful/undo", {"revision": 2}),
    (
        "apps-update-scheduled",
        "PUT",
        "/v1/apps/web?rolloutStart=2027-01-01T00:00:00Z",
        {"selector": "role=gateway", "services": [], "description": "by stages"},
    ),
    ("rollouts-start", "POST", "/v1/rollouts/web/start", {}),
    ("rollouts-get", "GET", "/v1/rollouts/web", None),
    ("rollouts-list", "GET", "/v1/rollouts?app=web", None),
    ("rollouts-pause", "POST", "/v1/rollouts/web/pause", None),
    ("rollouts-resume", "POST", "/v1/rollouts/web/resume", None),
    ("rollouts-hurry", "POST", "/v1/rollouts/web/hurry", None),
    ("rollout-step", "", "", None),
    ("rollouts-approve", "POST", "/v1/rollouts/web/approve", None),
    ("rollout-step", "", "", None),
    ("rollouts-nodes", "GET", "/v1/rollouts/web/nodes?stage=canary", None),
    ("rollouts-promote", "POST", "/v1/rollouts/web/promote", None),
    ("rollouts-rollback", "POST", "/v1/rollouts/web/rollback", None),
    ("rollouts-abort", "POST", "/v1/rollouts/web/abort", None),
    ("error-rollout", "POST", "/v1/rollouts/web/pause", None),
    ("rolloutpolicies-delete", "DELETE", "/v1/rolloutpolicies/careful", None),
    ("channels-create", "POST", "/v1/channels", CHANNEL),
    ("channels-test", "POST", "/v1/channels/mail/test", None),
    ("channels-list", "GET", "/v1/channels?limit=9", None),
    ("channels-get", "GET", "/v1/channels/mail", None),
    ("channels-update", "PUT", "/v1/channels/mail", {**CHANNEL, "description": "night"}),
    ("channels-patch", "PATCH", "/v1/channels/mail", {"smtpPort": 465, "smtpSecurity": "tls"}),
    ("channels-retry", "POST", "/v1/channels/mail/retry", None),
    ("channels-revisions", "GET", "/v1/channels/mail/revisions", None),
    ("channels-revisions-get", "GET", "/v1/channels/mail/revisions/1", None),
    ("channels-diff", "GET", "/v1/channels/mail/diff?from=1&to=2", None),
    ("channels-undo", "POST", "/v1/channels/mail/undo", {"revision": 1}),
    ("rules-create", "POST", "/v1/notificationrules", NOTIFICATION_RULE),
    ("rules-list", "GET", "/v1/notificationrules?limit=9", None),
    ("rules-get", "GET", "/v1/notificationrules/fails", None),
    (
        "rules-update",
        "PUT",
        "/v1/notificationrules/fails",
        {**NOTIFICATION_RULE, "severity": "critical"},
    ),
    ("rules-patch", "PATCH", "/v1/notificationrules/fails", {"quietMinutes": 30}),
    ("rules-revisions", "GET", "/v1/notificationrules/fails/revisions", None),
    ("rules-revisions-get", "GET", "/v1/notificationrules/fails/revisions/1", None),
    ("rules-diff", "GET", "/v1/notificationrules/fails/diff?from=1&to=2", None),
    ("rules-undo", "POST", "/v1/notificationrules/fails/undo", {"revision": 1}),
    ("rules-delete", "DELETE", "/v1/notificationrules/fails", None),
    ("channels-delete", "DELETE", "/v1/channels/mail", None),
    ("roles-create", "POST", "/v1/roles", ROLE),
    ("roles-list", "GET", "/v1/roles?limit=9", None),
    ("roles-get", "GET", "/v1/roles/deployer", None),
    ("roles-update", "PUT", "/v1/roles/deployer", {"permissions": ["read apps/web"]}),
    ("roles-patch", "PATCH", "/v1/roles/deployer", {"description": "of the pipeline"}),
    ("roles-revisions", "GET", "/v1/roles/deployer/revisions", None),
    ("roles-revisions-get", "GET", "/v1/roles/deployer/revisions/1", None),
    ("roles-diff", "GET", "/v1/roles/deployer/diff?from=1&to=2", None),
    ("roles-undo", "POST", "/v1/roles/deployer/undo", {"revision": 1}),
    ("tokens-create-narrow", "POST", "/v1/tokens", NARROW),
    ("tokens-rotate", "POST", "/v1/tokens/narrow/rotate", {"overlap": "1h"}),
    ("tokens-delete-narrow", "DELETE", "/v1/tokens/narrow", None),
    ("roles-delete", "DELETE", "/v1/roles/deployer", None),
    ("session", "", "", None),
    ("whoami", "GET", "/v1/whoami", None),
    ("can-i", "GET", "/v1/can-i?verb=restart&kind=node&name=n1", None),
    ("sessions-list", "GET", "/v1/sessions", None),
    ("sessions-end", "DELETE", "/v1/sessions/a-session", None),
    (
        "users-create",
        "POST",
        "/v1/users",
        {"name": "ann", "password": "correct horse battery", "grants": {"north": "operator"}},
    ),
    ("users-list", "GET", "/v1/users", None),
    ("users-change", "PUT", "/v1/users/ann", {"grants": {"*": "viewer"}}),
    ("users-totp", "POST", "/v1/users/ann/totp", None),
    ("users-totp-delete", "DELETE", "/v1/users/ann/totp", None),
    ("users-delete", "DELETE", "/v1/users/ann", None),
]


def step_rollouts(tx: Transaction, now: datetime) -> None:
    """Take a step of each rollout, as the driver does."""
    for rollout in driven_rollouts(tx):
        keep_step(tx, plan_step(tx, rollout, now=now), now=now)
