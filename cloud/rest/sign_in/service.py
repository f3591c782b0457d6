"""The identity providers of a server, and the sessions that begin with their tokens."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from joserfc.jwk import KeySet

from cloud.core.audit import UNKNOWN, Action, Attempt
from cloud.core.identity_providers import IdentityProvider
from cloud.core.tokens import EVERYWHERE
from cloud.core.user_sessions import (
    NewSession,
    Origin,
    SessionKind,
)
from cloud.errors import Denied, NotFound
from cloud.http.refusals import RefusalLog
from cloud.operations.audit import carry_out
from cloud.operations.user_sessions import begin_session
from cloud.rest.sign_in.id_tokens import issuer_in, verified_claims
from cloud.rest.sign_in.new_sessions import make_session
from cloud.rest.sign_in.pending_sign_in import PendingSignIns
from cloud.rest.sign_in.provider_client import ProviderClient
from cloud.store.transaction import Store


class SignInService:
    """Begins sessions for who a provider vouches for; without *clients* there is no way in."""

    def __init__(
        self,
        clients: Sequence[ProviderClient],
        pending: PendingSignIns,
        store: Store,
        clock: Callable[[], datetime],
        refusals: RefusalLog,
        new_id: Callable[[], str],
    ) -> None:
        self._clients = {client.provider.name: client for client in clients}
        self._store = store
        self._refusals = refusals
        self._new_id = new_id
        self.pending = pending
        self.clock = clock

    @property
    def providers(self) -> Sequence[IdentityProvider]:
        """The providers, in the order of the file."""
        return [client.provider for client in self._clients.values()]

    def client(self, name: str) -> ProviderClient:
        """The client of the provider *name* that people may sign in with; else NotFound."""
        client = self._clients.get(name)
        if client is None or not client.provider.sign_in:
            raise NotFound("identity provider", name)
        return client

    async def signed_in(
        self, client: ProviderClient, token: str, nonce: str, origin: Origin
    ) -> NewSession:
        """A session for the ID *token* that answers the sign-in with *nonce*; else Denied."""
        provider = client.provider
        claims = await self._verified(client, token, [provider.client_id], nonce)
        return await self._begin(
            provider, claims, SessionKind.BROWSER, provider.session_time, origin
        )

    async def exchanged(self, token: str, origin: Origin) -> NewSession:
        """A session for a *token* of a provider that permits that; else Denied."""
        issuer = issuer_in(token)
        for client in self._clients.values():
            provider = client.provider
            if provider.exchange and provider.issuer == issuer:
                claims = await self._verified(client, token, provider.audiences, None)
                kind, lifetime = SessionKind.EXCHANGE, provider.exchange_time
                return await self._begin(provider, claims, kind, lifetime, origin)
        raise Denied("tokens of this issuer cannot be exchanged here")

    async def record_refusal(self, provider: str, error: Denied, origin: Origin) -> None:
        """Record in the audit log that a sign-in was refused."""
        await self._refusals.record(self._attempt(provider, origin), error)

    async def _verified(
        self, client: ProviderClient, token: str, audiences: Sequence[str], nonce: str | None
    ) -> Mapping[str, Any]:
        def checked(keys: KeySet) -> Mapping[str, Any]:
            return verified_claims(
                token,
                keys,
                issuer=client.provider.issuer,
                audiences=audiences,
                nonce=nonce,
                now=self.clock(),
            )

        try:
            return checked(await client.keys())
        except Denied:
            # The provider may sign with a key that it did not have when it was asked last.
            newer = await client.newer_keys()
            if newer is None:
                raise
            return checked(newer)

    async def _begin(
        self,
        provider: IdentityProvider,
        claims: Mapping[str, Any],
        kind: SessionKind,
        lifetime: timedelta,
        origin: Origin,
    ) -> NewSession:
        now, user = self.clock(), provider.user(claims)
        new = make_session(
            self._new_id(),
            user,
            kind,
            provider.grants(claims),
            origin,
            now=now,
            lifetime=lifetime,
        )
        attempt = Attempt(
            user.actor,
            Action.SESSION_CREATE,
            now,
            EVERYWHERE,
            new.session.id,
            origin.address,
            origin.request_id,
        )
        await self._store.write(
            lambda tx: carry_out(tx, attempt, lambda tx: begin_session(tx, new.session))
        )
        return new

    def _attempt(self, provider: str, origin: Origin) -> Attempt:
        return Attempt(
            UNKNOWN,
            Action.SESSION_CREATE,
            self.clock(),
            EVERYWHERE,
            provider,
            origin.address,
            origin.request_id,
        )
