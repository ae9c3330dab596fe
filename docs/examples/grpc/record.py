"""Signs an access and has it recorded, with the published messages alone. README.md says how to run it; § are those of docs/formats.md."""

import base64
import hashlib
import os
import secrets
import struct
import sys
import time
import tomllib
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sillage.v1 import ledger_pb2, ledger_pb2_grpc, record_pb2

ED25519 = 1
ACCESS_READ = 0x0601
BASIS = 1 << 4  # a flag of §5: the record says by what right it happened
COVERED_MAX_S = 15  # a checkpoint covers a record within 10 s


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def key_id(public_key):
    return h(b"sillage/key/v1\0", bytes([ED25519]), public_key)


def public_bytes(key):
    return key.public_key().public_bytes_raw()


class Ledger:
    """The nodes of a profile, asked one after the other."""

    def __init__(self, profile):
        folder, self.profile = profile.parent, tomllib.loads(profile.read_text())

        def read(name):
            return (folder / self.profile[name]).read_bytes()

        tls = grpc.ssl_channel_credentials(read("ca"), read("key"), read("cert"))
        name = (("grpc.ssl_target_name_override", self.profile.get("server_name", "sillage-node")),)
        addresses = [endpoint.removeprefix("https://") for endpoint in self.profile["endpoints"]]
        self.nodes = [ledger_pb2_grpc.LedgerStub(grpc.secure_channel(at, tls, options=name)) for at in addresses]
        self.genesis = record_pb2.Genesis.FromString(read("genesis"))
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(read("author_key").decode().strip()))

    def ask(self, call, request):
        """The answer of the first node that has one. An error of the ledger names its code in its details."""
        for node in self.nodes:
            try:
                return getattr(node, call)(request, timeout=20)
            except grpc.RpcError as error:
                last = error
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    break
        raise last


def access(tag, document):
    """A record (§2). Its bytes are in canonical encoding: fields in the order of their numbers, defaults left out."""
    actor = record_pb2.Actor(
        system="urn:oid:1.2.250.1.71.4.2.1", id="10100534436", role="physician", organisation="750712184",
        label="Dr Claire Dubois",
    )
    record = record_pb2.Record(
        version=1, kind=ACCESS_READ, tag=tag, actor=actor, items=[record_pb2.Item(id=document, category="REPORT")],
        occurred_at_ms=int(time.time() * 1000), purpose="TREAT",
        basis=record_pb2.Basis(kind=record_pb2.BASIS_KIND_CARE_TEAM), outcome=record_pb2.OUTCOME_SUCCESS,
    )
    return record.SerializeToString(deterministic=True)


def sign(ledger, label, seq, tag, record):
    """A batch of one record (§3), the message that its author signed, and its root."""
    salt = secrets.token_bytes(16)
    record_hash = h(b"\x00", salt, record)
    # The tree over one leaf is that leaf.
    root = h(b"\x06", struct.pack(">HH", ACCESS_READ, BASIS), tag, record_hash)
    own = public_bytes(ledger.key)
    author_id = h(b"sillage/author/v1\0", own)
    stream_id = h(b"sillage/stream/v1\0", author_id, label.encode())
    origin = ledger.genesis.origin.encode()
    head = bytes([ED25519]), key_id(own), bytes([len(origin)]), origin, stream_id, struct.pack(">QI", seq, 1), root
    batch = ledger_pb2.Batch(
        alg=ED25519, key_id=key_id(own), stream_label=label, seq=seq, root=root,
        signature=ledger.key.sign(b"".join((b"sillage/batch/v2\0", *head))),
        records=[ledger_pb2.SaltedRecord(salt=salt, record=record)],
    )
    return batch, stream_id, record_hash


def check_receipt(ledger, receipt, batch, stream_id):
    """The index that a receipt (§4) gives the batch's first record, after its signature was verified."""
    keys = {key_id(node.key.key): node.key.key for node in ledger.genesis.nodes}
    origin = ledger.genesis.origin.encode()
    prefix = b"sillage/receipt/v1\0" + bytes([ED25519])
    signer = receipt.message[len(prefix) : len(prefix) + 32]
    # Raises where the signature is wrong, or the key is none of the log's nodes.
    Ed25519PublicKey.from_public_bytes(keys[signer]).verify(receipt.signature, receipt.message)
    said = b"".join(
        (prefix, signer, bytes([len(origin)]), origin, stream_id, struct.pack(">QI", batch.seq, len(batch.records)), batch.root)
    )
    assert receipt.message[: len(said)] == said, "the receipt is for another batch"
    index, _time_ms = struct.unpack(">QQ", receipt.message[len(said) :])
    return index


def check_entry(entry, index, tag, record_hash):
    """A record entry (§5) says what was signed."""
    version, kind, _flags, own, _time_ms = struct.unpack(">BBHQQ", entry[:20])
    assert (version, kind, own) == (1, 2, index), "another entry"
    assert entry[20:] == struct.pack(">H", ACCESS_READ) + tag + record_hash + struct.pack(">I", 0), "another record"


def root_of(leaf, index, size, path):
    """The root to which an inclusion path leads (RFC 9162, 2.1.3.2)."""
    at, last, root = index, size - 1, leaf
    for sibling in path:
        assert last > 0, "the path is too long"
        if at & 1 or at == last:
            root = h(b"\x01", sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = h(b"\x01", root, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0, "the path is too short"
    return root


def check_note(ledger, note):
    """Size and root of a checkpoint (c2sp.org/tlog-checkpoint), after the log's own signature was verified."""
    text, signatures = note.split("\n\n", 1)
    origin, key = ledger.genesis.origin, ledger.genesis.log_public_key
    mark = h(origin.encode(), b"\n\x01", key)[:4]
    for line in signatures.splitlines():
        _dash, name, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if name == origin and signature[:4] == mark:
            Ed25519PublicKey.from_public_bytes(key).verify(signature[4:], text.encode() + b"\n")
            said, size, root = text.split("\n")
            assert said == origin, "a checkpoint of another log"
            return int(size), base64.b64decode(root)
    raise AssertionError("the log's key hasn't signed this checkpoint")


def covering(ledger, index):
    """The newest checkpoint, once it covers the entry at `index`."""
    deadline = time.monotonic() + COVERED_MAX_S
    while True:
        try:
            return ledger.ask("GetCheckpoint", ledger_pb2.GetCheckpointRequest(size_min=index + 1)).note
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main():
    ledger = Ledger(Path(sys.argv[1]))
    log = ledger.ask("GetLog", ledger_pb2.GetLogRequest())
    assert record_pb2.Genesis.FromString(log.genesis) == ledger.genesis, "another log"

    patient = ledger_pb2.PatientIdentity(ins=os.environ["INS"], oid=os.environ["INS_OID"])
    tag = ledger.ask("ResolveTags", ledger_pb2.ResolveTagsRequest(identities=[patient])).tags[0].tag

    label = "python"
    streams = ledger.ask("StreamStatus", ledger_pb2.StreamStatusRequest(stream_label=label)).streams
    seq = 1 + (streams[0].last_seq if streams else 0)
    record = access(tag, os.environ["DOCUMENT"])
    batch, stream_id, record_hash = sign(ledger, label, seq, tag, record)
    answer = ledger.ask("Submit", ledger_pb2.SubmitRequest(batch=batch))
    index = check_receipt(ledger, answer.receipt, batch, stream_id)

    size, root = check_note(ledger, covering(ledger, index))
    for node in ledger.nodes:
        proof = node.ProveInclusion(ledger_pb2.ProveInclusionRequest(index=index, size=size), timeout=20)
        found = node.GetEntry(ledger_pb2.GetEntryRequest(index=index), timeout=20)
        check_entry(found.entry, index, tag, record_hash)
        assert found.record == record, "the record came back otherwise"
        assert root_of(h(b"\x00", found.entry), index, size, proof.path) == root, "it isn't under the checkpoint"
    print(index)


if __name__ == "__main__":
    main()
