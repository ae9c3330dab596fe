//! The configuration of a witness: its name, its logs, and its demands on their checkpoints.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, NoteSignature, SignedNote, SignerKey, VerifierKey};
use sillage_proof::policy::Policy;

use sillage_client::error::ClientError;
use sillage_client::profile::{read, write_private};

const CONFIG: &str = "witness.toml";
const KEY: &str = "witness.key";
const HEAD: &str =
    "# A witness (c2sp.org/tlog-witness). Logs may be added while it is stopped; its name can't be changed.\n\n";

/// Name, key and logs of a witness.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key that cosigns.
    pub signer: SignerKey,
    /// One item for each origin.
    pub logs: Vec<LogConfig>,
}

/// A log that is cosigned for.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// First line of its checkpoints.
    pub origin: String,
    /// Its keys; any of them is enough.
    pub keys: Vec<VerifierKey>,
    /// A policy that a checkpoint has to satisfy beside.
    pub policy: Option<Policy>,
}

/// A policy whose logs are cosigned for, where their checkpoints reach its quorum.
#[derive(Debug, Clone)]
pub struct LoggedPolicy {
    /// The file that it came from, for errors.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The file, as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    name: String,
    #[serde(default)]
    logs: Vec<LogFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFile {
    /// A vkey line.
    #[serde(skip_serializing_if = "Option::is_none")]
    vkey: Option<String>,
    /// Or the text of a policy: its logs, and only what reaches its quorum.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

impl LogConfig {
    /// The signatures of the log's own keys, and of the cosigners that its policy names: a copy of the log from before its key
    /// was replaced knows the nodes' keys, and nothing else that proves what was cosigned since.
    ///
    /// # Errors
    /// Why the note isn't to be cosigned: no trusted key has signed it, or its policy isn't satisfied.
    pub fn check(&self, note: &SignedNote) -> Result<Vec<NoteSignature>, String> {
        note.verify(&self.keys).map_err(|error| error.to_string())?;
        if let Some(policy) = &self.policy {
            policy.verify(note).map_err(|error| error.to_string())?;
        }
        // All lines of these keys were verified.
        let cosigners = self.policy.iter().flat_map(|policy| policy.witnesses()).map(|cosigner| &cosigner.key);
        let keys: Vec<&VerifierKey> = self.keys.iter().chain(cosigners).collect();
        let is_known =
            |line: &&NoteSignature| keys.iter().any(|key| key.name() == line.name && key.id() == line.key_id);
        Ok(note.signatures().iter().filter(is_known).cloned().collect())
    }
}

impl Config {
    /// Makes the folder of a new witness, with a new key. Gives the key's public half.
    ///
    /// # Errors
    /// When a name or key can't be used, or the folder holds a witness already.
    pub fn init(
        dir: &Path,
        name: &str,
        vkeys: &[String],
        policies: &[LoggedPolicy],
    ) -> Result<VerifierKey, ClientError> {
        let seed = SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
        let signer = SignerKey::new(name, KeyKind::CosignatureV1, seed)
            .map_err(|error| ClientError::Usage(format!("--name: {error}")))?;
        let vkeys = vkeys.iter().map(|vkey| LogFile { vkey: Some(vkey.clone()), policy: None });
        let policies = policies.iter().map(|policy| LogFile { vkey: None, policy: Some(policy.text.clone()) });
        let file = ConfigFile { name: name.to_owned(), logs: vkeys.chain(policies).collect() };
        logs(&file).map_err(ClientError::Usage)?;
        let text = toml::to_string(&file).map_err(|error| ClientError::Usage(error.to_string()))?;
        std::fs::create_dir_all(dir).map_err(|error| ClientError::writing(dir, error))?;
        // The key comes first: it is never overwritten, so a second `init` ends here.
        write_private(&dir.join(KEY), format!("{}\n", *signer.to_skey()).as_bytes())?;
        let path = dir.join(CONFIG);
        std::fs::write(&path, format!("{HEAD}{text}")).map_err(|error| ClientError::writing(&path, error))?;
        Ok(signer.verifier().clone())
    }

    /// Reads a witness's folder.
    ///
    /// # Errors
    /// When a file is missing or can't be used, or others may read the key.
    pub fn load(dir: &Path) -> Result<Self, ClientError> {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(CONFIG);
        let wrong = |why: String| ClientError::reading(&path, why);
        let text = String::from_utf8(read(&path)?).map_err(|error| wrong(error.to_string()))?;
        let file: ConfigFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let logs = logs(&file).map_err(wrong)?;
        let key = dir.join(KEY);
        let mode = std::fs::metadata(&key).map_err(|error| ClientError::reading(&key, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(ClientError::reading(
                &key,
                "other users of this machine may read this private key: chmod 600 it",
            ));
        }
        let line = zeroize::Zeroizing::new(read(&key)?);
        let signer = std::str::from_utf8(&line).ok().and_then(|line| SignerKey::from_skey(line.trim_end()).ok());
        let signer = signer.ok_or_else(|| ClientError::reading(&key, "not a private key line"))?;
        let cosigns = signer.verifier().kind() == KeyKind::CosignatureV1 && signer.verifier().name() == file.name;
        if !cosigns {
            return Err(ClientError::reading(&key, "not a cosignature key of the name that witness.toml gives"));
        }
        Ok(Self { signer, logs })
    }
}

/// Groups keys and policies by origin.
fn logs(file: &ConfigFile) -> Result<Vec<LogConfig>, String> {
    let mut out: Vec<LogConfig> = Vec::new();
    for log in &file.logs {
        match (&log.vkey, &log.policy) {
            (Some(vkey), None) => {
                let key: VerifierKey = vkey.trim().parse().map_err(|error| format!("log key `{vkey}`: {error}"))?;
                add(&mut out, key, None)?;
            }
            (None, Some(text)) => {
                let policy = Policy::parse(text.as_bytes()).map_err(|error| error.to_string())?;
                for log in policy.logs() {
                    add(&mut out, log.key.clone(), Some(&policy))?;
                }
            }
            _ => return Err("each of `logs` has a `vkey` or a `policy`".to_owned()),
        }
    }
    if out.is_empty() {
        return Err("no log to cosign for: name one with --log or --log-policy".to_owned());
    }
    Ok(out)
}

fn add(logs: &mut Vec<LogConfig>, key: VerifierKey, policy: Option<&Policy>) -> Result<(), String> {
    let Some(log) = logs.iter_mut().find(|log| log.origin == key.name()) else {
        logs.push(LogConfig { origin: key.name().to_owned(), keys: vec![key], policy: policy.cloned() });
        return Ok(());
    };
    if log.policy.as_ref() != policy {
        return Err(format!("{} is named twice, with different policies", log.origin));
    }
    if !log.keys.contains(&key) {
        log.keys.push(key);
    }
    Ok(())
}
