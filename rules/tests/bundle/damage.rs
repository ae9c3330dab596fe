//! A file that was changed anywhere is refused, and the part that was changed is named.

use proptest::prelude::*;
use sillage_rules::bundle::Bundle;

use crate::story::Story;
use crate::vectors::{reseal, sections, verdict};
use crate::world::policy;

#[test]
fn a_change_of_any_single_byte_names_the_section_that_holds_it() {
    let policy = policy();
    for (name, bundle) in Story::new().all() {
        let bytes = bundle.encode();
        let sections = sections(&bytes);
        for offset in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[offset] ^= 1 << (offset % 8);
            let error = verdict(&bad, &policy).expect_err(name);
            let holds = sections.iter().find(|(_, range)| range.contains(&offset)).map(|(section, _)| *section);
            assert_eq!(error.section(), holds, "{name}, byte {offset}: {error}");
        }
    }
}

#[test]
fn a_file_cut_short_or_extended_anywhere_is_refused() {
    let policy = policy();
    let story = Story::new();
    for bytes in [story.whole().encode(), story.delta().encode()] {
        let ends: Vec<usize> = sections(&bytes).into_iter().map(|(_, range)| range.end).collect();
        let last_of_whole = ends[8];
        for len in (0..bytes.len()).filter(|len| *len != last_of_whole) {
            assert!(verdict(&bytes[..len], &policy).is_err(), "cut to {len}");
        }
        for tail in [&b"\0"[..], b"\n", &bytes[..40]] {
            assert!(verdict(&[&bytes, tail].concat(), &policy).is_err());
        }
        // A section within the file that is left out, or there twice.
        for (section, range) in sections(&bytes) {
            let without = [&bytes[..range.start], &bytes[range.end..]].concat();
            let dropped_since = range.end == bytes.len() && section.id() == 10;
            assert!(dropped_since || verdict(&without, &policy).is_err(), "{section} left out");
            let twice = [&bytes[..range.end], &bytes[range.clone()], &bytes[range.end..]].concat();
            assert!(verdict(&twice, &policy).is_err(), "{section} twice");
        }
    }
}

proptest! {
    #[test]
    fn what_parses_encodes_to_the_same_bytes(edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4), which in 0..5_usize) {
        let (_, bundle) = Story::new().all().into_iter().nth(which).expect("five bundles");
        let mut bytes = bundle.encode();
        let bodies: Vec<usize> = sections(&bytes).into_iter().flat_map(|(_, range)| range.start + 5..range.end - 32).collect();
        for (at, value) in edits {
            let at = bodies[at % bodies.len()];
            bytes[at] = value;
        }
        reseal(&mut bytes);
        if let Ok(parsed) = Bundle::parse(&bytes) {
            prop_assert_eq!(parsed.encode(), bytes);
            let _ = parsed.verify(&policy(), &Default::default());
        }
    }

    #[test]
    fn bytes_from_strangers_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Bundle::parse(&[b"sillage-trace/v1\n", &bytes[..]].concat()).is_err());
    }
}
