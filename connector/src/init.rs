//! `sillage-connector init`: the folder of a new connector.
//!
//! ```text
//! DIR/  connector.toml  connector.key
//! ```

use std::path::{Path, PathBuf};

use sillage_client::ClientError;
use sillage_client::profile::{Profile, refuse_existing, write_new};

use crate::spool::seal::Key;

/// A connector to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its folder: made where it isn't there.
    pub dir: PathBuf,
    /// The profile of its party.
    pub profile: PathBuf,
    /// `address:port` of the REST door.
    pub listen: std::net::SocketAddr,
    /// The address by which clients know it; none: made from `listen`.
    pub base: Option<String>,
    /// A bearer token for development, where the log is a test log and the address loopback.
    pub dev: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The configuration file.
    pub config: PathBuf,
    /// The address by which clients know the REST door.
    pub base: String,
    /// The token for development.
    pub token: Option<String>,
}

/// Makes the folder. What is there is never overwritten.
///
/// # Errors
/// When a file is there already, the profile can't be used, or `dev` is asked for where it must not be.
pub fn create(plan: &Plan) -> Result<Made, ClientError> {
    let profile = Profile::load(&plan.profile)?;
    let test_log = profile.genesis()?.0.test_log;
    profile.author_signing_key()?;
    if plan.dev && !(test_log && plan.listen.ip().is_loopback()) {
        let why = "a token for development is for test logs, and for addresses of loopback such as 127.0.0.1:8080: leave out --dev, \
                   and give the door certificates ([fhir.tls])";
        return Err(ClientError::Usage(why.to_owned()));
    }
    make_dir(&plan.dir)?;
    let (config, key) = (plan.dir.join("connector.toml"), plan.dir.join("connector.key"));
    refuse_existing(&config)?;
    let base = plan.base.clone().unwrap_or_else(|| format!("http://{}/fhir", plan.listen));
    let token = if plan.dev { Some(random(24)?) } else { None };
    let text = text(plan, &base, token.as_deref(), &random(4)?)?;
    Key::create(&key)?;
    // The last one: with it, the folder is whole. It may hold a token.
    write_new(&config, text.as_bytes(), 0o600)?;
    Ok(Made { config, base, token })
}

fn make_dir(dir: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| ClientError::writing(dir, error))
}

fn random(bytes: usize) -> Result<String, ClientError> {
    let mut out = vec![0; bytes];
    getrandom::fill(&mut out)
        .map_err(|error| ClientError::Usage(format!("no randomness from the operating system: {error}")))?;
    Ok(hex::encode(out))
}

fn text(plan: &Plan, base: &str, token: Option<&str>, mark: &str) -> Result<String, ClientError> {
    let profile = std::path::absolute(&plan.profile).map_err(|error| ClientError::reading(&plan.profile, error))?;
    let dir = std::path::absolute(&plan.dir).map_err(|error| ClientError::reading(&plan.dir, error))?;
    // Beside each other, they are carried together.
    let profile = match (profile.parent() == Some(&dir), profile.parent() == dir.parent(), profile.file_name()) {
        (true, _, Some(name)) => PathBuf::from(name),
        (_, true, Some(name)) => Path::new("..").join(name),
        _ => profile,
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut out = format!(
        "# docs/reference/connector-toml.md has every field.\n\
         profile = {}\nstream = \"connector-{mark}\"\n\n[spool]\ndir = \"spool\"\nbytes_max = {}\n\n\
         [fhir]\nlisten = {}\nbase = {}\n",
        quoted(&profile.to_string_lossy()),
        10_u64 << 30,
        quoted(&plan.listen.to_string()),
        quoted(base),
    );
    match token {
        Some(token) => {
            out += &format!("# For development, on this machine alone.\ntoken = {}\n", quoted(token));
            out += "\n[patients]\n# A test log: references become demonstration identities.\ndemo = true\n";
        }
        None => {
            out += "\n# Other addresses than loopback need certificates:\n# [fhir.tls]\n# cert = \"tls/connector.pem\"\n\
                    # key = \"tls/connector.key\"\n# client_ca = \"tls/clients.pem\"\n\n\
                    # One part for each program that may call:\n# [[client]]\n# name = \"radiology\"\n\
                    # certificate_sha256 = \"…\"\n# scopes = [\"system/AuditEvent.crs\"]\n";
        }
    }
    Ok(out)
}
