"""Signatures with real keys and the real library; needs the extra `signing`."""

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from components.contract.errors import PromotionError
from components.release.candidate import verify
from components.release.signature import make_keys, sign, signature_path, verify_signature


def names_of(candidate: Path) -> list[str]:
    return sorted(path.relative_to(candidate).as_posix() for path in candidate.rglob("*") if path.is_file())


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def candidate(candidates, make_candidate) -> Path:
    return candidates / make_candidate().digest


@pytest.fixture
def signature(candidate: Path, keys) -> Path:
    """The path of the candidate's signature, which is there."""
    path = signature_path(candidate)
    sign(candidate, keys[0], None, path)
    return path


def test_a_signed_candidate_is_accepted_and_unchanged(candidate, keys, signature):
    """The signature lies beside the folder, covers every file in it, and D is what it was."""
    assert signature.parent == candidate.parent
    verify_signature(candidate, keys[1], signature)
    verify(candidate)
    payload = json.loads(signature.read_text())["dsseEnvelope"]["payload"]
    resources = json.loads(base64.b64decode(payload))["predicate"]["resources"]
    assert [file["name"] for file in resources] == names_of(candidate)


def test_one_changed_byte_in_any_file_is_refused_with_its_name(candidate, keys, signature):
    """Same size, one bit: the sentence names the file, manifest.json included."""
    names = names_of(candidate)
    assert {"encoder/model.safetensors", "index/items.parquet", "manifest.json"} < set(names)
    for name in names:
        whole = (candidate / name).read_bytes()
        (candidate / name).chmod(0o644)
        (candidate / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(PromotionError, match=f"{name} was changed after the candidate was signed"):
            verify_signature(candidate, keys[1], signature)
        (candidate / name).write_bytes(whole)
    verify_signature(candidate, keys[1], signature)


@pytest.mark.parametrize("name", ["encoder/extra.json", ".gitattributes", "index/.hidden"])
def test_an_added_file_is_refused_with_its_name(candidate, keys, signature, name):
    """Hidden files and git's own count too."""
    (candidate / name).write_text("{}")
    with pytest.raises(PromotionError, match=f"{name} was added"):
        verify_signature(candidate, keys[1], signature)


def test_a_removed_file_is_refused_with_its_name(candidate, keys, signature):
    (candidate / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(PromotionError, match=r"encoder/tokenizer\.json is missing, but was signed"):
        verify_signature(candidate, keys[1], signature)


def test_a_link_in_place_of_a_file_is_refused_with_its_name(candidate, keys, signature, tmp_path):
    """The right bytes behind a link can be changed later without touching the candidate."""
    (candidate / "retrieval.json").rename(tmp_path / "outside.json")
    (candidate / "retrieval.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(PromotionError, match=r"retrieval\.json' because it is a symlink"):
        verify_signature(candidate, keys[1], signature)


def test_another_key_is_refused(candidate, keys, signature, tmp_path):
    """Also where the signature claims to be of this key, and where files were changed as well."""
    other_private, other_public = make_keys(tmp_path / "other")
    with pytest.raises(PromotionError, match="does not fit the key"):
        verify_signature(candidate, other_public, signature)
    hint = json.loads(signature.read_text())["verificationMaterial"]["publicKey"]["hint"]
    sign(candidate, other_private, None, signature)
    bundle = json.loads(signature.read_text())
    bundle["verificationMaterial"]["publicKey"]["hint"] = hint
    signature.write_text(json.dumps(bundle))
    (candidate / "added.json").write_text("{}")
    with pytest.raises(PromotionError, match="does not fit the key"):
        verify_signature(candidate, keys[1], signature)


def test_an_edited_statement_is_refused(candidate, keys, signature):
    """Changing a file and its digest in the signature does not help."""
    (candidate / "retrieval.json").chmod(0o644)
    (candidate / "retrieval.json").write_text("{}")
    bundle = json.loads(signature.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"][-1]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    signature.write_text(json.dumps(bundle))
    with pytest.raises(PromotionError, match="does not fit the key"):
        verify_signature(candidate, keys[1], signature)


def test_another_candidates_signature_is_refused(candidate, candidates, make_candidate, keys, signature):
    """A genuine signature of other files is none of these."""
    other = candidates / make_candidate(seed=5).digest
    with pytest.raises(PromotionError, match=r"fingerprint\.json was changed"):
        verify_signature(other, keys[1], signature)


def test_files_that_a_signature_leaves_out_count_all_the_same(candidate, keys, tmp_path):
    """The team's key on a signature that skips a folder does not let changes there pass."""
    import model_signing

    hashing = model_signing.hashing.Config().set_ignored_paths(paths=["encoder"])
    config = model_signing.signing.Config().set_hashing_config(hashing)
    partial = tmp_path / "partial.sig"
    config.use_elliptic_key_signer(private_key=keys[0]).sign(candidate, partial)
    with pytest.raises(PromotionError, match=r"encoder/config\.json was added"):
        verify_signature(candidate, keys[1], partial)


def test_a_signature_of_the_librarys_own_making_is_accepted(candidate, keys, tmp_path):
    """`model_signing sign key` signs with its defaults; as long as they leave nothing out, that will do."""
    import model_signing

    theirs = tmp_path / "theirs.sig"
    model_signing.signing.Config().use_elliptic_key_signer(private_key=keys[0]).sign(candidate, theirs)
    verify_signature(candidate, keys[1], theirs)


def test_no_signature_and_a_broken_one_are_told_apart(candidate, keys, signature):
    text = signature.read_text()
    for broken in ("", "[]", '{"dsseEnvelope": {"payload": "e30="}}', text[: len(text) // 2]):
        signature.write_text(broken)
        with pytest.raises(PromotionError, match="no signature that can be read"):
            verify_signature(candidate, keys[1], signature)
    for part in ("verificationMaterial", "mediaType"):
        bundle = json.loads(text)
        del bundle[part]
        signature.write_text(json.dumps(bundle))
        with pytest.raises(PromotionError, match="does not fit the key"):
            verify_signature(candidate, keys[1], signature)
    signature.unlink()
    with pytest.raises(PromotionError, match=r"\.sig is missing: the candidate was not signed"):
        verify_signature(candidate, keys[1], signature)


def test_an_unreadable_key_is_named(candidate, keys, signature, tmp_path):
    """Absent, no PEM, of another kind, or the private one in place of the public one."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    text, other, curve = (tmp_path / name for name in ("text.pub", "ed25519.pub", "k1.pub"))
    text.write_text("no key")
    for path, key in (
        (other, ed25519.Ed25519PrivateKey.generate()),
        (curve, ec.generate_private_key(ec.SECP256K1())),
    ):
        form = pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo
        path.write_bytes(key.public_key().public_bytes(*form))
    for path in (tmp_path / "absent.pub", text, other, curve, keys[0]):
        with pytest.raises(PromotionError, match=f"{path.name}: the key cannot be read"):
            verify_signature(candidate, path, signature)
    with pytest.raises(PromotionError, match=r"signing\.pub: the key cannot be read"):
        sign(candidate, keys[1], None, signature)


def test_an_encrypted_key_needs_its_password(candidate, tmp_path):
    """None, and a wrong one, are refused before anything is written."""
    private, public = make_keys(tmp_path / "locked", password="correct horse")
    path = signature_path(candidate)
    for password in (None, "wrong"):
        with pytest.raises(PromotionError, match=r"signing\.key: the key cannot be read"):
            sign(candidate, private, password, path)
    assert not path.exists()
    sign(candidate, private, "correct horse", path)
    verify_signature(candidate, public, path)


def test_what_is_not_d_is_not_signed(candidate, keys):
    """A changed candidate gets no signature."""
    (candidate / "retrieval.json").chmod(0o644)
    (candidate / "retrieval.json").write_text("{}")
    with pytest.raises(PromotionError, match=r"retrieval\.json was changed"):
        sign(candidate, keys[0], None, signature_path(candidate))
    assert not signature_path(candidate).exists()


def test_a_signature_inside_the_candidate_is_refused(candidate, keys):
    """It would be a file that D does not list."""
    with pytest.raises(PromotionError, match="beside its candidate"):
        sign(candidate, keys[0], None, candidate / "encoder" / "model.sig")
    verify(candidate)


def test_keys_are_private_and_never_replaced(keys):
    """0600 whatever the umask; a second call changes neither file."""
    before = [key.read_bytes() for key in keys]
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    with pytest.raises(PromotionError, match="is there already"):
        make_keys(keys[0].parent)
    keys[0].unlink()
    with pytest.raises(PromotionError, match=r"signing\.pub is there already"):
        make_keys(keys[0].parent)
    assert not keys[0].exists()
    assert keys[1].read_bytes() == before[1]


def test_without_the_package_nothing_passes(candidate, keys, signature, monkeypatch):
    """Fails closed, and says which extra to install."""
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for act in (
        lambda: verify_signature(candidate, keys[1], signature),
        lambda: sign(candidate, keys[0], None, signature),
        lambda: make_keys(candidate.parent),
    ):
        with pytest.raises(PromotionError, match="pip install model-signing"):
            act()


WITHOUT_NETWORK = """
import socket, sys
from pathlib import Path

def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        raise RuntimeError(f"network: {event}")

sys.addaudithook(refuse)
try:
    socket.create_connection(("127.0.0.1", 9))
except RuntimeError:
    pass
else:
    sys.exit("the check itself does not work")

from components.contract.errors import PromotionError
from components.release.signature import make_keys, sign, verify_signature

candidate, folder = Path(sys.argv[1]), Path(sys.argv[2])
private, public = make_keys(folder)
sign(candidate, private, None, folder / "x.sig")
verify_signature(candidate, public, folder / "x.sig")
(candidate / "added.json").write_text("{}")
try:
    verify_signature(candidate, public, folder / "x.sig")
except PromotionError as error:
    print(error)
"""


def test_no_address_is_looked_up_or_connected_to(candidate, tmp_path):
    """From the import of the library to a refusal: Python reports no use of a socket."""
    command = [sys.executable, "-c", WITHOUT_NETWORK, str(candidate), str(tmp_path / "keys")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[3], env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "added.json was added" in done.stdout
