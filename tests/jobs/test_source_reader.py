"""Values in files and variables: what is below the name of the namespace, and nothing else."""

import os
from pathlib import Path

import pytest

from cloud.core.secret import SIZE_LIMIT, SecretSpec, checked_secret_spec
from cloud.core.secret_source import SecretSource
from cloud.errors import Invalid
from cloud.jobs.source_reader import SourceReader
from tests.store.conftest import unavailable


@pytest.fixture
def reader(tmp_path: Path) -> SourceReader:
    for namespace in ("shop", "bank"):
        (tmp_path / "sources" / namespace).mkdir(parents=True)
        (tmp_path / "sources" / namespace / "password").write_text(f"{namespace}'s")
    (tmp_path / "outside").write_text("outside")
    environ = {"SECRET_SHOP__PASSWORD": "in shop", "PATH": "/bin", "SECRET_SHOP__EMPTY": ""}
    return SourceReader(tmp_path / "sources", "SECRET_", environ)


async def read(reader: SourceReader, source: SecretSource, namespace: str = "shop") -> str:
    return (await reader.values(namespace, {"k": source}))["k"]


async def test_a_namespace_reads_its_own_files_and_variables(reader: SourceReader) -> None:
    file, variable = SecretSource(file="password"), SecretSource(env="PASSWORD")
    assert await read(reader, file) == "shop's"
    assert await read(reader, file, "bank") == "bank's"
    assert await read(reader, variable) == "in shop"
    with unavailable("has no SECRET_BANK__PASSWORD"):
        await read(reader, variable, "bank")
    with unavailable("k: env EMPTY: the environment of the server has no SECRET_SHOP__EMPTY"):
        await read(reader, SecretSource(env="EMPTY"))


async def test_links_lead_to_what_is_below_only(reader: SourceReader, tmp_path: Path) -> None:
    shop = tmp_path / "sources" / "shop"
    (shop / "..data").mkdir()  # as Kubernetes mounts secrets
    (shop / "..data" / "key").write_text("mounted")
    (shop / "key").symlink_to("..data/key")
    assert await read(reader, SecretSource(file="key")) == "mounted"
    for number, target in enumerate(("../bank/password", "../../outside", "/etc/hostname")):
        (shop / f"link{number}").symlink_to(target)
        with unavailable("it leads out of the directory of namespace shop"):
            await read(reader, SecretSource(file=f"link{number}"))
    (shop / "up").symlink_to("..")
    with unavailable("it leads out"):
        await read(reader, SecretSource(file="up/bank/password"))
    (tmp_path / "sources" / "linked").symlink_to(tmp_path / "sources" / "bank")
    (tmp_path / "sources" / "away").symlink_to(tmp_path)
    with unavailable("it leads out"):
        await read(reader, SecretSource(file="outside"), "away")
    (shop / "circle").symlink_to("circle")
    with unavailable("k: file circle"):
        await read(reader, SecretSource(file="circle"))


async def test_only_texts_of_some_size_are_read(reader: SourceReader, tmp_path: Path) -> None:
    shop = tmp_path / "sources" / "shop"
    os.mkfifo(shop / "pipe")
    (shop / "device").symlink_to("/dev/zero")
    (shop / "empty").touch()
    (shop / "large").write_bytes(b"x" * (SIZE_LIMIT + 1))
    (shop / "binary").write_bytes(b"\xff\xfe")
    reasons = {
        "pipe": "it is not a file",
        "device": "it leads out",
        "empty": "it is empty",
        "large": f"it has more than {SIZE_LIMIT} bytes",
        "binary": "it is not text in UTF-8",
        "none": "No such file",
    }
    for name, reason in reasons.items():
        with unavailable(f"k: file {name}: {reason}"):
            await read(reader, SecretSource(file=name))
    (shop / "half").write_bytes(b"x" * (SIZE_LIMIT // 2 + 1))
    two = {"a": SecretSource(file="half"), "b": SecretSource(file="half")}
    with unavailable("all values have more than"):
        await reader.values("shop", two)


def test_a_source_that_names_nothing_is_refused_by_the_rules_of_secrets() -> None:
    sources = {"a": SecretSource()}
    SourceReader().check(sources)
    with pytest.raises(Invalid, match="is not one of file, env and vault"):
        checked_secret_spec(SecretSpec({}, data_from=sources))


async def test_what_the_operator_does_not_allow_is_refused_and_not_read() -> None:
    reader = SourceReader(environ={"SHOP__A": "x"})
    settings = {
        "secret_source_dir": SecretSource(file="a"),
        "secret_variable_prefix": SecretSource(env="A"),
        "vault_url": SecretSource(vault="a", field="b"),
    }
    for setting, source in settings.items():
        with pytest.raises(Invalid, match=f"{setting} is empty"):
            reader.check({"k": source})
        with unavailable("k: "):
            await read(reader, source)
