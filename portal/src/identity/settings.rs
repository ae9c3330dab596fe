//! The settings of a resolver: the table `[identity]` of a login process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::oidc::http::Trust;

use super::claim::ByClaim;
use super::enrolment::Enrolled;
use super::file::ByFile;
use super::lookup::ByTraits;
use super::resolver::IdentityResolver;

/// Where INSs come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "source", deny_unknown_fields)]
pub enum Settings {
    /// The provider says them (`[oidc] ins_claim`).
    Claim {},
    /// A file says them; test logs alone.
    File {
        /// The file.
        file: PathBuf,
    },
    /// A service finds them by traits, and a patient confirms once.
    Service {
        /// Its address.
        url: String,
        /// Roots of trust, PEM; without it those of browsers.
        #[serde(default)]
        ca: Option<PathBuf>,
        /// A certificate of this process for that service, PEM.
        #[serde(default)]
        certificate: Option<PathBuf>,
        /// Its key, PEM.
        #[serde(default)]
        key: Option<PathBuf>,
        /// For development and tests: plain HTTP on this machine.
        #[serde(default)]
        plain_loopback: bool,
        /// The file of enrolments of this process.
        enrolments: PathBuf,
        /// The key of that file: 64 hexadecimal characters, mode 0600.
        enrolments_key: PathBuf,
    },
}

impl Settings {
    /// Makes the paths of its files absolute: they are relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        let join = |file: &mut PathBuf| *file = base.join(&*file);
        match self {
            Self::Claim {} => {}
            Self::File { file } => join(file),
            Self::Service { ca, certificate, key, enrolments, enrolments_key, .. } => {
                [ca, certificate, key].into_iter().flatten().for_each(join);
                [enrolments, enrolments_key].into_iter().for_each(join);
            }
        }
    }

    /// The resolver. `is_test_log` is what the genesis of the log says.
    ///
    /// # Errors
    /// A setting or a file that can't be used.
    pub fn open(&self, is_test_log: bool) -> Result<Arc<dyn IdentityResolver>, String> {
        match self {
            Self::Claim {} => Ok(Arc::new(ByClaim { is_test_log })),
            Self::File { file } => Ok(Arc::new(ByFile::load(file, is_test_log)?)),
            Self::Service { url, ca, certificate, key, plain_loopback, enrolments, enrolments_key } => {
                let identity = match (certificate, key) {
                    (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
                    (None, None) => None,
                    _ => return Err("[identity] certificate and key go together".to_owned()),
                };
                let trust = Trust { ca: ca.clone(), identity, plain_loopback: *plain_loopback };
                let lookup = ByTraits::new(url, &trust, is_test_log)?;
                Ok(Arc::new(Enrolled::open(enrolments, enrolments_key, Box::new(lookup), is_test_log)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_takes_its_own_settings_alone() {
        let read = |text: &str| toml::from_str::<Settings>(text).map_err(|error| error.to_string());
        assert!(read("source = \"claim\"").expect("settings").open(false).is_ok());
        assert!(read("source = \"claim\"\nfile = \"x\"").is_err());
        assert!(read("source = \"guess\"").is_err());
        let file = read("source = \"file\"\nfile = \"/missing\"").expect("settings");
        assert!(file.open(false).is_err_and(|why| why.contains("test logs alone")));
        let service =
            "source = \"service\"\nurl = \"https://insi.example\"\nenrolments = \"e\"\nenrolments_key = \"k\"\n";
        let half = read(&format!("{service}certificate = \"c\"")).expect("settings");
        assert!(half.open(true).is_err_and(|why| why.contains("go together")));
    }
}
