"""Is a secret read only from where nobody else can read it, and never told?"""

import os

import pytest

from turnkeel_adapters.channels.secret_file import SecretUnusable, read_secret, read_token

TOKEN = "t0ken-of-the-test-server"


@pytest.fixture
def written(tmp_path):
    def write(content, mode=0o600):
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize("content", [TOKEN.encode(), f"  {TOKEN}\r\n".encode(), f"{TOKEN}\n".encode()])
def test_the_white_space_around_a_secret_is_no_part_of_it(written, content):
    assert read_secret(written(content)) == TOKEN


def test_a_link_to_a_secret_is_followed_as_secret_stores_make_them(written, tmp_path):
    written(TOKEN.encode())
    (tmp_path / "link").symlink_to("token")
    assert read_secret(tmp_path / "link") == TOKEN


BAD = [
    ("others may read it", TOKEN.encode(), 0o644, "others may read or change it"),
    ("a group may write it", TOKEN.encode(), 0o620, "others may read or change it"),
    ("it is empty", b"\n", 0o600, "at least 16 characters"),
    ("it can be guessed", b"hunter2", 0o600, "at least 16 characters"),
    ("two lines", f"{TOKEN}\n{TOKEN}".encode(), 0o600, "printable ASCII without spaces"),
    ("blanks in it", f"{TOKEN} {TOKEN}".encode(), 0o600, "printable ASCII without spaces"),
    ("bytes that are no text", b"\xff\xfe" + TOKEN.encode(), 0o600, "printable ASCII without spaces"),
    ("a whole file of them", TOKEN.encode() * 200, 0o600, "longer than 4096 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "mode", "told"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_what_is_no_secret_is_refused_and_not_repeated(written, content, mode, told):
    path = written(content, mode)
    with pytest.raises(SecretUnusable, match=told) as caught:
        read_secret(path)
    assert str(path) in str(caught.value) and TOKEN not in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_file_of_another_user_is_refused(written, monkeypatch):
    path = written(TOKEN.encode())
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 7)
    if owner == 0:  # the machine's own administrator may give secrets to anybody
        assert read_secret(path) == TOKEN
        os.chown(path, 1234, -1)
        monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(SecretUnusable, match="make it yours"):
        read_secret(path)


def test_a_pipe_in_the_place_of_a_secret_blocks_nobody(tmp_path):
    os.mkfifo(tmp_path / "token", 0o600)
    with pytest.raises(SecretUnusable, match="not a regular file"):
        read_secret(tmp_path / "token")


@pytest.mark.parametrize(("name", "told"), [("missing", "No such file"), (".", "not a regular file")])
def test_a_secret_that_is_not_there_is_named(tmp_path, name, told):
    with pytest.raises(SecretUnusable, match=told):
        read_secret(tmp_path / name)


def test_a_folder_in_the_place_of_a_secret_leaves_no_file_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(SecretUnusable):
            read_secret(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_token_comes_from_the_file_or_from_the_variable_or_from_nowhere(written):
    path = written(TOKEN.encode())
    assert read_token(str(path), None, {}) == TOKEN
    assert read_token(None, "OPS", {"OPS": f"{TOKEN}\n"}) == TOKEN
    assert read_token(None, None, {"OPS": TOKEN}) is None


@pytest.mark.parametrize(("environ", "told"), [({}, "OPS: not set"), ({"OPS": "hunter2"}, "OPS: a secret has")])
def test_a_variable_that_holds_no_token_is_named_and_not_repeated(environ, told):
    with pytest.raises(SecretUnusable, match=told) as caught:
        read_token(None, "OPS", environ)
    assert "hunter2" not in str(caught.value)
