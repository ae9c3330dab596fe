//! Tests of identifiers.

use std::collections::BTreeSet;

use super::*;

const NIR: &str = "1.2.250.1.213.1.4.8";
const TEST: &str = "1.2.250.1.213.1.4.10";
const RPPS_SYSTEM: &str = "urn:oid:1.2.250.1.71.4.2.1";

const PRODUCTION: Checks = Checks { test_log: false, source: Source::Direct };
const PRODUCTION_IMPORT: Checks = Checks { test_log: false, source: Source::Import };
const TEST_LOG: Checks = Checks { test_log: true, source: Source::Direct };

fn ins(value: &str) -> Result<Ins, IdentError> {
    Ins::parse(value, NIR)
}

#[test]
fn an_ins_has_15_characters_in_their_ranges() {
    for good in ["279035121518989", "255069910100157", "180122A12345678", "180122B12345678", "799420100100197"] {
        assert_eq!(ins(good).expect(good).value(), good);
    }
    for bad in [
        "",
        "2790351215189",
        "27903512151898",
        "2790351215189890",
        "27903512151898A",
        "079035121518989",
        "579035121518989",
        "279005121518989",
        "279135121518989",
        "279030021518989",
        "279035100018989",
        "279035121500089",
        "279035121518900",
        "279035121518998",
        "180122a12345678",
        "180122C12345678",
        "1801A2A12345678",
        "2 79 03 51 215 189 89",
        "27903512151898é",
        "２79035121518",
    ] {
        assert_eq!(ins(bad), Err(IdentError::InsForm), "{bad:?}");
    }
}

#[test]
fn the_key_counts_corsica_as_19_and_18() {
    assert!(ins("279035121518989").expect("form").key_fits());
    assert!(!ins("279035121518988").expect("form").key_fits());
    // 1801219123456 and 1801218123456 modulo 97.
    let key = |number: u64| 97 - number % 97;
    for (name, number) in [("180122A123456", 1_801_219_123_456), ("180122B123456", 1_801_218_123_456)] {
        let good = format!("{name}{:02}", key(number));
        assert!(ins(&good).expect("form").key_fits(), "{good}");
        let bad = format!("{name}{:02}", key(number) % 97 + 1);
        assert!(!ins(&bad).expect("form").key_fits(), "{bad}");
    }
}

#[test]
fn the_key_is_checked_for_real_identities_and_warned_about_on_import() {
    let bad = "279035121518988";
    assert_eq!(Ins::check(bad, NIR, PRODUCTION), Err(IdentError::InsKey));
    assert_eq!(Ins::check(bad, NIR, TEST_LOG), Err(IdentError::InsKey));
    let (_, doubt) = Ins::check(bad, NIR, PRODUCTION_IMPORT).expect("imported");
    assert_eq!(doubt, Some(IdentError::InsKey));
    let (_, doubt) = Ins::check(bad, TEST, TEST_LOG).expect("a test identity");
    assert_eq!(doubt, Some(IdentError::InsKey));
    let (_, doubt) = Ins::check("279035121518989", NIR, PRODUCTION).expect("a good one");
    assert_eq!(doubt, None);
}

#[test]
fn test_identities_are_for_test_logs() {
    let good = "279035121518989";
    assert_eq!(Ins::check(good, TEST, PRODUCTION), Err(IdentError::TestIns));
    assert_eq!(Ins::check(good, TEST, PRODUCTION_IMPORT), Err(IdentError::TestIns));
    assert!(Ins::check(good, TEST, TEST_LOG).is_ok());
    assert_eq!(IdentError::TestIns.code(), Code::TestInsRefused);
    for oid in ["", "1.2.250.1.213.1.4", "1.2.250.1.213.1.4.12", "urn:oid:1.2.250.1.213.1.4.8"] {
        assert_eq!(Ins::parse(good, oid), Err(IdentError::InsOid), "{oid}");
    }
}

#[test]
fn a_demonstration_identity_follows_from_its_reference() {
    let one = Ins::demo("Patient/1");
    assert_eq!(one, Ins::demo("Patient/1"));
    assert_eq!(one.oid(), InsOid::Demo);
    let all: BTreeSet<Ins> = (0..5_000).map(|number| Ins::demo(&format!("Patient/{number}"))).collect();
    assert_eq!(all.len(), 5_000);
    for ins in &all {
        assert!(ins.key_fits());
        assert_eq!(Ins::check(ins.value(), ins.oid().as_str(), TEST_LOG), Ok((ins.clone(), None)));
    }
}

#[test]
fn no_identity_is_printed() {
    assert!(!format!("{:?}", ins("279035121518989")).contains("2790"));
}

#[test]
fn an_rpps_number_is_recorded_with_11_digits() {
    assert_eq!(normalise_actor(RPPS_SYSTEM, "10100534436").as_deref(), Ok("10100534436"));
    assert_eq!(normalise_actor(RPPS_SYSTEM, "810100534436").as_deref(), Ok("10100534436"));
    assert_eq!(normalise_actor(PROFESSIONAL_OID, "810100534436").as_deref(), Ok("10100534436"));
    assert_eq!(normalise_actor("urn:oid:1.2.3", "810100534436").as_deref(), Ok("810100534436"));
    for other in ["0123456789", "3750712184/57", "401234567/A.2"] {
        assert_eq!(normalise_actor(RPPS_SYSTEM, other).as_deref(), Ok(other));
    }
    for bad in ["", "1010053443", "910100534436", "1010053443X", "Dr Dubois", "8", "7123456789012"] {
        assert_eq!(normalise_actor(RPPS_SYSTEM, bad), Err(IdentError::ProfessionalForm), "{bad:?}");
    }
}

#[test]
fn the_key_of_an_rpps_number_is_checked_on_production_logs() {
    let check = |id, checks| check_actor(RPPS_SYSTEM, id, checks).map(|(_, doubt)| doubt);
    assert_eq!(check("10100534436", PRODUCTION), Ok(None));
    assert_eq!(check("10100534437", PRODUCTION), Err(IdentError::RppsKey));
    assert_eq!(check("10100534437", PRODUCTION_IMPORT), Ok(Some(IdentError::RppsKey)));
    assert_eq!(check("10100534437", TEST_LOG), Ok(Some(IdentError::RppsKey)));
    assert_eq!(check("x", TEST_LOG), Err(IdentError::ProfessionalForm));
}

#[test]
fn a_finess_number_has_9_characters() {
    for good in ["750712184", "2A0000154", "2B0000012"] {
        assert_eq!(Finess::parse(good).expect(good).as_str(), good);
    }
    for bad in ["", "75071218", "7507121840", "2C0000154", "7A0712184", "75071218X"] {
        assert_eq!(Finess::parse(bad), Err(IdentError::FinessForm), "{bad:?}");
    }
}
