//! Where a node runs: its machine and its addresses, as it noted them beside its keyring (`place`).
//!
//! A copy of a node's folder that is started somewhere else has the node's keys, its peers and its witnesses: the witnesses
//! would cosign what the copy goes on to write, and refuse the real log from then on. So a node that finds itself at another
//! place than it noted stops, and a person says which of the two it is: moved for good, or a copy to look at.

use std::fmt;
use std::io;
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
    /// Device and inode of the folder that the keyring is in: a copy has others, a folder that was renamed has the same.
    pub folder: String,
}

/// What a person says of a folder that is at another place than it was.
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
        was: Place,
        /// As it is.
        is: Place,
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
        match &self.machine {
            Some(machine) => write!(f, " of machine {}", machine.get(..8).unwrap_or(machine)),
            None => Ok(()),
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

    /// Whether it is the same machine and the same addresses. A machine without an id is any.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_same_machine(other) && (&self.client, &self.peer) == (&other.client, &other.peer)
    }

    /// Whether nothing says that it is another machine.
    pub fn is_same_machine(&self, other: &Self) -> bool {
        self.machine.is_none() || other.machine.is_none() || self.machine == other.machine
    }

    /// Whether it is the very folder that ran before, wherever its addresses are now.
    pub fn is_same_folder(&self, other: &Self) -> bool {
        self.is_same_machine(other) && self.folder == other.folder
    }

    /// The text of the note.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("invariant: a place has a TOML form");
        format!("# Where this node runs. See `sillage-node serve --help`, --moved and --isolated.\n{body}")
    }

    fn note(&self, keyring: &Path) -> Result<(), PlaceError> {
        let path = file(keyring);
        let new = path.with_extension("new");
        let failed = |error: io::Error| PlaceError::Note { path: path.clone(), message: error.to_string() };
        std::fs::write(&new, self.to_text()).and_then(|()| std::fs::rename(&new, &path)).map_err(failed)
    }
}

/// The file of the note.
pub fn file(keyring: &Path) -> PathBuf {
    keyring.with_file_name(PLACE)
}

/// Whether the node of this configuration may start here. Notes where it is. An isolated one may start anywhere, and leaves
/// the note as it is.
///
/// # Errors
/// [`PlaceError::Elsewhere`] where nobody said what it is.
pub fn check(config: &NodeConfig, said: Said) -> Result<(), PlaceError> {
    if said.isolated {
        return Ok(());
    }
    let is = Place::here(config)?;
    match Place::noted(&config.keyring)? {
        Some(was) if was == is => Ok(()),
        Some(was) if !was.is_same(&is) && !said.moved => Err(PlaceError::Elsewhere { was, is }),
        _ => is.note(&config.keyring),
    }
}

fn machine() -> Option<String> {
    let id = MACHINE_IDS.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    let id = id.trim();
    // The id itself is not for files that travel.
    (!id.is_empty()).then(|| hex::encode(&sha256(&[b"sillage/machine/v1\0", id.as_bytes()]).as_bytes()[..16]))
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
        check(&config(dir.path(), 7402), Said::default()).unwrap();
        check(&config(dir.path(), 7402), Said::default()).unwrap();
        let first = noted(dir.path());
        for port in [7404, 9000] {
            let error = check(&config(dir.path(), port), Said::default()).unwrap_err().to_string();
            for wanted in ["127.0.0.1:7402", &format!("127.0.0.1:{port}"), "--moved", "--isolated"] {
                assert!(error.contains(wanted), "{error}");
            }
            assert_eq!(noted(dir.path()), first, "nothing is written");
        }
        check(&config(dir.path(), 9000), Said { isolated: true, moved: false }).unwrap();
        assert_eq!(noted(dir.path()), first, "who only looks leaves it as it is");
        check(&config(dir.path(), 9000), Said { moved: true, isolated: false }).unwrap();
        check(&config(dir.path(), 9000), Said::default()).unwrap();
        check(&config(dir.path(), 7402), Said::default()).unwrap_err();
    }

    #[test]
    fn another_machine_is_another_place_and_a_machine_without_an_id_is_any() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), 7402);
        let here = Place::here(&config).unwrap();
        let other = Place { machine: Some("ab".repeat(16)), ..here.clone() };
        std::fs::write(file(&config.keyring), other.to_text()).unwrap();
        assert_eq!(check(&config, Said::default()).is_err(), here.machine.is_some());
        let none = Place { machine: None, ..here.clone() };
        std::fs::write(file(&config.keyring), none.to_text()).unwrap();
        check(&config, Said::default()).unwrap();
        assert!(here.is_same_folder(&none) && !here.is_same_folder(&Place { folder: "1:2".to_owned(), ..none }));
        std::fs::write(file(&config.keyring), "client = 7").unwrap();
        assert!(matches!(check(&config, Said::default()), Err(PlaceError::Note { .. })));
    }
}
