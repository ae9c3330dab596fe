//! `sillage-portal init`: the folder of a portal for development.
//!
//! ```text
//! DIR/  portal.toml  login.toml  cookie.key
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sillage_client::ClientError;
use sillage_client::profile::{Profile, refuse_existing, write_new};
use sillage_proof::keys::AuthorId;

use crate::cookie::Sealer;

/// A portal to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its folder: made where it isn't there.
    pub dir: PathBuf,
    /// The profile of the party of the role `portal`.
    pub profile: PathBuf,
    /// The profile of the party of the role `login`.
    pub login_profile: PathBuf,
    /// The seed of the test log's issuer.
    pub test_issuer: PathBuf,
    /// Where the pages are served; the login has the next two ports.
    pub listen: SocketAddr,
    /// Patients to choose from: `NAME=INS,OID` or `NAME=INS,OID,REPRESENTATIVE`.
    pub patients: Vec<String>,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The configuration of the page process.
    pub portal: PathBuf,
    /// The configuration of the login process.
    pub login: PathBuf,
    /// The address of the pages.
    pub base: String,
}

/// Makes the folder. What is there is never overwritten.
///
/// # Errors
/// When a file is there already, a profile can't be used, or the log is one of real persons.
pub fn create(plan: &Plan) -> Result<Made, ClientError> {
    let (profile, login) = (Profile::load(&plan.profile)?, Profile::load(&plan.login_profile)?);
    if profile.origin != login.origin {
        return Err(ClientError::Usage("the two profiles are of two logs: take both from the same one".to_owned()));
    }
    if !(profile.genesis()?.0.test_log && plan.listen.ip().is_loopback()) {
        let why = "init makes a portal for development: it is for test logs, and for addresses of loopback such as 127.0.0.1:8450";
        return Err(ClientError::Usage(why.to_owned()));
    }
    login.author_signing_key()?;
    let author = AuthorId::of_first_key(&profile.author_signing_key()?.public_key());
    let ports = [1, 2].map(|next| plan.listen.port().checked_add(next));
    let [Some(login_port), Some(back_port)] = ports else {
        return Err(ClientError::Usage("--listen leaves no two ports for the login: choose a smaller one".to_owned()));
    };
    let at = |port| SocketAddr::new(plan.listen.ip(), port).to_string();
    let (listen, login_listen, back) = (plan.listen.to_string(), at(login_port), at(back_port));
    let (base, login_base) = (format!("http://{listen}"), format!("http://{login_listen}"));
    make_dir(&plan.dir)?;
    let (portal_file, login_file) = (plan.dir.join("portal.toml"), plan.dir.join("login.toml"));
    refuse_existing(&portal_file)?;
    refuse_existing(&login_file)?;
    let dir = absolute(&plan.dir)?;
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let path = |file: &Path| Ok::<_, ClientError>(quoted(&beside(&dir, &absolute(file)?).to_string_lossy()));
    let head = "# docs/reference/portal-toml.md has every field.\n";
    let portal = format!(
        "{head}profile = {}\nlisten = {}\nbase = {}\n\n[login]\nbase = {}\nback = {}\n",
        path(&plan.profile)?,
        quoted(&listen),
        quoted(&base),
        quoted(&login_base),
        quoted(&format!("http://{back}")),
    );
    let mut login = format!(
        "{head}profile = {}\nlisten = {}\nbase = {}\nportal = {}\nportal_author = {}\n\n[back]\nlisten = {}\n\n\
         # For development: logs in whoever is chosen.\n[dev]\ntest_issuer = {}\n",
        path(&plan.login_profile)?,
        quoted(&login_listen),
        quoted(&login_base),
        quoted(&base),
        quoted(&author.to_string()),
        quoted(&back),
        path(&plan.test_issuer)?,
    );
    for patient in &plan.patients {
        login += &patient_toml(patient)?;
    }
    let key = plan.dir.join("cookie.key");
    Sealer::create(&key)?;
    write_new(&login_file, login.as_bytes(), 0o600)?;
    // The last one: with it, the folder is whole.
    write_new(&portal_file, portal.as_bytes(), 0o600)?;
    Ok(Made { portal: portal_file, login: login_file, base })
}

fn patient_toml(text: &str) -> Result<String, ClientError> {
    let wrong = || ClientError::Usage(format!("--patient {text}: write NAME=INS,OID or NAME=INS,OID,REPRESENTATIVE"));
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let parts: Vec<&str> = rest.splitn(3, ',').collect();
    let (ins, oid, representative) = match parts[..] {
        [ins, oid] => (ins, oid, None),
        [ins, oid, representative] => (ins, oid, Some(representative)),
        _ => return Err(wrong()),
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut out = format!("\n[[dev.patient]]\nname = {}\nins = {}\noid = {}\n", quoted(name), quoted(ins), quoted(oid));
    if let Some(representative) = representative {
        out += &format!("represented_by = {}\n", quoted(representative));
    }
    Ok(out)
}

fn absolute(path: &Path) -> Result<PathBuf, ClientError> {
    std::path::absolute(path).map_err(|error| ClientError::reading(path, error))
}

/// A file as a configuration in `dir` names it: relative where they are carried together.
fn beside(dir: &Path, file: &Path) -> PathBuf {
    if let Ok(below) = file.strip_prefix(dir) {
        return below.to_owned();
    }
    match dir.parent().and_then(|parent| file.strip_prefix(parent).ok()) {
        Some(near) => Path::new("..").join(near),
        None => file.to_owned(),
    }
}

fn make_dir(dir: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| ClientError::writing(dir, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_is_a_name_an_ins_and_an_oid() {
        let text = patient_toml("Zoé \"la\" Test=279035121518989,1.2.250.1.213.1.4.10,urn:x|p1").expect("a patient");
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        let patient = &table["dev"]["patient"][0];
        assert_eq!(patient["name"].as_str(), Some("Zoé \"la\" Test"));
        assert_eq!(patient["represented_by"].as_str(), Some("urn:x|p1"));
        for wrong in ["Zoé", "Zoé=279", ""] {
            assert!(patient_toml(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_carried_together_is_named_from_beside() {
        let name = |file: &str| beside(Path::new("/a/portal"), Path::new(file)).display().to_string();
        assert_eq!(name("/a/portal/x/sillage.toml"), "x/sillage.toml");
        assert_eq!(name("/a/keys/k"), "../keys/k");
        assert_eq!(name("/b/k"), "/b/k");
    }
}
