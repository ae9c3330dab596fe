//! Identifiers of persons and structures: INS, RPPS, FINESS.
//!
//! The *form* of an identifier is always strict. Its *key* is checked where someone types it or a service records
//! under it, and warned about on import and on test logs, because published examples have keys that don't fit. The
//! table is in `docs/errors.md`; [`Checks`] says which rule holds.

pub mod resource;
pub mod spelling;

use std::fmt;

use sillage_proof::hash::sha256;

use crate::codes::Code;

/// OID of the identifier system of health professionals (RPPS and other national ids).
pub const PROFESSIONAL_OID: &str = "1.2.250.1.71.4.2.1";
/// OID of the identifier system of structures (FINESS).
pub const STRUCTURE_OID: &str = "1.2.250.1.71.4.2.2";

/// An identifier is refused, or is doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    /// Not the 15 characters of an INS.
    #[error("this isn't an INS: 15 characters, 13 of the number (2A and 2B for Corsica) and 2 of its key")]
    InsForm,
    /// The key of the INS doesn't fit its number.
    #[error("the key of this INS (its last two digits) doesn't fit its number: check it for a typing error")]
    InsKey,
    /// Not one of the four OIDs.
    #[error("this isn't the OID of an INS: 1.2.250.1.213.1.4.8 (NIR) or 1.2.250.1.213.1.4.9 (NIA)")]
    InsOid,
    /// A test identity in a log of real patients.
    #[error("test and demonstration identities (OID .10 and .11) are accepted by test logs only")]
    TestIns,
    /// Not an identifier of the national system of health professionals.
    #[error("this isn't an identifier of health professionals: an RPPS number has 11 digits, or 8 and 11 digits")]
    ProfessionalForm,
    /// The Luhn key of the RPPS number doesn't fit.
    #[error("the key of this RPPS number (its last digit) doesn't fit: check it for a typing error")]
    RppsKey,
    /// Not a FINESS number.
    #[error("this isn't a FINESS number: 9 characters")]
    FinessForm,
    /// Neither a SIREN nor a SIRET.
    #[error("this is neither a SIREN (9 digits) nor a SIRET (14 digits)")]
    SireneForm,
    /// No URI at all.
    #[error("the system isn't a URI, such as urn:oid:1.2.250.1.71.4.2.1")]
    NoUri,
    /// Not the URI of an identifier system.
    #[error(
        "the system isn't a URI in visible ASCII, such as urn:oid:1.2.250.1.71.4.2.1, or it is a second spelling of one"
    )]
    System,
    /// Not an OID.
    #[error(
        "the system isn't an OID: numbers without zeros in front, with a dot between two of them and none at the end"
    )]
    Oid,
    /// A character that nobody sees.
    #[error("this holds a character that nobody sees, or spaces around it: write it without them")]
    Hidden,
    /// A character that looks like another one.
    #[error("this holds a character that looks like another one of ASCII: write the one that is meant")]
    LookAlike,
}

impl IdentError {
    /// The stable code.
    pub const fn code(self) -> Code {
        match self {
            Self::InsForm | Self::InsKey | Self::InsOid => Code::InvalidIns,
            Self::TestIns => Code::TestInsRefused,
            Self::ProfessionalForm | Self::RppsKey | Self::FinessForm | Self::SireneForm => Code::InvalidIdentifier,
            Self::NoUri => Code::UnknownToken,
            Self::System | Self::Oid | Self::Hidden | Self::LookAlike => Code::InvalidSpelling,
        }
    }
}

/// How an identifier came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Typed, or recorded by a service: keys are checked.
    Direct,
    /// Imported from what others wrote: keys are warned about.
    Import,
}

/// Which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The genesis says that this is a test log.
    pub test_log: bool,
    /// How the identifier came here.
    pub source: Source,
}

/// The kind of INS that an identifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InsOid {
    /// INS-NIR: the social security number.
    Nir,
    /// INS-NIA: an identifier until the NIR is known.
    Nia,
    /// A test identity.
    Test,
    /// A demonstration identity.
    Demo,
}

impl InsOid {
    /// The OID, in dotted form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nir => "1.2.250.1.213.1.4.8",
            Self::Nia => "1.2.250.1.213.1.4.9",
            Self::Test => "1.2.250.1.213.1.4.10",
            Self::Demo => "1.2.250.1.213.1.4.11",
        }
    }

    /// Parses the dotted form.
    ///
    /// # Errors
    /// When it is another OID.
    pub fn parse(oid: &str) -> Result<Self, IdentError> {
        let all = [Self::Nir, Self::Nia, Self::Test, Self::Demo];
        all.into_iter().find(|known| known.as_str() == oid).ok_or(IdentError::InsOid)
    }

    /// Tells whether only test logs accept it.
    pub const fn is_test(self) -> bool {
        matches!(self, Self::Test | Self::Demo)
    }
}

/// A patient's INS: 15 characters with the key, and its OID. Well formed; its key may not fit. Never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ins {
    value: String,
    oid: InsOid,
}

impl fmt::Debug for Ins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ins(.., {})", self.oid.as_str())
    }
}

impl Ins {
    /// Parses an INS, by its form alone.
    ///
    /// # Errors
    /// When it has another form, or the OID is none of an INS.
    pub fn parse(value: &str, oid: &str) -> Result<Self, IdentError> {
        let oid = InsOid::parse(oid)?;
        if !has_ins_form(value) {
            return Err(IdentError::InsForm);
        }
        Ok(Self { value: value.to_owned(), oid })
    }

    /// Parses an INS and applies the rules of the log. A doubt comes back beside the INS.
    ///
    /// # Errors
    /// When the form, the key where it is checked, or the OID for this log is wrong.
    pub fn check(value: &str, oid: &str, checks: Checks) -> Result<(Self, Option<IdentError>), IdentError> {
        let ins = Self::parse(value, oid)?;
        if ins.oid.is_test() && !checks.test_log {
            return Err(IdentError::TestIns);
        }
        if ins.key_fits() {
            return Ok((ins, None));
        }
        match (ins.oid.is_test(), checks.source) {
            (false, Source::Direct) => Err(IdentError::InsKey),
            _ => Ok((ins, Some(IdentError::InsKey))),
        }
    }

    /// A demonstration identity for a patient who has no INS: the same for the same reference, different for others
    /// (one in 10^11 apart from chance). Form and key are right; only test logs accept it.
    pub fn demo(reference: &str) -> Self {
        let digest = sha256(&[b"sillage/demo-ins/v1\0", reference.as_bytes()]);
        let words: Vec<u64> = digest
            .as_bytes()
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            .collect();
        let pick = |word: usize, first: u64, last: u64| first + words[word] % (last - first + 1);
        // Departments 21 to 95 keep clear of Corsica.
        let number = format!(
            "{}{:02}{:02}{:02}{:03}{:03}",
            pick(0, 1, 2),
            pick(1, 0, 99),
            pick(2, 1, 12),
            pick(3, 21, 95),
            pick(4, 1, 989),
            pick(5, 1, 999)
        );
        let key = key_of(&number).expect("13 digits");
        let value = format!("{number}{key:02}");
        assert!(has_ins_form(&value), "a demonstration identity is well formed");
        Self { value, oid: InsOid::Demo }
    }

    /// The 15 characters.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Its OID.
    pub const fn oid(&self) -> InsOid {
        self.oid
    }

    /// Tells whether the last two digits are the key of the first 13 characters: `97 − (number modulo 97)`.
    pub fn key_fits(&self) -> bool {
        let (number, key) = self.value.split_at(13);
        key_of(number).is_some_and(|expected| key.parse() == Ok(expected))
    }
}

/// The key of the 13 characters of a number. Corsica: `2A` counts as `19`, `2B` as `18` (INSEE).
fn key_of(number: &str) -> Option<u64> {
    let number = match number.get(5..7)? {
        "2A" => number.replacen("2A", "19", 1),
        "2B" => number.replacen("2B", "18", 1),
        _ => number.to_owned(),
    };
    Some(97 - number.parse::<u64>().ok()? % 97)
}

/// Sex, year, month, department, commune, order, key; each in its range (INSEE; months over 12 stand for unknown ones).
fn has_ins_form(value: &str) -> bool {
    let department = value.get(5..7);
    let corsica = matches!(department, Some("2A" | "2B"));
    let digits = |byte: u8| byte.is_ascii_digit();
    let fits = value.len() == 15 && value.bytes().enumerate().all(|(at, byte)| digits(byte) || corsica && at == 6);
    if !fits {
        return false;
    }
    let number = |from: usize, to: usize| value.get(from..to).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    matches!(number(0, 1), 1..=4 | 7 | 8)
        && matches!(number(3, 5), 1..=12 | 20..=42 | 50..=99)
        && (corsica || number(5, 7) != 0)
        && number(7, 10) != 0
        && number(10, 13) != 0
        && matches!(number(13, 15), 1..=97)
}

/// A number of the national register of health professionals: 11 digits. Its key may not fit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rpps(String);

impl Rpps {
    /// Parses 11 digits, or `8` and 11 digits as smart cards say it.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(value: &str) -> Result<Self, IdentError> {
        let number = match value.len() {
            12 => value.strip_prefix('8').unwrap_or_default(),
            _ => value,
        };
        if number.len() != 11 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdentError::ProfessionalForm);
        }
        Ok(Self(number.to_owned()))
    }

    /// The 11 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the last digit is the Luhn key of the others (ISO/IEC 7812-1 annex B).
    pub fn key_fits(&self) -> bool {
        let digits = self.0.bytes().rev().map(|byte| u32::from(byte - b'0'));
        let sum: u32 = digits
            .enumerate()
            .map(|(place, digit)| match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..=4) => 2 * digit,
                (_, digit) => 2 * digit - 9,
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

/// The id of an actor as it is recorded: an RPPS number with 11 digits; ids of other systems stay as they are.
///
/// # Errors
/// When the system is that of health professionals, and the id has none of its forms.
pub fn normalise_actor(system: &str, id: &str) -> Result<String, IdentError> {
    if !is_professional(system) {
        return Ok(id.to_owned());
    }
    if let Ok(rpps) = Rpps::parse(id) {
        return Ok(rpps.0);
    }
    // ADELI is `0` and 9 characters; employees are `1` to `6`, the number of a structure, `/`, their id there.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte);
    let other = match id.as_bytes() {
        [b'0', rest @ ..] => rest.len() == 9 && rest.iter().all(u8::is_ascii_alphanumeric),
        [b'1'..=b'6', rest @ ..] => rest.contains(&b'/') && rest.iter().copied().all(allowed),
        _ => false,
    };
    if other { Ok(id.to_owned()) } else { Err(IdentError::ProfessionalForm) }
}

/// Normalises the id of an actor and applies the rules of the log. A doubt comes back beside the id.
///
/// # Errors
/// When the form, or the key where it is checked, is wrong.
pub fn check_actor(system: &str, id: &str, checks: Checks) -> Result<(String, Option<IdentError>), IdentError> {
    let id = normalise_actor(system, id)?;
    let doubtful = is_professional(system) && Rpps::parse(&id).is_ok_and(|rpps| !rpps.key_fits());
    match (doubtful, checks.test_log, checks.source) {
        (false, ..) => Ok((id, None)),
        (true, false, Source::Direct) => Err(IdentError::RppsKey),
        (true, ..) => Ok((id, Some(IdentError::RppsKey))),
    }
}

fn is_professional(system: &str) -> bool {
    system.strip_prefix("urn:oid:").unwrap_or(system) == PROFESSIONAL_OID
}

/// The number of a structure in the national register: 9 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finess(String);

impl Finess {
    /// Parses 9 digits, the first two of them the department: `2A` and `2B` for Corsica.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(value: &str) -> Result<Self, IdentError> {
        let corsica = value.starts_with("2A") || value.starts_with("2B");
        let fits = |(at, byte): (usize, u8)| byte.is_ascii_digit() || corsica && at == 1;
        if value.len() != 9 || !value.bytes().enumerate().all(fits) {
            return Err(IdentError::FinessForm);
        }
        Ok(Self(value.to_owned()))
    }

    /// The 9 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[path = "ident_tests.rs"]
mod tests;
