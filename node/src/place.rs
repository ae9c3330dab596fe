//! Where a node runs: its machine and its addresses, as it noted them beside its keyring (`place`).
//!
//! A copy of a node's folder that is started somewhere else has the node's keys, its peers and its witnesses: the witnesses
//! would cosign what the copy goes on to write, and refuse the real log from then on. So a node that finds itself at another
//! place than it noted stops, and a person says which of the two it is: moved for good, or a copy to look at.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sillage_proof::hash::sha256;

use crate::config::NodeConfig;

/// Beside the keyring.
pub const PLACE: &str = "place";

/// Where Linux keeps the id of the machine.
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// A machine and two addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A hash of the machine's id, 32 hexadecimal characters; absent where the machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// `listen_client` of the configuration.
    pub client: String,
    /// `listen_peer` of the configuration.
    pub peer: String,
    /// The address at which the others find it: its own line under `[[peers]]`. A node that listens on `0.0.0.0` has no other
    /// address of its own. Absent where there is no such line, and in notes of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<String>,
    /// Device and inode of the folder that the keyring is in: a copy has others, a folder that was renamed has the same.
    pub folder: String,
}

/// A person's word about a folder that is at another place than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The node was moved, and runs nowhere else any more.
    pub moved: bool,
    /// It is a copy to look at: no witness, no peers, read only.
    pub isolated: bool,
}

/// Why a node doesn't start where it is.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It noted another place.
    #[error(
        "this folder's node ran at {was}, and would now run at {is}. If it is a copy, it must not reach the witnesses and peers \
         of the original: look at it with --isolated (no witness, no peers, read only). If the node was moved here, and the \
         old one never runs again, start it once with --moved"
    )]
    Elsewhere {
        /// As noted.
        was: Box<Place>,
        /// As it is.
        is: Box<Place>,
    },
    /// The note.
    #[error("{path}: {message}")]
    Note {
        /// Which file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.client, self.peer)?;
        if let Some(advertised) = &self.advertised {
            write!(f, " ({advertised})")?;
        }
        match &self.machine {
            Some(machine) => write!(f, " of machine {}", machine.get(..8).unwrap_or(machine)),
            // Then the folder says whether it is the same place.
            None => write!(f, " of a machine without an id, in folder {}", self.folder),
        }
    }
}

impl Place {
    /// Where a node with this configuration is.
    ///
    /// # Errors
    /// When the folder of the keyring isn't there.
    pub fn here(config: &NodeConfig) -> Result<Self, PlaceError> {
        let folder = config.keyring.parent().unwrap_or(Path::new("."));
        let failed = |error: io::Error| PlaceError::Note { path: folder.to_owned(), message: error.to_string() };
        let meta = std::fs::metadata(folder).map_err(failed)?;
        Ok(Self {
            machine: machine(),
            client: config.listen_client.clone(),
            peer: config.listen_peer.clone(),
            advertised: config.peers.iter().find(|peer| peer.id == config.id).map(|own| own.address.clone()),
            folder: format!("{}:{}", meta.dev(), meta.ino()),
        })
    }

    /// The note beside this keyring; none where the node never ran, or ran before there were notes.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn noted(keyring: &Path) -> Result<Option<Self>, PlaceError> {
        let path = file(keyring);
        let wrong = |message: String| PlaceError::Note { path: path.clone(), message };
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(error.to_string())),
            Ok(text) => toml::from_str(&text).map(Some).map_err(|error| wrong(error.to_string())),
        }
    }

    /// Tells whether it is the same machine and the same addresses. Where either machine has no id (a container, as a rule), it has
    /// to be the very folder: nothing else tells a copy.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_known = self.machine.is_some() && other.machine.is_some();
        let is_advertised =
            self.advertised.is_none() || other.advertised.is_none() || self.advertised == other.advertised;
        self.may_be_same_machine(other)
            && (is_known || self.folder == other.folder)
            && is_advertised
            && (&self.client, &self.peer) == (&other.client, &other.peer)
    }

    /// Tells whether nothing says that it is another machine.
    fn may_be_same_machine(&self, other: &Self) -> bool {
        self.machine.is_none() || other.machine.is_none() || self.machine == other.machine
    }

    /// Tells whether it is the very folder that ran before, wherever its addresses are now.
    pub fn is_same_folder(&self, other: &Self) -> bool {
        self.may_be_same_machine(other) && self.folder == other.folder
    }

    /// The text of the note.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("invariant: a place has a TOML form");
        format!("# Where this node runs. See `sillage-node serve --help`, --moved and --isolated.\n{body}")
    }

    /// Writes the note, whole or not at all; durable when it returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&self, keyring: &Path) -> Result<(), PlaceError> {
        let path = file(keyring);
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| PlaceError::Note { path: path.clone(), message: error.to_string() })
    }
}

/// The file of the note.
pub fn file(keyring: &Path) -> PathBuf {
    keyring.with_file_name(PLACE)
}

/// Tells whether the node of this configuration may start here. Gives the place to be noted once nothing else keeps the node from
/// starting; none where it is noted already. An isolated one may start anywhere, and leaves the note as it is.
///
/// # Errors
/// [`PlaceError::Elsewhere`] where nobody said what it is.
pub fn check(config: &NodeConfig, said: Said) -> Result<Option<Place>, PlaceError> {
    if said.isolated {
        return Ok(None);
    }
    let is = Place::here(config)?;
    match Place::noted(&config.keyring)? {
        Some(was) if was == is => Ok(None),
        Some(was) if !was.is_same(&is) && !said.moved => Err(elsewhere(was, is)),
        _ => Ok(Some(is)),
    }
}

/// That the node is somewhere else than it noted.
pub fn elsewhere(was: Place, is: Place) -> PlaceError {
    PlaceError::Elsewhere { was: Box::new(was), is: Box::new(is) }
}

/// As [`check`], and notes the place.
///
/// # Errors
/// As [`check`], and when the note can't be written.
pub fn check_and_note(config: &NodeConfig, said: Said) -> Result<(), PlaceError> {
    check(config, said)?.map_or(Ok(()), |is| is.note(&config.keyring))
}

fn machine() -> Option<String> {
    let id = machine_id(MACHINE_IDS.iter().filter_map(|path| std::fs::read_to_string(path).ok()))?;
    // The id itself is not for files that travel.
    Some(hex::encode(&sha256(&[b"sillage/machine/v1\0", id.as_bytes()]).as_bytes()[..16]))
}

/// The first that is an id: images of machines hold an empty file, or the word that says that there is none yet.
fn machine_id(texts: impl IntoIterator<Item = String>) -> Option<String> {
    let ids = texts.into_iter().map(|text| text.trim().to_owned());
    ids.into_iter().find(|id| !id.is_empty() && id != "uninitialized")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path, port: u16) -> NodeConfig {
        let mut config = crate::config::tests::example();
        config.keyring = dir.join("keyring");
        config.listen_client = format!("127.0.0.1:{port}");
        config
    }

    fn noted(dir: &Path) -> Place {
        Place::noted(&dir.join("keyring")).unwrap().expect("noted")
    }

    #[test]
    fn a_copy_at_another_address_stops_until_somebody_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        check_and_note(&config(dir.path(), 7402), Said::default()).unwrap();
        check_and_note(&config(dir.path(), 7402), Said::default()).unwrap();
        let first = noted(dir.path());
        for port in [7404, 9000] {
            let error = check_and_note(&config(dir.path(), port), Said::default()).unwrap_err().to_string();
            for wanted in ["127.0.0.1:7402", &format!("127.0.0.1:{port}"), "--moved", "--isolated"] {
                assert!(error.contains(wanted), "{error}");
            }
            assert_eq!(noted(dir.path()), first, "nothing is written");
        }
        check_and_note(&config(dir.path(), 9000), Said { isolated: true, moved: false }).unwrap();
        assert_eq!(noted(dir.path()), first, "who only looks leaves it as it is");
        check_and_note(&config(dir.path(), 9000), Said { moved: true, isolated: false }).unwrap();
        check_and_note(&config(dir.path(), 9000), Said::default()).unwrap();
        check_and_note(&config(dir.path(), 7402), Said::default()).unwrap_err();
    }

    #[test]
    fn without_a_machines_id_on_either_side_another_folder_is_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), 7402);
        let here = Place::here(&config).unwrap();
        let copied = Place { machine: None, folder: "1:2".to_owned(), ..here.clone() };
        std::fs::write(file(&config.keyring), copied.to_text()).unwrap();
        assert!(matches!(check_and_note(&config, Said::default()), Err(PlaceError::Elsewhere { .. })));
        assert_eq!(noted(dir.path()), copied, "nothing is written");
        check_and_note(&config, Said { moved: true, isolated: false }).unwrap();
        assert_eq!(noted(dir.path()).folder, here.folder);
    }

    #[test]
    fn an_empty_id_and_the_word_for_none_are_no_ids() {
        let found = |texts: &[&str]| machine_id(texts.iter().map(|text| (*text).to_owned()));
        assert_eq!(found(&["", "b2\n"]).as_deref(), Some("b2"));
        assert_eq!(found(&["uninitialized\n", " \n"]), None);
        assert_eq!(found(&["a1\n", "b2\n"]).as_deref(), Some("a1"));
    }

    #[test]
    fn another_advertised_address_is_another_place_where_both_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        let here = Place::here(&config(dir.path(), 7402)).unwrap();
        let here = Place { machine: Some("ab".repeat(16)), advertised: Some("one.example:7401".to_owned()), ..here };
        assert!(here.is_same(&Place { advertised: None, ..here.clone() }), "a note of before");
        assert!(!here.is_same(&Place { advertised: Some("two.example:7401".to_owned()), ..here.clone() }));
    }

    #[test]
    fn another_machine_is_another_place_and_in_the_same_folder_one_without_an_id_is_any() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), 7402);
        let here = Place::here(&config).unwrap();
        let other = Place { machine: Some("ab".repeat(16)), ..here.clone() };
        std::fs::write(file(&config.keyring), other.to_text()).unwrap();
        assert_eq!(check_and_note(&config, Said::default()).is_err(), here.machine.is_some());
        let none = Place { machine: None, ..here.clone() };
        std::fs::write(file(&config.keyring), none.to_text()).unwrap();
        check_and_note(&config, Said::default()).unwrap();
        assert!(here.is_same_folder(&none) && !here.is_same_folder(&Place { folder: "1:2".to_owned(), ..none }));
        std::fs::write(file(&config.keyring), "client = 7").unwrap();
        assert!(matches!(check_and_note(&config, Said::default()), Err(PlaceError::Note { .. })));
    }
}
