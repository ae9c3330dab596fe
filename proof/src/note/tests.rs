use super::*;

// A key pair published in Go programs that use the format.
const SKEY: &str = "PRIVATE+KEY+Test-Betty+df84580a+Afge8kCzBXU7jb3cV2Q363oNXCufJ6u9mjOY1BGRY9E2";
const VKEY: &str = "Test-Betty+df84580a+AQQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB";

fn signer(seed: u8, kind: KeyKind) -> SignerKey {
    let key = SigningKey::from_seed(&[seed; 32]);
    SignerKey::new("example.com/x", kind, key).expect("a valid name")
}

#[test]
fn published_key_lines_are_read_and_written() {
    let signer = SignerKey::from_skey(SKEY).expect("published");
    assert_eq!(signer.verifier().to_string(), VKEY);
    assert_eq!(*signer.to_skey(), SKEY);
    assert_eq!(VKEY.parse(), Ok(signer.verifier().clone()));
    assert!(!format!("{signer:?}").contains("ge8kCzBXU7"));
    for line in [
        "",
        "a",
        "a+b",
        "Test-Betty+df84580b+AQQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB",
        "Test-Betty+DF84580A+AQQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB",
        "Test Betty+df84580a+AQQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB",
        "Test-Betty+df84580a+AQQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB\n",
        "Test-Betty+df84580a+AgQASqPUZoIHcJAF5mBOryctwFdTV1E0GRY4kEAtTzwB",
        SKEY,
    ] {
        assert!(line.parse::<VerifierKey>().is_err(), "{line:?}");
    }
}

#[test]
fn signatures_of_trusted_keys_count_and_others_are_ignored() {
    let (log, witness) = (signer(1, KeyKind::Ed25519), signer(2, KeyKind::CosignatureV1));
    let stranger = signer(3, KeyKind::Ed25519);
    let text = "a text\n\nwith a blank line\n";
    let lines = [&log, &witness, &stranger].map(|key| key.sign(text, 1_679_315_147).expect("in range"));
    let note = SignedNote::new(text.to_owned(), lines.to_vec()).expect("well formed");
    let note = SignedNote::parse(note.to_string().as_bytes()).expect("own note");
    assert_eq!(note.text(), text);
    let verified = note.verify([log.verifier(), witness.verifier()]).expect("both signed");
    let times: Vec<_> = verified.iter().map(|signature| signature.time_s).collect();
    assert_eq!(times, [None, Some(1_679_315_147)]);
    let other = signer(4, KeyKind::Ed25519);
    assert_eq!(note.verify([other.verifier()]), Err(NoteError::NoTrustedSignature));
    assert_eq!(note.verify([]), Err(NoteError::NoTrustedSignature));
}

#[test]
fn one_bad_signature_of_a_trusted_key_spoils_the_note() {
    let (log, witness) = (signer(1, KeyKind::Ed25519), signer(2, KeyKind::CosignatureV1));
    let mut bad = witness.sign("text\n", 5).expect("in range");
    bad.signature[7] = 6;
    let good = log.sign("text\n", 0).expect("in range");
    let note = SignedNote::new("text\n".to_owned(), vec![good, bad]).expect("well formed");
    assert!(note.verify([log.verifier()]).is_ok());
    let verdict = note.verify([log.verifier(), witness.verifier()]);
    assert_eq!(verdict, Err(NoteError::BadSignature("example.com/x".to_owned())));
    assert_eq!(witness.sign("text\n", 1 << 63), Err(NoteError::Time));
}

#[test]
fn a_cosignature_signs_the_message_of_the_specification() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let message = cosigned_message(text, 1_679_315_147).expect("in range");
    assert_eq!(message, format!("cosignature/v1\ntime 1679315147\n{text}"));
    let (witness, time) = (signer(2, KeyKind::CosignatureV1), 1_679_315_147_u64);
    let line = witness.sign(text, time).expect("in range");
    let (stamp, signature) = line.signature.split_at(8);
    assert_eq!(stamp, time.to_be_bytes());
    assert_eq!(witness.verifier().public_key().verify(message.as_bytes(), signature), Ok(()));
}

#[test]
fn malformed_notes_are_refused() {
    let line = signer(1, KeyKind::Ed25519).sign("text\n", 0).expect("in range").to_string();
    assert!(SignedNote::parse(format!("text\n\n{line}").as_bytes()).is_ok());
    let minus = line.replace('\u{2014}', "-");
    for note in [
        String::new(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        format!("text\n{line}"),
        format!("text\n\n{}", line.trim_end()),
        format!("text\n\n{line}\n"),
        format!("text\n\n{line}x\n"),
        format!("te\rxt\n\n{line}"),
        format!("te\txt\n\n{line}"),
        format!("text\n\n{minus}"),
        format!("text\n\n {line}"),
        "text\n\n\u{2014} name AAAAAA==\n".to_owned(),
        "text\n\n\u{2014} name AAAAAAB=\n".to_owned(),
        "text\n\n\u{2014} na+me AAAAAAA=\n".to_owned(),
        format!("text\n\n{}", line.repeat(101)),
        "text\n\n\u{2014}  AAAAAAA=\n".to_owned(),
    ] {
        assert!(SignedNote::parse(note.as_bytes()).is_err(), "{note:?}");
    }
    assert!(SignedNote::parse(b"te\xffxt\n\n").is_err());
}
