"""Files that no other user can read."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.core.names import check_data_key
from cloud.errors import Invalid
from edgesync_agent.files import replace_folder, safe, write_private


@given(st.text(st.sampled_from("a.-_/\\\0\n ~é"), max_size=8))
def test_what_is_safe_stays_in_its_folder_and_is_what_the_server_allows(name: str) -> None:
    try:
        allowed = check_data_key("data", name)
    except Invalid:
        with pytest.raises(ValueError, match="unsafe name"):
            safe(name)
    else:
        assert safe(name) == allowed
        assert (Path("/x") / name).parent == Path("/x")


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for text in ("one", "two"):
        new = tmp_path / "new"
        new.mkdir()
        write_private(new / text, text.encode())
        replace_folder(new, place)
        assert [path.name for path in place.iterdir()] == [text]
        assert stat.S_IMODE((place / text).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
