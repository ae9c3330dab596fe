//! One identity has one spelling: what an identifier becomes before anything is compared with it.
//!
//! Two spellings of one person that aren't seen to be one let that person past a denial. So whatever names somebody is
//! brought to one spelling here, and nowhere else; what has none is refused, where it is recorded and where it is asked.
//! The ledger asks for that spelling and compares by it from feature level 3 on (`docs/consent.md`, "One spelling").
//!
//! The tables behind it decide what apply refuses: a node must not judge otherwise than its neighbour because it was built
//! with newer tables. [`HIDDEN`] stands here; those of composition (`unicode-normalization`) and of look-alikes
//! (`unicode-security`, both of unicode-rs, which the Rust compiler takes for the same) are pinned to a version, and a
//! test holds them to what they say of every character.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{Finess, IdentError, InsOid, PROFESSIONAL_OID, Rpps, STRUCTURE_OID};

/// System of the national identifiers of health professionals, as it is recorded.
pub const PROFESSIONALS: &str = "urn:oid:1.2.250.1.71.4.2.1";
/// System of the national identifiers of structures, as it is recorded.
pub const STRUCTURES: &str = "urn:oid:1.2.250.1.71.4.2.2";

/// Hosts that name an identifier system of the nation; there is one spelling of each: `https://` and the host.
const NATIONAL_HOSTS: [&str; 4] = ["rpps.esante.gouv.fr", "adeli.esante.gouv.fr", "finess.esante.gouv.fr", "sirene.fr"];

/// Characters that nobody sees, or that look like a space: first and last of each range. Unicode's Default_Ignorable,
/// with the separators, spaces but U+0020, the empty Braille pattern, and what is for private use. Control characters are
/// refused as such, wherever text stands.
const HIDDEN: [(u32, u32); 30] = [
    (0x00A0, 0x00A0),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0x1_BCA0, 0x1_BCA3),
    (0x1_D173, 0x1_D17A),
    (0x1_FFFE, 0x1_FFFF),
    (0x2_FFFE, 0x2_FFFF),
    (0x3_FFFE, 0x3_FFFF),
    (0xE_0000, 0xE_0FFF),
    (0xE_FFFE, 0xE_FFFF),
    (0xF_0000, 0xF_FFFF),
    (0x10_0000, 0x10_FFFF),
];

/// Ligatures that are letters of their own: French needs them.
const LETTERS: [char; 4] = ['œ', 'Œ', 'æ', 'Æ'];

/// Tells whether nobody sees the character, or it looks like a space and is none.
fn is_hidden(c: char) -> bool {
    HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
}

/// Tells whether the character is none of ASCII and looks like some of it.
fn looks_like_ascii(c: char) -> bool {
    !c.is_ascii()
        && !LETTERS.contains(&c)
        && unicode_security::confusable_detection::skeleton(c.encode_utf8(&mut [0; 4])).all(|like| like.is_ascii())
}

/// Text that names a thing (an item, a consent): composed (NFC).
///
/// # Errors
/// [`IdentError::Hidden`].
pub fn text(text: &str) -> Result<String, IdentError> {
    match text.chars().any(is_hidden) {
        true => Err(IdentError::Hidden),
        false if is_nfc(text) => Ok(text.to_owned()),
        false => Ok(text.nfc().collect()),
    }
}

/// A word that is compared with other people's words (a category, a label, a profession, the id of a person): as [`text`],
/// and no character that looks like another one.
///
/// # Errors
/// [`IdentError::Hidden`], [`IdentError::LookAlike`].
pub fn word(word: &str) -> Result<String, IdentError> {
    let word: String = text(word)?.chars().map(typed).collect();
    match word.chars().any(looks_like_ascii) {
        true => Err(IdentError::LookAlike),
        false => Ok(word),
    }
}

/// Printers' apostrophes and dashes as keyboards have them: French words are written with both.
const fn typed(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{02BC}' => '\'',
        '\u{2010}' | '\u{2011}' | '\u{2013}' | '\u{2212}' => '-',
        c => c,
    }
}

/// The URI of an identifier system: schemes, hosts and names of URN namespaces in small letters, arcs of an OID without
/// zeros in front, UUIDs in small letters, no `/` at the end.
///
/// # Errors
/// [`IdentError::NoUri`], [`IdentError::System`] for what is no URI in visible ASCII, [`IdentError::Oid`] for what is no OID.
pub fn system(system: &str) -> Result<String, IdentError> {
    let visible = system.bytes().all(|byte| byte.is_ascii_graphic() && !b"|\"<>\\^`{}".contains(&byte));
    let (scheme, rest) = system.split_once(':').ok_or(IdentError::NoUri)?;
    if !visible {
        return Err(IdentError::System);
    }
    let scheme = scheme.to_ascii_lowercase();
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(in_scheme) {
        return Err(IdentError::System);
    }
    if hides_ascii(rest) || rest.is_empty() {
        return Err(IdentError::System);
    }
    match scheme.as_str() {
        "urn" => urn(rest),
        "oid" => Ok(format!("urn:oid:{}", oid(rest)?)),
        "http" | "https" => web(&scheme, rest),
        _ => Ok(format!("{scheme}:{rest}")),
    }
}

/// Tells whether a character that needs no `%` is written with one: a second spelling.
fn hides_ascii(rest: &str) -> bool {
    rest.match_indices('%').any(|(at, _)| {
        let byte = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_none_or(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || byte.is_ascii_control())
    })
}

fn urn(rest: &str) -> Result<String, IdentError> {
    let (namespace, name) = rest.split_once(':').ok_or(IdentError::System)?;
    let namespace = namespace.to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if namespace.len() < 2 || !namespace.bytes().all(fits) || name.is_empty() {
        return Err(IdentError::System);
    }
    let name = match namespace.as_str() {
        "oid" => oid(name)?.to_owned(),
        // Those of the ledger itself are in small letters, and so are UUIDs.
        "uuid" | "sillage" => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    };
    Ok(format!("urn:{namespace}:{name}"))
}

/// Arcs in decimal, without zeros in front; the first is 0 to 2, and under 0 and 1 the second is at most 39 (ITU-T X.660).
fn oid(oid: &str) -> Result<&str, IdentError> {
    let arc = |arc: &str| {
        let digits = !arc.is_empty() && arc.len() <= 39 && arc.bytes().all(|byte| byte.is_ascii_digit());
        digits && (arc == "0" || !arc.starts_with('0'))
    };
    let mut arcs = oid.split('.');
    let (first, second) = (arcs.next().unwrap_or_default(), arcs.next().unwrap_or_default());
    let low = second.parse::<u64>().is_ok_and(|second| second < 40);
    let rooted = matches!(first, "0" | "1") && low || first == "2";
    match rooted && arc(second) && arcs.all(arc) {
        true => Ok(oid),
        false => Err(IdentError::Oid),
    }
}

fn web(scheme: &str, rest: &str) -> Result<String, IdentError> {
    let rest = rest.strip_prefix("//").ok_or(IdentError::System)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let mut host = host.to_ascii_lowercase();
    let port = if scheme == "http" { ":80" } else { ":443" };
    if let Some(bare) = host.strip_suffix(port) {
        host = bare.to_owned();
    }
    let name = host.split(':').next().unwrap_or_default();
    let dots = name.is_empty() || name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if dots || host.contains('@') || path.split('/').any(|part| part == "." || part == "..") {
        return Err(IdentError::System);
    }
    let path = path.trim_end_matches('/');
    let bare = name.strip_prefix("www.").unwrap_or(name);
    match NATIONAL_HOSTS.contains(&bare) {
        true if path.is_empty() && !host.contains(':') => Ok(format!("https://{bare}")),
        true => Err(IdentError::System),
        false => Ok(format!("{scheme}://{host}{path}")),
    }
}

/// The system and the id of an actor, as they are recorded. The nation's identifiers of professionals and structures are
/// of one system each, whatever system they came under.
///
/// # Errors
/// When the system has no spelling, or the id is none of that system.
pub fn actor(system: &str, id: &str) -> Result<(String, String), IdentError> {
    let system = self::system(system)?;
    let id = word(id)?;
    if id.is_empty() || id.trim() != id {
        return Err(IdentError::Hidden);
    }
    if let Some(id) = professional(&system, &id) {
        return Ok((PROFESSIONALS.to_owned(), id?));
    }
    if let Some(id) = structure(&system, &id) {
        let id = id?;
        let id = if Finess::parse(&id).is_ok() { format!("1{id}") } else { id };
        return Ok((STRUCTURES.to_owned(), id));
    }
    Ok((system, id))
}

/// The national id of a professional; `None` where the system, which is spelled as it is recorded, is another.
fn professional(system: &str, id: &str) -> Option<Result<String, IdentError>> {
    match system {
        PROFESSIONALS => Some(super::normalise_actor(PROFESSIONAL_OID, id).map(|id| match id.starts_with('0') {
            true => id.to_ascii_uppercase(),
            false => id,
        })),
        // Sometimes with the `8` of smart cards, which isn't part of it.
        "https://rpps.esante.gouv.fr" => Some(Rpps::parse(id).map(|rpps| rpps.as_str().to_owned())),
        "https://adeli.esante.gouv.fr" => {
            let number = if id.len() == 10 { id.strip_prefix('0').unwrap_or_default() } else { id };
            let fits = number.len() == 9 && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
            Some(if fits { Ok(format!("0{}", number.to_ascii_uppercase())) } else { Err(IdentError::ProfessionalForm) })
        }
        _ => None,
    }
}

/// The national id of a structure, as the organisation of an actor is recorded; `None` where the system is another.
fn structure(system: &str, id: &str) -> Option<Result<String, IdentError>> {
    match system {
        STRUCTURES => Some(Ok(organisation_number(id))),
        "https://finess.esante.gouv.fr" => {
            let bare = id.strip_prefix('1').filter(|_| id.len() == 10).unwrap_or(id).to_ascii_uppercase();
            Some(Finess::parse(&bare).map(|finess| finess.as_str().to_owned()))
        }
        "https://sirene.fr" => Some(match (id.len(), digits(id)) {
            (9, true) => Ok(format!("2{id}")),
            (14, true) => Ok(format!("3{id}")),
            (10, true) if id.starts_with('2') => Ok(id.to_owned()),
            (15, true) if id.starts_with('3') => Ok(id.to_owned()),
            _ => Err(IdentError::SireneForm),
        }),
        _ => None,
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1` and FINESS is FINESS; 14 digits are a SIRET, which is recorded as `3` and SIRET. 9 characters without a system are
/// a FINESS, never a SIREN (`2` and SIREN).
fn organisation_number(id: &str) -> String {
    let finess = |id: &str| Finess::parse(&id.to_ascii_uppercase()).ok().map(|finess| finess.as_str().to_owned());
    if let Some(finess) = finess(id).or_else(|| finess(id.strip_prefix('1').filter(|_| id.len() == 10)?)) {
        return finess;
    }
    match id.len() == 14 && digits(id) {
        true => format!("3{id}"),
        false => id.to_owned(),
    }
}

/// A structure, as the organisation of an actor is recorded: its FINESS, `2` and SIREN, `3` and SIRET, or another id
/// without its system. Takes an id, or `system|id` of a system of the nation.
///
/// # Errors
/// When it is none of its system, or [`word`] refuses it.
pub fn organisation(text: &str) -> Result<String, IdentError> {
    if let Some((system, id)) = text.split_once('|') {
        let system = self::system(system)?;
        return organisation_of(&system, id);
    }
    let word = word(text)?;
    if word.trim() != word {
        return Err(IdentError::Hidden);
    }
    Ok(organisation_number(&word))
}

/// As [`organisation`], of an identifier with its system: the system of another register is left out, as records do.
///
/// # Errors
/// As for [`organisation`].
pub fn organisation_of(system: &str, id: &str) -> Result<String, IdentError> {
    let id = word(id)?;
    if id.is_empty() || id.trim() != id {
        return Err(IdentError::Hidden);
    }
    match self::system(system) {
        Ok(system) => structure(&system, &id).unwrap_or(Ok(id)),
        Err(error) if system.contains(':') => Err(error),
        Err(_) => organisation(&id),
    }
}

/// The OID of an INS that a system names, in whatever spelling.
pub fn ins_oid(system: &str) -> Option<InsOid> {
    let system = match system.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("urn:oid:{system}"),
        false => system.to_owned(),
    };
    let system = self::system(&system).ok()?;
    InsOid::parse(system.strip_prefix("urn:oid:")?).ok()
}

/// Tells whether a system names professionals or structures of the nation, in whatever spelling.
pub fn is_national(system: &str) -> bool {
    let Ok(system) = self::system(system) else { return false };
    let hosts = || NATIONAL_HOSTS.iter().any(|host| system.strip_prefix("https://") == Some(host));
    [PROFESSIONALS, STRUCTURES].contains(&system.as_str()) || hosts()
}

/// A name that stands on record since before one spelling was asked for, brought to it as far as that goes: what is hidden
/// in it is taken out, and zeros before an arc. One that has no spelling even so stays as it is, and is nobody else's.
pub fn actor_on_record(system: &str, id: &str) -> (String, String) {
    let cleaned = || {
        let system: String = visible(system).trim_end_matches('.').to_owned();
        let arcs = |arcs: &str| {
            let bare = |arc: &str| match arc.trim_start_matches('0') {
                "" => "0".to_owned(),
                bare => bare.to_owned(),
            };
            arcs.split('.').map(bare).collect::<Vec<_>>().join(".")
        };
        let is_oid = system.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("urn:oid:"));
        let system = if is_oid { format!("urn:oid:{}", arcs(&system[8..])) } else { system };
        actor(&system, visible(id).trim())
    };
    actor(system, id).or_else(|_| cleaned()).unwrap_or_else(|_| (system.to_owned(), id.to_owned()))
}

/// The same of an organisation.
pub fn organisation_on_record(text: &str) -> String {
    organisation(text).or_else(|_| organisation(visible(text).trim())).unwrap_or_else(|_| text.to_owned())
}

/// The same of a word.
pub fn word_on_record(word: &str) -> String {
    let visible = visible(word);
    self::word(&visible).unwrap_or_else(|_| text_on_record(&visible))
}

/// The same of a text.
pub fn text_on_record(text: &str) -> String {
    let visible = visible(text);
    self::text(&visible).unwrap_or(visible)
}

fn visible(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).collect()
}

/// How the id of an item may have been written before there was one spelling; none where only one way is known.
pub fn older_text(text: &str) -> Option<String> {
    let decomposed: String = text.nfd().collect();
    (decomposed != text).then_some(decomposed)
}

/// Under which names of before the authority may have revoked an actor whose name is spelled as it is recorded: the hash
/// of a name can't be read back.
pub fn older_names(system: &str, id: &str) -> Vec<(String, String)> {
    let mut names = Vec::new();
    let mut add = |system: &str, id: String| names.push((system.to_owned(), id));
    match system {
        PROFESSIONALS => {
            let upper = system.to_ascii_uppercase();
            add(&upper, id.to_owned());
            if Rpps::parse(id).is_ok() {
                for system in ["https://rpps.esante.gouv.fr", "http://rpps.esante.gouv.fr", &upper] {
                    add(system, id.to_owned());
                    add(system, format!("8{id}"));
                }
            } else if let Some(adeli) = id.strip_prefix('0') {
                add("https://adeli.esante.gouv.fr", adeli.to_owned());
                add("https://adeli.esante.gouv.fr", id.to_owned());
            }
        }
        STRUCTURES => {
            if let Some(finess) = id.strip_prefix('1').filter(|_| id.len() == 10) {
                add(STRUCTURES, finess.to_owned());
                add("https://finess.esante.gouv.fr", finess.to_owned());
                add("https://finess.esante.gouv.fr", id.to_owned());
            }
        }
        _ => {
            if let Some(oid) = system.strip_prefix("urn:oid:") {
                add(&format!("URN:OID:{oid}"), id.to_owned());
            }
        }
    }
    let decomposed: String = id.nfd().collect();
    if decomposed != id {
        names.push((system.to_owned(), decomposed));
    }
    names
}

// What is a structure's OID is said once.
const _: () = assert!(STRUCTURES.len() == "urn:oid:".len() + STRUCTURE_OID.len());

#[cfg(test)]
#[path = "spelling_tests.rs"]
mod tests;
