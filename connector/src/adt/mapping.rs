//! `adt.toml`: what the fields of an establishment's messages mean.
//!
//! ```toml
//! organisation = "750712184"   # the structure within which a membership holds: its FINESS, as the party was registered with it
//! days = 30                    # a membership ends by itself this long after the message that made it
//! zone = "Europe/Paris"        # of times without a zone
//! # Who is said to have joined or left somebody: software of the structure.
//! actor = { system = "urn:sillage:system", id = "adt" }
//! # Fields of professionals of the visit.
//! members = ["PV1-7", "PV1-9", "PV1-17", "ROL-4"]
//! # Assigning authorities of professionals, by OID or by name, and the system as which they are recorded.
//! [professionals]
//! "1.2.250.1.71.4.2.1" = "urn:oid:1.2.250.1.71.4.2.1"
//! "ASIP-SANTE-PS" = "urn:oid:1.2.250.1.71.4.2.1"
//! # Structures, by the facility of a location (PV1-3.4): a group of hospitals sends for several.
//! [structures]
//! "BICHAT" = "750712184"
//! # Wards, by PV1-3.1: the name of their care team, and professionals who are in it for whoever lies there.
//! [[ward]]
//! location = "CARDIO"
//! origin = "cardiologie"
//! members = ["urn:oid:1.2.250.1.71.4.2.1|10100534436"]
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;

/// Why a mapping can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct MappingError {
    file: String,
    why: String,
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    organisation: String,
    #[serde(default = "days")]
    days: u16,
    #[serde(default = "zone")]
    zone: String,
    actor: Actor,
    #[serde(default = "members")]
    members: Vec<String>,
    #[serde(default)]
    professionals: BTreeMap<String, String>,
    #[serde(default)]
    structures: BTreeMap<String, String>,
    #[serde(default, rename = "ward")]
    wards: Vec<Ward>,
}

fn days() -> u16 {
    30
}

fn zone() -> String {
    "Europe/Paris".to_owned()
}

fn members() -> Vec<String> {
    ["PV1-7", "PV1-9", "PV1-17", "ROL-4"].map(str::to_owned).to_vec()
}

/// The actor who signs: a name as records have it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Its system.
    pub system: String,
    /// Its id there.
    pub id: String,
}

/// A ward.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ward {
    /// PV1-3.1.
    pub location: String,
    /// The name of its care team.
    pub origin: String,
    /// `system|id` of those who are in it for whoever lies there.
    #[serde(default)]
    pub members: Vec<String>,
}

/// The meaning of the fields of an establishment's messages.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The structure within which memberships hold.
    pub organisation: String,
    /// How long a membership lasts, milliseconds.
    pub lasts_ms: u64,
    /// The zone of times without one.
    pub zone: TimeZone,
    /// The actor who signs.
    pub actor: Actor,
    /// Segment and field of professionals.
    pub members: Vec<(String, usize)>,
    professionals: BTreeMap<String, String>,
    structures: BTreeMap<String, String>,
    wards: Vec<Ward>,
}

/// National identifiers of professionals: known without being named.
const PROFESSIONALS: &str = "urn:oid:1.2.250.1.71.4.2.1";
/// Longest membership.
const DAYS_MAX: u16 = 366;

impl Mapping {
    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, MappingError> {
        let wrong = |why: String| MappingError { file: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// Reads its text.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let zone =
            TimeZone::get(&file.zone).map_err(|_| format!("zone: {} isn't known, as Europe/Paris is", file.zone))?;
        if file.days == 0 || file.days > DAYS_MAX {
            return Err(format!("days: expected 1 to {DAYS_MAX}"));
        }
        if file.organisation.trim().is_empty() || file.actor.system.is_empty() || file.actor.id.is_empty() {
            return Err("organisation and actor: expected names".to_owned());
        }
        let field = |said: &String| {
            let parsed = said.split_once('-').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
            let parsed = parsed
                .filter(|(name, number)| matches!(name.as_str(), "PV1" | "PV2" | "ROL" | "PRD" | "PD1") && *number > 0);
            parsed.ok_or_else(|| format!("members: {said} is no field of professionals, as PV1-7 is"))
        };
        let members = file.members.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        for ward in &file.wards {
            if let Some(wrong) = ward.members.iter().find(|member| !member.contains('|')) {
                return Err(format!("ward {}: members: {wrong} isn't system|id", ward.location));
            }
            if ward.origin.trim() != ward.origin || ward.origin.is_empty() {
                return Err(format!("ward {}: origin: expected a name", ward.location));
            }
        }
        let known = file.professionals.into_iter().map(|(authority, system)| (spelled(&authority), system));
        Ok(Self {
            organisation: file.organisation,
            lasts_ms: u64::from(file.days) * 86_400_000,
            zone,
            actor: file.actor,
            members,
            professionals: known.chain([(PROFESSIONALS.to_owned(), PROFESSIONALS.to_owned())]).collect(),
            structures: file.structures,
            wards: file.wards,
        })
    }

    /// A mapping as tests and fuzzing use it.
    #[doc(hidden)]
    pub fn example() -> Self {
        Self::parse(
            "organisation = \"750712184\"\nactor = { system = \"urn:sillage:system\", id = \"adt\" }\n\
             [professionals]\n\"ASIP-SANTE-PS\" = \"urn:oid:1.2.250.1.71.4.2.1\"\n[structures]\n\"BICHAT\" = \"750100042\"\n\
             [[ward]]\nlocation = \"CARDIO\"\norigin = \"cardiologie\"\nmembers = [\"urn:oid:1.2.250.1.71.4.2.1|10100534436\"]\n",
        )
        .expect("the example is right")
    }

    /// The system as which a professional of this assigning authority (a URI or a name) is recorded.
    pub fn professional_system(&self, authority: &str) -> Option<&str> {
        self.professionals.get(&spelled(authority)).map(String::as_str)
    }

    /// The structure of a facility.
    pub fn structure(&self, facility: &str) -> &str {
        self.structures.get(facility).unwrap_or(&self.organisation)
    }

    /// The ward of a location.
    pub fn ward(&self, location: &str) -> Option<&Ward> {
        self.wards.iter().find(|ward| ward.location == location)
    }
}

/// An authority as it is compared: an OID as a URI.
fn spelled(authority: &str) -> String {
    match authority.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("urn:oid:{authority}"),
        false => authority.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_that_cant_be_is_refused_with_what_is_wrong() {
        let good = "organisation = \"1\"\nactor = { system = \"s\", id = \"i\" }\n";
        assert!(Mapping::parse(good).is_ok());
        for (more, word) in [
            ("days = 0", "days"),
            ("zone = \"Mars\"", "zone"),
            ("members = [\"PV1\"]", "members"),
            ("members = [\"PID-3\"]", "members"),
            ("color = 1", "color"),
            ("[[ward]]\nlocation = \"A\"\norigin = \"a\"\nmembers = [\"x\"]", "system|id"),
        ] {
            let why = Mapping::parse(&format!("{good}{more}\n")).expect_err(more);
            assert!(why.contains(word), "{why}");
        }
        let file = include_str!("mapping.rs");
        let shown: String = file
            .lines()
            .filter_map(|line| line.strip_prefix("//! "))
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| !line.starts_with("```"))
            .map(|line| format!("{line}\n"))
            .collect();
        Mapping::parse(&shown).unwrap_or_else(|why| panic!("the example of this file: {why}"));
    }
}
