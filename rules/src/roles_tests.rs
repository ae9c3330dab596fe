use proptest::prelude::*;

use super::*;

fn each() -> impl Iterator<Item = Roles> {
    TABLE.into_iter().map(|(role, _)| role)
}

#[test]
fn names_and_bits_agree() {
    let roles = Roles::AUTHOR | Roles::AUDITOR;
    assert_eq!(roles.bits(), 17);
    assert_eq!(roles.to_string(), "author,auditor");
    assert_eq!(Roles::from_names(roles.names()), Ok(roles));
    assert_eq!(Roles::from_names(Roles::ALL.names()), Ok(Roles::ALL));
    assert_eq!(Roles::NONE.to_string(), "none");
    assert!(roles.contains(Roles::AUTHOR) && !roles.contains(Roles::ALL));
    assert!(roles.intersects(Roles::ALL) && !roles.intersects(Roles::TAG));
    assert_eq!(each().fold(Roles::NONE, BitOr::bitor), Roles::ALL);
    for (number, role) in each().enumerate() {
        assert_eq!(role.bits(), 1 << number, "{role}");
    }
    let mut listed: Vec<&str> = GIVEN_OUT.split(", ").chain(["author"]).collect();
    let mut known: Vec<&str> = Roles::ALL.names().collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known, "the list that a command line gives");
}

#[test]
fn the_table_has_each_kind_once_in_order() {
    let kinds: Vec<Kind> = SIGNERS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, Kind::ALL);
    for kind in Kind::ALL {
        let signers = signers(*kind);
        assert!(!signers.contains(Roles::AUTHOR), "{kind}: author isn't given out");
        assert_eq!(signers.is_empty(), kind.is_reserved_at(4), "{kind}");
        assert!(!kind.is_act() || signers == Roles::AUTHORITY, "{kind}: acts are the authority's");
    }
}

#[test]
fn a_role_that_only_reads_or_asks_signs_nothing() {
    let silent = Roles::TAG | Roles::READER | Roles::AUDITOR | Roles::OPERATOR | Roles::DECIDER;
    assert!(!Kind::ALL.iter().any(|kind| (silent | Roles::PATIENT).may_sign(*kind)));
    for role in each() {
        let signs = Kind::ALL.iter().any(|kind| role.may_sign(*kind));
        let signs_otherwise = [Roles::AUTHORITY, Roles::PORTAL].contains(&role);
        assert_eq!(signs, Roles::SIGNING.contains(role) || signs_otherwise, "{role}");
    }
}

#[test]
fn what_a_party_of_before_was_allowed_it_still_is() {
    assert!(Kind::ALL.iter().all(|kind| Roles::AUTHOR.may_sign(*kind)));
    assert!(
        Roles::RECORDER.may_sign_at(Kind::LOG_CONSULTED, 3) && !Roles::RECORDER.may_sign_at(Kind::LOG_CONSULTED, 4)
    );
    assert!(!Roles::READER.may_sign_at(Kind::LOG_CONSULTED, 3));
    assert!(!Roles::AUTHOR.is_bound() && !(Roles::AUTHOR | Roles::RECORDER).is_bound() && Roles::RECORDER.is_bound());
}

#[test]
fn the_authority_signs_what_holds_for_all_and_who_stands_for_whom() {
    assert!(Roles::AUTHORITY.may_sign(Kind::POLICY_PUBLISHED));
    assert!(Roles::AUTHORITY.may_sign(Kind::REPRESENTATION_REGISTERED));
    assert!(!Roles::AUTHORITY.may_sign(Kind::CONSENT_DIRECTIVE) && !Roles::AUTHORITY.may_sign(Kind::ACCESS_READ));
}

#[test]
fn a_patients_device_decides_and_records_nothing_else() {
    for kind in Kind::ALL {
        // Today's devices are let through to the rules of consent, which refuse them an embargo.
        let embargo = matches!(*kind, Kind::ITEM_EMBARGOED | Kind::ITEM_RELEASED);
        assert_eq!(Roles::PATIENT.may_decide(*kind), signers(*kind).contains(Roles::PATIENT) || embargo, "{kind}");
        assert!(!Roles::READER.may_decide(*kind) && !Roles::PATIENT.may_sign(*kind));
    }
}

#[test]
fn what_names_no_role_is_refused() {
    assert!(Roles::from_bits(32_768).is_err());
    assert!(Roles::from_bits(u32::MAX).is_err());
    let error = Roles::from_names(["recorder", "king"]).expect_err("no role").to_string();
    assert!(error.contains("king") && error.contains("consent-desk"), "{error}");
}

proptest! {
    /// Two roles together may do what one of them may, and no more: nothing comes of a combination.
    #[test]
    fn roles_add_up_and_do_nothing_more(one in 0..15_u32, other in 0..15_u32, kind in 0..Kind::ALL.len()) {
        let (one, other, kind) = (Roles(1 << one), Roles(1 << other), Kind::ALL[kind]);
        prop_assert_eq!((one | other).may_sign(kind), one.may_sign(kind) || other.may_sign(kind));
        prop_assert_eq!((one | other).may_decide(kind), one.may_decide(kind) || other.may_decide(kind));
        prop_assert_eq!(one.may_sign(kind), one == Roles::AUTHOR || one != Roles::PATIENT && signers(kind).contains(one));
    }
}

/// The names of the roles that may sign a kind, as docs/consent.md lists them.
fn listed(kind: Kind) -> String {
    let names: Vec<String> = signers(kind).names().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "the ledger".to_owned() } else { names.join(", ") }
}

#[test]
fn the_document_and_the_code_have_the_same_table() {
    let doc = include_str!("../../docs/consent.md");
    let table = doc.split("| kinds | roles | what proves it |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut documented = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(!cells[3].is_empty(), "{row}: it says what proves it");
        for token in cells[1].split(", ") {
            let kind = Kind::from_token(token.trim_matches('`')).expect(token);
            assert_eq!(cells[2], listed(kind), "{kind}");
            documented.push(kind);
        }
    }
    documented.sort_unstable();
    assert_eq!(documented, Kind::ALL, "each kind once");
}
