//! One identity, one spelling: attacks, and what no spelling may do.

use proptest::prelude::*;
use sillage_proof::hash::sha256;

use super::*;

const RPPS: &str = "10100534436";

fn one(system: &str, id: &str) -> String {
    actor(system, id).map_or_else(|error| format!("! {error:?}"), |(system, id)| format!("{system}|{id}"))
}

#[test]
fn a_professional_has_one_name_whatever_system_names_them() {
    let name = format!("{PROFESSIONALS}|{RPPS}");
    let spellings = [
        ("urn:oid:1.2.250.1.71.4.2.1", "10100534436"),
        ("urn:oid:1.2.250.1.71.4.2.1", "810100534436"),
        ("URN:OID:1.2.250.1.71.4.2.1", "10100534436"),
        ("Urn:Oid:1.2.250.1.71.4.2.1", "810100534436"),
        ("oid:1.2.250.1.71.4.2.1", "10100534436"),
        ("https://rpps.esante.gouv.fr", "10100534436"),
        ("https://rpps.esante.gouv.fr", "810100534436"),
        ("https://rpps.esante.gouv.fr/", "10100534436"),
        ("http://rpps.esante.gouv.fr", "10100534436"),
        ("HTTPS://RPPS.Esante.Gouv.FR", "10100534436"),
        ("https://rpps.esante.gouv.fr:443", "10100534436"),
    ];
    for (system, id) in spellings {
        assert_eq!(one(system, id), name, "{system}|{id}");
    }
    let adeli = format!("{PROFESSIONALS}|0759912345");
    for (system, id) in [
        (PROFESSIONALS, "0759912345"),
        ("https://adeli.esante.gouv.fr", "759912345"),
        ("https://adeli.esante.gouv.fr", "0759912345"),
    ] {
        assert_eq!(one(system, id), adeli, "{system}|{id}");
    }
}

#[test]
fn a_second_spelling_is_refused_where_it_has_no_first() {
    for system in [
        "urn:oid:1.2.250.1.71.4.2.01",
        "urn:oid:1.2.250.1.71.4.2.1.",
        "urn:oid:1.2.250.1.71.4.2..1",
        "urn:oid:.1.2",
        "urn:oid:3.1",
        "urn:oid:1.40.1",
        "urn:oid:1",
        "urn:oid:1.2.250.1.71.4.2.1\u{200b}",
        "urn:oid:1.2.250.1.71.4.2.\u{0661}",
        "urn:oid:1.2.250.1.71.4.2.1 ",
        "urn:oid:1.2.250.1.71.4.2.%31",
        "u\u{0433}n:oid:1.2",
        "https://rpps.esante.gouv.fr.",
        "https://rpps.esante.gouv.fr/fhir",
        "https://rpps.esante.gouv.fr:8443",
        "https://rpps.esante.gouv.fr@x.example",
        "https://r\u{0440}ps.esante.gouv.fr",
        "https://h.example/a/../b",
        "https://h.example/%61",
        "https:h.example",
        "RPPS",
        "",
        ":x",
        "urn:",
        "urn:x",
        "urn:a|b",
    ] {
        assert!(actor(system, RPPS).is_err(), "{system:?}: {}", one(system, RPPS));
    }
    for id in [
        "10100534436.",
        "1010053443",
        "\u{200b}10100534436",
        "10100534436\u{2060}",
        " 10100534436",
        "１０１００５３４４３６",
        "1o100534436",
    ] {
        assert!(actor(PROFESSIONALS, id).is_err(), "{id:?}: {}", one(PROFESSIONALS, id));
    }
    for id in
        ["", " ", "m\u{0430}rie", "marie\u{200d}", "ma\u{00ad}rie", "\u{feff}marie", "mar\u{0131}e", "marie\u{e0041}"]
    {
        assert!(actor("urn:sillage:person", id).is_err(), "{id:?}");
    }
    assert_eq!(one("urn:sillage:person", "Zoe\u{0301}"), "urn:sillage:person|Zoé");
    assert_eq!(one("URN:SILLAGE:Person", "cœur d’Aubigné"), "urn:sillage:person|cœur d'Aubigné");
}

#[test]
fn a_structure_has_one_name_and_a_siren_is_no_finess() {
    for text in [
        "750712184",
        "1750712184",
        "https://finess.esante.gouv.fr|750712184",
        "https://finess.esante.gouv.fr|1750712184",
        "urn:oid:1.2.250.1.71.4.2.2|1750712184",
        "URN:OID:1.2.250.1.71.4.2.2|750712184",
    ] {
        assert_eq!(organisation(text).as_deref(), Ok("750712184"), "{text}");
    }
    for text in ["https://sirene.fr|750712184", "urn:oid:1.2.250.1.71.4.2.2|2750712184", "2750712184"] {
        assert_eq!(organisation(text).as_deref(), Ok("2750712184"), "{text}");
    }
    for text in ["https://sirene.fr|75071218400017", "urn:oid:1.2.250.1.71.4.2.2|375071218400017", "75071218400017"] {
        assert_eq!(organisation(text).as_deref(), Ok("375071218400017"), "{text}");
    }
    assert_eq!(organisation("H1").as_deref(), Ok("H1"));
    assert_eq!(
        organisation_of("urn:oid:1.2.3", "H1").as_deref(),
        Ok("H1"),
        "of other registers the system is left out"
    );
    assert!(organisation("https://finess.esante.gouv.fr|75071218").is_err());
    assert!(organisation("75071218\u{200b}4").is_err());
    assert_eq!(one(STRUCTURES, "750712184"), one("https://finess.esante.gouv.fr", "1750712184"));
}

#[test]
fn an_ins_is_one_by_any_spelling_of_its_systems() {
    for system in ["urn:oid:1.2.250.1.213.1.4.10", "URN:OID:1.2.250.1.213.1.4.10", "1.2.250.1.213.1.4.10"] {
        assert_eq!(ins_oid(system), Some(InsOid::Test), "{system}");
    }
    assert_eq!(ins_oid("urn:oid:1.2.250.1.213.1.4.010"), None);
    assert_eq!(ins_oid("https://rpps.esante.gouv.fr"), None);
}

#[test]
fn words_and_texts_are_composed_and_show_all_that_they_are() {
    assert_eq!(word("e\u{0301}chographie").as_deref(), Ok("échographie"));
    assert_eq!(text("compte-rendu e\u{0301}").as_deref(), Ok("compte-rendu é"));
    assert_eq!(word("PS\u{0423}"), Err(IdentError::LookAlike));
    assert_eq!(word("L\u{0410}B"), Err(IdentError::LookAlike));
    assert_eq!(word("LAB\u{200b}"), Err(IdentError::Hidden));
    assert_eq!(text("d1\u{feff}"), Err(IdentError::Hidden));
    assert!(text("bilan α-fœto").is_ok(), "what names a thing may be in any letters");
    for french in ["Àâäçéèêëîïôöùûüÿœæ", "Œuvre d'art", "n° 5"] {
        assert_eq!(word(french).as_deref(), Ok(french));
    }
}

#[test]
fn what_is_on_record_is_brought_to_the_one_spelling_as_far_as_that_goes() {
    let name = (PROFESSIONALS.to_owned(), RPPS.to_owned());
    for (system, id) in [
        ("urn:oid:1.2.250.1.71.4.2.01", "10100534436"),
        ("URN:OID:1.2.250.1.71.4.2.1.", "10100534436"),
        ("urn:oid:1.2.250.1.71.4.2.1", "\u{200b}10100534436"),
        ("https://rpps.esante.gouv.fr.", "10100534436"),
        ("https://rpps.esante.gouv.fr", "810100534436"),
    ] {
        assert_eq!(actor_on_record(system, id), name, "{system}|{id}");
    }
    let odd = actor_on_record("RPPS", "x");
    assert_eq!(odd, ("RPPS".to_owned(), "x".to_owned()), "nobody else's");
    assert_eq!(text_on_record("e\u{0301}\u{200b}"), "é");
}

#[test]
fn a_revocation_of_before_is_found_under_the_one_spelling() {
    let older = older_names(PROFESSIONALS, RPPS);
    for (system, id) in [
        ("https://rpps.esante.gouv.fr", RPPS),
        ("URN:OID:1.2.250.1.71.4.2.1", RPPS),
        ("https://rpps.esante.gouv.fr", "810100534436"),
    ] {
        assert!(older.contains(&(system.to_owned(), id.to_owned())), "{system}|{id}");
    }
}

/// Apply refuses by these tables: they change with a feature level, and not with a version of a crate.
#[test]
fn the_tables_say_of_every_character_what_they_said() {
    let mut said = Vec::new();
    for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
        let composed: String = c.nfc().collect();
        if is_hidden(c) || looks_like_ascii(c) || !composed.chars().eq([c]) {
            said.push(format!("{:x} {} {} {composed}\n", u32::from(c), is_hidden(c), looks_like_ascii(c)));
        }
    }
    let hash = sha256(&[said.concat().as_bytes()]).to_string();
    assert_eq!(hash, "e9351b9344834958b1f493cc705b5ccad51f4cc42238ec1a8da2c19593cea873", "{} characters", said.len());
}

fn systems() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(PROFESSIONALS.to_owned()),
        Just(STRUCTURES.to_owned()),
        Just("https://rpps.esante.gouv.fr".to_owned()),
        Just("https://sirene.fr".to_owned()),
        "[uU][rR][nN]:[oO][iI][dD]:[012]\\.[0-9]{1,2}(\\.[0-9]{1,3}){0,3}\\.?",
        "[a-zA-Z]{3,5}:[ -~é\u{200b}]{1,12}",
        "https?://[a-zA-Z.]{1,10}(:80|:443)?[/a-z]{0,6}",
    ]
}

proptest! {
    #[test]
    fn one_spelling_is_its_own(system in systems(), id in "[0-9A-Za-zéе\u{301}\u{200b}'’ ./|-]{0,15}|8?[0-9]{11}|[123]?[0-9]{9}|3?[0-9]{14}") {
        if let Ok((system, id)) = actor(&system, &id) {
            prop_assert_eq!(actor(&system, &id), Ok((system.clone(), id.clone())));
            prop_assert_eq!(actor_on_record(&system, &id), (system, id));
        }
        if let Ok(one) = organisation(&id) {
            prop_assert_eq!(organisation(&one), Ok(one.clone()));
            prop_assert_eq!(organisation_on_record(&one), one);
        }
        if let Ok(one) = word(&id) {
            prop_assert_eq!(word(&one), Ok(one.clone()));
            prop_assert_eq!(text(&one), Ok(one));
        }
        let (system, id) = actor_on_record(&system, &id);
        prop_assert_eq!(actor_on_record(&system, &id), (system, id));
    }

    #[test]
    fn different_numbers_are_different_people(a in "[0-9]{11}", b in "[0-9]{11}") {
        let spellings = |number: &str| {
            let names = [(PROFESSIONALS, number.to_owned()), (PROFESSIONALS, format!("8{number}")), ("https://rpps.esante.gouv.fr", number.to_owned())];
            names.map(|(system, id)| actor(system, &id).expect("a number"))
        };
        for one in spellings(&a) {
            for other in spellings(&b) {
                prop_assert_eq!(one == other, a == b);
            }
        }
    }

    #[test]
    fn different_structures_are_different(a in "[0-9]{9}", b in "[0-9]{9}") {
        let finess = |number: &str| organisation_of("https://finess.esante.gouv.fr", number).expect("a FINESS");
        let siren = |number: &str| organisation_of("https://sirene.fr", number).expect("a SIREN");
        prop_assert_eq!(finess(&a) == finess(&b), a == b);
        prop_assert_ne!(finess(&a), siren(&b));
    }

    #[test]
    fn ids_that_differ_in_letters_stay_different(a in "[a-z0-9]{1,8}", b in "[a-z0-9]{1,8}") {
        let named = |id: &str| actor("urn:sillage:person", id).expect("a name");
        prop_assert_eq!(named(&a) == named(&b), a == b);
    }
}
