//! The profile: who calls, which ledger, with which keys. One TOML file; its paths are relative to the file itself.
//!
//! ```toml
//! origin = "ledger.example/log1"
//! endpoints = ["https://127.0.0.1:7400", "https://127.0.0.1:7402"]
//! server_name = "sillage-node"        # what the nodes' certificates must carry
//! ca = "tls/ca.pem"
//! cert = "tls/profile.pem"
//! key = "tls/profile.key"
//! log_vkey = "ledger.example/log1+…"  # signed-note verifier key of the log
//! vrf_public_key = "…"                # hex
//! genesis = "genesis.bin"
//! author_key = "keys/profile.key"     # 64 hex characters: the Ed25519 seed; mode 0600
//! stream = "cli"
//! authority_key = "keys/authority.key" # optional: signs acts of the authority
//! authority_cert = "tls/authority.pem" # optional: the authority's own certificate, where `cert` is another party's
//! authority_cert_key = "tls/authority.key"
//! cosign_keys = ["authority-2/keys/authority.key"] # test logs: further authorities, who sign at once what this one signs
//! ca_key = "tls/ca.key"                # optional: lets `keys register --out` issue certificates
//! gateway = "http://127.0.0.1:7410"    # optional: where checkpoints and hash tiles are public
//! fhir = "http://127.0.0.1:7408/fhir"  # optional: where a connector serves FHIR
//! fhir_token = "…"                     # test logs: the bearer token of that connector, on this machine alone
//! portal = "http://127.0.0.1:7409"     # optional: where patients find their pages
//! login = "login.json"                 # optional: a login of who decides, and the key of its session
//! test_issuer = "keys/test-issuer.key" # test logs: logs in whoever is named
//!
//! [auth]                               # optional: how those who decide here prove who they are, where a command doesn't say
//! issuer = "https://ens.example"
//! method = "FranceConnect+"
//! eidas_level = "substantial"          # low, substantial or high
//! ```

use std::path::{Path, PathBuf};

use prost::Message;
use serde::Deserialize;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::Genesis;
use sillage_rules::line::AuthLine;
use zeroize::Zeroizing;

use crate::error::ClientError;

/// A profile with its paths made absolute.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The folder of the profile file: the outbox and the state file live here.
    pub dir: PathBuf,
    /// Name of the log.
    pub origin: String,
    /// `https://host:port` of the nodes, in the order in which they are tried first.
    pub endpoints: Vec<String>,
    /// DNS name that every node's certificate carries.
    pub server_name: String,
    /// The CA that signed the nodes' certificates, PEM.
    pub ca: PathBuf,
    /// This caller's certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Signed-note verifier key of the log.
    pub log_vkey: String,
    /// RFC 9381 public key, 32 bytes.
    pub vrf_public_key: [u8; 32],
    /// Entry 0's body, as a file.
    pub genesis: PathBuf,
    /// The author's seed file.
    pub author_key: Option<PathBuf>,
    /// Label of the author's stream.
    pub stream: String,
    /// The authority's seed file.
    pub authority_key: Option<PathBuf>,
    /// The authority's certificate and its key, PEM, where [`Profile::cert`] is another party's: acts go over it.
    pub authority_cert: Option<(PathBuf, PathBuf)>,
    /// Seed files of further authorities, who sign at once what this one signs: in test logs alone.
    pub cosign_keys: Vec<PathBuf>,
    /// The CA's private key, PEM.
    pub ca_key: Option<PathBuf>,
    /// `http://host:port` of a gateway: public checkpoints and hash tiles.
    pub gateway: Option<String>,
    /// Base address of a connector's FHIR server.
    pub fhir: Option<String>,
    /// Its bearer token for development; on loopback alone.
    pub fhir_token: Option<String>,
    /// Where patients find their pages.
    pub portal: Option<String>,
    /// How those who decide through this service prove who they are.
    pub auth: Option<AuthLine>,
    /// The file of a login whose session decides what this profile records ([`crate::will`]).
    pub login: Option<PathBuf>,
    /// The seed file of a test log's own issuer of logins.
    pub test_issuer: Option<PathBuf>,
}

/// The file, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    origin: String,
    endpoints: Vec<String>,
    #[serde(default = "default_server_name")]
    server_name: String,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    log_vkey: String,
    vrf_public_key: String,
    genesis: PathBuf,
    author_key: Option<PathBuf>,
    #[serde(default = "default_stream")]
    stream: String,
    authority_key: Option<PathBuf>,
    authority_cert: Option<PathBuf>,
    authority_cert_key: Option<PathBuf>,
    #[serde(default)]
    cosign_keys: Vec<PathBuf>,
    ca_key: Option<PathBuf>,
    gateway: Option<String>,
    fhir: Option<String>,
    fhir_token: Option<String>,
    portal: Option<String>,
    auth: Option<AuthLine>,
    login: Option<PathBuf>,
    test_issuer: Option<PathBuf>,
}

fn default_server_name() -> String {
    "sillage-node".to_owned()
}

fn default_stream() -> String {
    "cli".to_owned()
}

impl Profile {
    /// Reads a profile file.
    ///
    /// # Errors
    /// [`ClientError::Usage`] or [`ClientError::File`], with what to correct.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ClientError::Usage(format!(
                "cannot read the profile {}: {error}; `sillage-node dev --dir DIR` writes one to DIR/sillage.toml",
                path.display()
            ))
        })?;
        let absolute = std::path::absolute(path).map_err(|e| ClientError::reading(path, e))?;
        let dir = absolute.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, dir)
            .map_err(|why| ClientError::Usage(format!("the profile {} cannot be used: {why}", path.display())))
    }

    /// Parses the text of a profile that stands in `dir`.
    pub(crate) fn parse(text: &str, dir: PathBuf) -> Result<Self, String> {
        let file: ProfileFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.endpoints.is_empty() {
            return Err("`endpoints` is empty: name at least one node".to_owned());
        }
        if let Some(bad) = file.endpoints.iter().find(|url| !url.starts_with("https://")) {
            return Err(format!("`{bad}` is not an https:// address; every port speaks TLS only"));
        }
        let mut vrf_public_key = [0_u8; 32];
        hex::decode_to_slice(&file.vrf_public_key, &mut vrf_public_key)
            .map_err(|_| "`vrf_public_key` is not 64 hexadecimal characters".to_owned())?;
        let stream_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if file.stream.is_empty() || file.stream.len() > 64 || !file.stream.chars().all(stream_ok) {
            return Err("`stream` is 1 to 64 characters of a-z 0-9 . _ -".to_owned());
        }
        let level = file.auth.as_ref().map_or("", |auth| auth.eidas_level.as_str());
        if !["", "low", "substantial", "high"].contains(&level) {
            return Err("`auth.eidas_level` is low, substantial or high".to_owned());
        }
        let is_loopback =
            |fhir: &String| ["http://127.0.0.1:", "http://[::1]:"].iter().any(|near| fhir.starts_with(near));
        if file.fhir_token.is_some() && !file.fhir.as_ref().is_some_and(is_loopback) {
            return Err(
                "`fhir_token` is for development, with `fhir` on this machine (http://127.0.0.1:PORT/…): leave it out"
                    .to_owned(),
            );
        }
        let at = |path: PathBuf| dir.join(path);
        let authority_cert = match (file.authority_cert, file.authority_cert_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((at(cert), at(key))),
            _ => return Err("`authority_cert` and `authority_cert_key` go together".to_owned()),
        };
        Ok(Self {
            origin: file.origin,
            endpoints: file.endpoints,
            server_name: file.server_name,
            ca: at(file.ca),
            cert: at(file.cert),
            key: at(file.key),
            log_vkey: file.log_vkey.trim().to_owned(),
            vrf_public_key,
            genesis: at(file.genesis),
            author_key: file.author_key.map(at),
            stream: file.stream,
            authority_key: file.authority_key.map(at),
            authority_cert,
            cosign_keys: file.cosign_keys.into_iter().map(at).collect(),
            ca_key: file.ca_key.map(at),
            gateway: file.gateway,
            fhir: file.fhir,
            fhir_token: file.fhir_token,
            portal: file.portal,
            auth: file.auth,
            login: file.login.map(at),
            test_issuer: file.test_issuer.map(at),
            dir: dir.clone(),
        })
    }

    /// The genesis that this profile trusts, and its bytes.
    ///
    /// # Errors
    /// When the file is missing, isn't a genesis, or is another log's.
    pub fn genesis(&self) -> Result<(Genesis, Vec<u8>), ClientError> {
        let bytes = read(&self.genesis)?;
        let genesis = Genesis::decode(bytes.as_slice()).map_err(|error| ClientError::reading(&self.genesis, error))?;
        if genesis.origin != self.origin {
            return Err(ClientError::Usage(format!(
                "the genesis file is of `{}`, the profile of `{}`: take both from the same ledger",
                genesis.origin, self.origin
            )));
        }
        Ok((genesis, bytes))
    }

    /// The author's signing key.
    ///
    /// # Errors
    /// When the profile names none, or its file can't be used.
    pub fn author_signing_key(&self) -> Result<SigningKey, ClientError> {
        let path = self.author_key.as_deref().ok_or_else(|| {
            ClientError::Usage("this profile has no `author_key`: it can read, not record".to_owned())
        })?;
        load_seed(path)
    }

    /// The authority's signing key.
    ///
    /// # Errors
    /// When the profile names none, or its file can't be used.
    pub fn authority_signing_key(&self) -> Result<SigningKey, ClientError> {
        let path = self.authority_key.as_deref().ok_or_else(|| {
            ClientError::Usage(
                "this profile has no `authority_key`: only the authority registers, rotates and revokes keys"
                    .to_owned(),
            )
        })?;
        load_seed(path)
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`ClientError::File`] where it can't be read.
pub fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|error| ClientError::reading(path, error))
}

/// Reads a seed file: 64 hexadecimal characters and a newline.
///
/// # Errors
/// When it can't be read, isn't that, or others may read it.
pub fn load_seed(path: &Path) -> Result<SigningKey, ClientError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|e| ClientError::reading(path, e))?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = "other users of this machine may read this private key: chmod 600 it";
        return Err(ClientError::reading(path, why));
    }
    let text = Zeroizing::new(read(path)?);
    let mut seed = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), seed.as_mut_slice())
        .map_err(|_| ClientError::reading(path, "expected 64 hexadecimal characters, an Ed25519 seed"))?;
    Ok(SigningKey::from_seed(&seed))
}

/// Writes a seed file, mode 0600. Refuses to overwrite.
///
/// # Errors
/// When the file exists or can't be written.
pub fn write_seed(path: &Path, key: &SigningKey) -> Result<(), ClientError> {
    let mut text = Zeroizing::new(hex::encode(key.to_seed().as_slice()));
    text.push('\n');
    write_private(path, text.as_bytes())
}

/// Writes a new file that only its owner may read.
///
/// # Errors
/// [`ClientError::File`] where it is there already or can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| ClientError::writing(path, error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| ClientError::writing(path, error))
}

/// Of a certificate of X.509 version 1 or 2.
const OLD_CERTIFICATE: &str = "a certificate of X.509 version 1, which TLS doesn't take here: make it anew in version 3 (`openssl x509 -req … -extfile EXT`, \
                               with a line such as basicConstraints=CA:FALSE in EXT)";

/// Refuses to write over a file: what is there may be evidence.
///
/// # Errors
/// When the file is there.
pub fn refuse_existing(path: &Path) -> Result<(), ClientError> {
    match path.symlink_metadata() {
        Ok(_) => {
            Err(ClientError::writing(path, "the file is there already, and is never overwritten: name another one"))
        }
        Err(_) => Ok(()),
    }
}

/// Writes a new file with this mode, whole or not at all. Existing files stay.
///
/// # Errors
/// When the file is there, or can't be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ClientError> {
    write_new_by(path, bytes, mode, |part, path| std::fs::hard_link(part, path))
}

/// The same, with this way to give a finished file its name.
fn write_new_by(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    link: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
) -> Result<(), ClientError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    refuse_existing(path)?;
    let name = path.file_name().ok_or_else(|| ClientError::Usage("--out names no file".to_owned()))?;
    let part = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    // Of an earlier process with this id that was killed.
    let _ = std::fs::remove_file(&part);
    let write = || {
        let written = |to: &Path| {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
            file.write_all(bytes).and_then(|()| file.sync_all())
        };
        written(&part)?;
        // Unlike a renaming, a link never takes the place of a file that came meanwhile.
        match link(&part, path) {
            Err(error) if has_no_links(&error) => {
                // FAT, as on a USB stick. This one never takes the place of another file either; but for a crash, it is whole.
                let created = written(path);
                if created.as_ref().is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
                    let _ = std::fs::remove_file(path);
                }
                created
            }
            linked => linked,
        }
    };
    let written = write();
    let _ = std::fs::remove_file(&part);
    written.map_err(|error| ClientError::writing(path, error))
}

/// Tells whether the file system has no hard links.
fn has_no_links(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied)
}

/// SHA-256 of the SubjectPublicKeyInfo of the first certificate of a PEM file: how the ledger knows a caller.
///
/// # Errors
/// When the file holds no certificate.
pub fn spki_sha256(path: &Path) -> Result<Hash, ClientError> {
    let pem = read(path)?;
    let why = |what: &str| ClientError::reading(path, format!("not a certificate in PEM: {what}"));
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|e| why(&e.to_string()))?;
    let certificate = block.parse_x509().map_err(|e| why(&e.to_string()))?;
    if certificate.version() != x509_parser::x509::X509Version::V3 {
        return Err(ClientError::reading(path, OLD_CERTIFICATE));
    }
    Ok(sillage_proof::hash::sha256(&[certificate.tbs_certificate.subject_pki.raw]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_field_of_a_profile_and_no_other() {
        let page = include_str!("../../docs/reference/profile.md");
        let told = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let told: Vec<&str> = told.map(|(name, _)| name).collect();
        let source = include_str!("profile.rs");
        let (_, rest) = source.split_once("struct ProfileFile {").expect("the structure is there");
        let (body, _) = rest.split_once("\n}").expect("it ends");
        let fields = body.lines().filter(|line| !line.trim().starts_with('#')).filter_map(|line| line.split_once(':'));
        let fields: Vec<&str> = fields.map(|(name, _)| name.trim()).collect();
        assert_eq!(told, fields);
    }

    #[test]
    fn a_file_is_written_whole_and_evidence_is_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        for (name, mode) in [("mine.sillage-trace", 0o600), ("3.tlog-proof", 0o644)] {
            let file = dir.path().join(name);
            write_new(&file, b"first", mode).expect("written");
            let refused = write_new(&file, b"second", mode).expect_err("it is there");
            assert!(refused.to_string().contains("never overwritten") && refused.exit_code() == 2, "{refused}");
            assert_eq!(std::fs::read(&file).expect("there"), b"first");
            let found = std::fs::metadata(&file).expect("there").permissions().mode();
            assert_eq!(found & 0o777 & !0o022, mode & !0o022);
        }
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).expect("made");
        write_new(&dir.path().join("link"), b"x", 0o600).expect_err("a link is something too");
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 3, "nothing is left beside them");
    }

    #[test]
    fn a_file_is_written_where_there_are_no_hard_links() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("mine.sillage-trace");
        // EPERM, as FAT answers, and EOPNOTSUPP, as some network disks do.
        for code in [1, 95] {
            let no_links = |_: &Path, _: &Path| Err(std::io::Error::from_raw_os_error(code));
            write_new_by(&file, b"first", 0o600, no_links).expect("written");
            assert_eq!(std::fs::read(&file).expect("there"), b"first");
            let came = |_: &Path, to: &Path| {
                std::fs::write(to, b"came meanwhile")?;
                Err(std::io::Error::from_raw_os_error(code))
            };
            std::fs::remove_file(&file).expect("removed");
            write_new_by(&file, b"second", 0o600, came).expect_err("a file came meanwhile");
            assert_eq!(std::fs::read(&file).expect("there"), b"came meanwhile");
            assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing is left beside it");
            std::fs::remove_file(&file).expect("removed");
        }
    }

    #[test]
    fn a_certificate_of_version_1_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a folder");
        let (key, old) = (dir.path().join("key.pem"), dir.path().join("old.pem"));
        let openssl = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=old", "-x509v1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&old)
            .output();
        // An openssl that can't make such certificates any more has nothing to show here.
        if openssl.is_ok_and(|made| made.status.success()) {
            let error = spki_sha256(&old).expect_err("version 1").to_string();
            assert!(error.contains("version 1") && error.contains("version 3"), "{error}");
        }
    }

    const GOOD: &str = r#"
        origin = "test/log"
        endpoints = ["https://127.0.0.1:7400"]
        ca = "tls/ca.pem"
        cert = "tls/profile.pem"
        key = "/abs/profile.key"
        log_vkey = "test/log+00000000+AAAA"
        vrf_public_key = "0101010101010101010101010101010101010101010101010101010101010101"
        genesis = "genesis.bin"
    "#;

    #[test]
    fn paths_are_relative_to_the_file() {
        let profile = Profile::parse(GOOD, "/some/dir".into()).expect("a good profile");
        assert_eq!(profile.ca, Path::new("/some/dir/tls/ca.pem"));
        assert_eq!(profile.key, Path::new("/abs/profile.key"));
        assert_eq!(profile.stream, "cli");
        assert_eq!(profile.server_name, "sillage-node");
        assert!(profile.author_signing_key().is_err());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let bad = [
            (GOOD.replace("https://", "http://"), "https"),
            (GOOD.replace("[\"https://127.0.0.1:7400\"]", "[]"), "endpoints"),
            (GOOD.replace("0101", "01"), "vrf_public_key"),
            (GOOD.replace("genesis =", "genezis ="), "genezis"),
            (format!("{GOOD}\nstream = \"UP\""), "stream"),
            (format!("{GOOD}\nfhir = \"http://10.0.0.1:80/fhir\"\nfhir_token = \"x\""), "fhir_token"),
            (format!("{GOOD}\nfhir_token = \"x\""), "fhir_token"),
            (format!("{GOOD}\n[auth]\neidas_level = \"enough\""), "eidas_level"),
        ];
        for (text, word) in bad {
            let why = Profile::parse(&text, "/".into()).expect_err(word);
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_seed_file_is_read_back_and_must_be_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.key");
        let key = SigningKey::from_seed(&[5; 32]);
        write_seed(&path, &key).expect("written");
        assert_eq!(load_seed(&path).expect("read").public_key(), key.public_key());
        assert!(write_seed(&path, &key).is_err(), "no key is overwritten");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, open).expect("chmod");
        assert!(load_seed(&path).expect_err("too open").to_string().contains("chmod 600"));
    }
}
