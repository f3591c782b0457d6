"""What every store promises of tokens that open the API."""

from dataclasses import replace

import pytest

from cloud.core.listing import ListOptions, Page
from cloud.core.permissions import Permission
from cloud.core.tokens import EVERYWHERE, ApiToken, Role
from cloud.errors import Conflict
from cloud.store.transaction import Store, Transaction
from tests.store.conftest import LATER, NOW


def token(name: str = "ci", namespace: str = "default", digest: str = "d1") -> ApiToken:
    return ApiToken(namespace, name, digest, Role.OPERATOR, NOW, LATER)


async def put(store: Store, *tokens: ApiToken) -> None:
    def work(tx: Transaction) -> None:
        for one in tokens:
            tx.put_api_token(one)

    await store.write(work)


@pytest.mark.parametrize("role", Role)
async def test_a_token_is_got_by_its_digest_as_it_was_put(store: Store, role: Role) -> None:
    for one in (replace(token(), role=role), replace(token(), expires=None, last_used=LATER)):
        await put(store, one)
        assert await store.read(lambda tx: tx.api_token("d1")) == one
        assert await store.read(lambda tx: tx.api_tokens("default")) == [one]
    assert await store.read(lambda tx: tx.api_token("d2")) is None


async def test_a_token_put_again_opens_nothing_with_the_digest_of_before(store: Store) -> None:
    await put(store, token(), token(digest="d2"))
    assert await store.read(lambda tx: tx.api_token("d1")) is None
    assert await store.read(lambda tx: tx.api_token("d2")) == token(digest="d2")


async def test_a_rotated_token_is_got_by_both_digests(store: Store) -> None:
    scopes = (Permission("read", "apps", "web"), Permission("*", "rollouts"))
    rotated = replace(token(digest="d2"), role="own", scopes=scopes, nodes="shop=7")
    rotated = replace(rotated, previous_digest="d1", previous_ends=LATER)
    await put(store, token(), rotated, token("other", digest="d3"))
    assert await store.read(lambda tx: tx.api_token("d1")) == rotated
    assert await store.read(lambda tx: tx.api_token("d2")) == rotated
    await put(store, replace(rotated, digest="d4", previous_digest="d2"))
    assert await store.read(lambda tx: tx.api_token("d1")) is None
    with pytest.raises(Conflict):
        await put(store, replace(token("third", digest="d5"), previous_digest="d2"))


async def test_a_deleted_token_is_gone_and_others_stay(store: Store) -> None:
    other = token(namespace="other", digest="d2")
    await put(store, token(), other)
    assert await store.write(lambda tx: tx.delete_api_token("default", "ci"))
    assert not await store.write(lambda tx: tx.delete_api_token("default", "ci"))
    assert await store.read(lambda tx: tx.api_token("d1")) is None
    assert await store.read(lambda tx: tx.api_tokens("default")) == []
    assert await store.read(lambda tx: tx.api_tokens("other")) == [other]


async def test_tokens_are_listed_oldest_first_for_one_namespace_or_all(store: Store) -> None:
    late = replace(token("a", digest="d3"), created=LATER)
    early = token("z", digest="d2")
    everywhere = token(namespace=EVERYWHERE, digest="d4")
    await put(store, late, early, everywhere)
    assert await store.read(lambda tx: tx.api_tokens("default")) == [early, late]
    assert await store.read(lambda tx: tx.api_tokens(EVERYWHERE)) == [everywhere]
    for namespace, expected in (
        ("default", [early, late]),
        ("other", []),
        (EVERYWHERE, [everywhere, early, late]),
    ):
        assert await listed(store, namespace, ListOptions()) == Page(expected, len(expected))


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_pages_of_tokens_neither_repeat_nor_skip_any(store: Store, limit: int) -> None:
    tokens = [
        replace(token(name, namespace, f"{namespace} {name}"), created=created)
        for created in (NOW, LATER)
        for namespace in ("one", "two")
        for name in (f"a{created.timestamp():.0f}", f"b{created.timestamp():.0f}")
    ]
    await put(store, *reversed(tokens))
    seen: list[ApiToken] = []
    options = ListOptions(limit=limit)
    while True:
        page = await listed(store, EVERYWHERE, options)
        assert page.total == len(tokens)
        assert len(page.items) == min(limit, len(tokens) - len(seen))
        seen += page.items
        if page.after is None:
            break
        options = ListOptions(limit=limit, after=page.after)
    by_age = sorted(tokens, key=lambda one: (one.created, f"{one.namespace}/{one.name}"))
    assert seen == by_age


async def listed(store: Store, namespace: str, options: ListOptions) -> Page[ApiToken]:
    return await store.read(lambda tx: tx.list_api_tokens(namespace, options))


async def test_no_two_tokens_have_one_digest(store: Store) -> None:
    await put(store, token())
    with pytest.raises(Conflict):
        await put(store, token("other"))
    assert await store.read(lambda tx: tx.api_tokens("default")) == [token()]
