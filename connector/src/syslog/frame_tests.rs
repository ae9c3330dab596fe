use proptest::prelude::*;

use super::*;

const HEAD: &str = "<85>1 2026-03-02T09:00:00Z h a 1 IHE+RFC-3881 - ";

fn message(text: &str) -> String {
    format!("{HEAD}<AuditMessage>{text}</AuditMessage>")
}

fn framed(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// A frame as `npm atna-audit` sends it: the length in UTF-16 units.
fn framed_by_characters(message: &str) -> Vec<u8> {
    format!("{} {message}", message.encode_utf16().count()).into_bytes()
}

/// All that a stream gives, in pieces of `size` bytes; then it ends.
fn all(stream: &[u8], resync: bool, size: usize) -> Vec<Next> {
    let mut frames = Frames::new(resync);
    let mut out = Vec::new();
    for piece in stream.chunks(size) {
        frames.push(piece);
        loop {
            match frames.next(false) {
                Next::More => break,
                Next::Wrong { bytes, why } => {
                    out.push(Next::Wrong { bytes, why });
                    return out;
                }
                next => out.push(next),
            }
        }
    }
    loop {
        match frames.next(true) {
            Next::More => break,
            next => out.push(next),
        }
    }
    match frames.rest() {
        Next::More => {}
        next => out.push(next),
    }
    out
}

fn given(text: &str, repaired: bool) -> Next {
    Next::Message { bytes: text.as_bytes().to_vec(), repaired }
}

#[test]
fn messages_of_any_length_come_out_whole() {
    let (a, b) = (message("é"), format!("{HEAD}plain"));
    let stream = [framed(&a), b"\n".to_vec(), framed(&b), framed(&a)].concat();
    for size in [1, 2, 7, 4096] {
        assert_eq!(all(&stream, false, size), [given(&a, false), given(&b, false), given(&a, false)], "{size}");
    }
}

#[test]
fn a_length_in_characters_ends_the_stream_and_its_bytes_are_there() {
    let (short, next) = (message("accès à l'été"), message("b"));
    let stream = [framed(&next), framed_by_characters(&short), framed(&next)].concat();
    for size in [1, 5, 4096] {
        let out = all(&stream, false, size);
        assert_eq!(out[0], given(&next, false));
        let Next::Wrong { bytes, why: Wrong::Length } = &out[1] else { panic!("{out:?}") };
        let text = String::from_utf8_lossy(bytes);
        assert!(text.starts_with(&short.encode_utf16().count().to_string()), "{text}");
        if size == 4096 {
            assert_eq!(bytes, &stream[framed(&next).len()..], "everything that came");
        }
        assert_eq!(out.len(), 2);
    }
}

#[test]
fn with_resync_a_wrong_length_costs_nothing() {
    let (short, next) = (message("accès à l'été"), message("b"));
    let too_long = format!("{} {next}", next.len() + 9).into_bytes();
    let stream = [framed_by_characters(&short), too_long, framed(&short), framed_by_characters(&short)].concat();
    for size in [1, 5, 4096] {
        let expected = [given(&short, true), given(&next, true), given(&short, false), given(&short, true)];
        assert_eq!(all(&stream, true, size), expected, "{size}");
    }
    let out = all(&[b"GET / HTTP/1.1\r\n\r\n".to_vec(), framed(&next)].concat(), true, 4096);
    assert_eq!(out, [Next::Skipped(b"GET / HTTP/1.1\r\n\r\n".to_vec()), given(&next, false)]);
}

#[test]
fn what_is_no_frame_or_too_long_ends_the_stream() {
    for stream in [&b"GET / HTTP/1.1\r\n"[..], b"<85>1 - - - - - -", b"0 x", b"012 x", b"-1 x"] {
        let out = all(stream, false, 4096);
        assert!(matches!(&out[..], [Next::Wrong { why: Wrong::Length, bytes }] if bytes == stream), "{out:?}");
    }
    for stream in [&b"99999999 <85>1 "[..], b"1048577 <85>1 "] {
        assert!(matches!(&all(stream, false, 3)[..], [Next::Wrong { why: Wrong::TooLong, .. }]));
    }
    let cut = &framed(&message("x"))[..40];
    assert!(matches!(&all(cut, false, 9)[..], [Next::Wrong { why: Wrong::Ended, bytes }] if bytes == cut));
}

proptest! {
    #[test]
    fn no_byte_is_lost_whatever_comes(stream in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'<'), Just(b'1'), Just(b'>')], 0..300), resync: bool, size in 1_usize..40) {
        let mut bytes = 0;
        for next in all(&stream, resync, size) {
            bytes += match next {
                Next::Message { bytes, .. } | Next::Skipped(bytes) | Next::Wrong { bytes, .. } => bytes.len(),
                Next::More => 0,
            };
        }
        prop_assert!(bytes <= stream.len());
    }

    #[test]
    fn true_lengths_are_read_whatever_the_text_and_the_pieces(texts in prop::collection::vec("[^<>&]{0,30}", 1..6), resync: bool, size in 1_usize..200) {
        let messages: Vec<String> = texts.iter().map(|text| message(text)).collect();
        let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        let expected: Vec<Next> = messages.iter().map(|message| given(message, false)).collect();
        prop_assert_eq!(all(&stream, resync, size), expected);
    }

    #[test]
    fn lengths_in_characters_are_repaired(texts in prop::collection::vec("[a-zéà😀 ]{0,30}", 1..6), size in 1_usize..200) {
        let messages: Vec<String> = texts.iter().map(|text| message(text)).collect();
        let stream: Vec<u8> = messages.iter().flat_map(|message| framed_by_characters(message)).collect();
        let found: Vec<Vec<u8>> = all(&stream, true, size).into_iter().map(|next| match next {
            Next::Message { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }).collect();
        let expected: Vec<Vec<u8>> = messages.iter().map(|message| message.as_bytes().to_vec()).collect();
        prop_assert_eq!(found, expected);
    }
}
