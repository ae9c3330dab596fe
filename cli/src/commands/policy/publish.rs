//! `policy publish`: what holds for all patients from here on, signed by the ledger's authority.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use sillage_client::clock::now_ms;
use sillage_client::consent::change::Change;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_rules::kind::Kind;

use crate::acts::{print, submit_message};
use crate::arguments::reading::authority;
use crate::{Context, Ended};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["policy", "matrix", "catalogue"])))]
pub struct PolicyPublishArgs {
    /// The policy: `version`, `attending_doctor_sees_all`, `emergency_lifts_mask`, `express_consent_only`, `barred_purposes`,
    /// `legal_feeds`, `emergency_professions`, `decision_valid_s`, `justification_due_s`, `breakglass_max_s`,
    /// `proven_bases`, `late_after_s`; what is left out is as by default
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// The habilitation matrix: `version` and `deny`, a list of `{profession, categories, actions}`
    #[arg(long, value_name = "F")]
    pub matrix: Option<PathBuf>,
    /// The catalogue of applications: `version` and `apps`, a list of `urn:sillage:app|id` or `…|id@version`
    #[arg(long, value_name = "F")]
    pub catalogue: Option<PathBuf>,
}

pub async fn run(context: &Context, args: &PolicyPublishArgs) -> Result<Ended, ClientError> {
    let (kind, path) = match (&args.policy, &args.matrix, &args.catalogue) {
        (Some(path), ..) => (Kind::POLICY_PUBLISHED, path),
        (_, Some(path), _) => (Kind::MATRIX_PUBLISHED, path),
        (_, _, Some(path)) => (Kind::CATALOGUE_PUBLISHED, path),
        _ => return Err(ClientError::Usage("name --policy, --matrix or --catalogue".to_owned())),
    };
    let change = Change::with(kind, details(path)?);
    let acting = authority(&context.profile()?)?;
    change.check(&acting, now_ms(), None)?;
    let session = context.session().await?;
    let receipt = submit_message(&session, change.to_message(&acting, now_ms())).await?;
    print(&receipt, json!({"kind": kind, "version": change.details["version"]}))
}

/// The document as a file has it: TOML, or JSON where the name says so.
fn details(path: &Path) -> Result<Value, ClientError> {
    let text = String::from_utf8(read(path)?).map_err(|error| ClientError::reading(path, error))?;
    let wrong = |why: String| ClientError::reading(path, why);
    let value: Value = match path.extension().is_some_and(|extension| extension == "json") {
        true => serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        false => toml::from_str(&text).map_err(|error| wrong(error.to_string()))?,
    };
    match value["version"].as_str().is_some_and(|version| !version.is_empty()) {
        true => Ok(value),
        false => Err(wrong("give it a `version`: it stands in every decision".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_client::consent::who::Acting;
    use sillage_rules::consent::ActorName;

    fn published(kind: Kind, name: &str, text: &str) -> Result<(), ClientError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        let author = ActorName::new("urn:sillage:author", "00").expect("a name");
        Change::with(kind, details(&path)?).check(&Acting::new(&author, "", "", ""), 1_000, None).map(|_| ())
    }

    #[test]
    fn a_document_is_toml_or_json_and_checked_before_it_is_signed() {
        let policy =
            "version = \"2026-1\"\nemergency_lifts_mask = true\n[emergency_professions]\nSAMU = [\"samu-regulator\"]";
        published(Kind::POLICY_PUBLISHED, "p.toml", policy).expect("a policy");
        published(Kind::MATRIX_PUBLISHED, "m.json", r#"{"version":"1","deny":[{"profession":"dentist"}]}"#)
            .expect("a matrix");
        published(Kind::CATALOGUE_PUBLISHED, "c.toml", "version = \"1\"\napps = [\"urn:sillage:app|poids\"]")
            .expect("apps");
        for (text, word) in [
            ("emergency_lifts_mask = true", "version"),
            ("version = \"1\"\ncolour = \"red\"", "details"),
            ("version = \"1\"\ndecision_valid_s = 0", "decision_valid_s"),
            ("version = \"1\"\nbreakglass_max_s = 0", "breakglass_max_s"),
            ("version = ", "TOML"),
        ] {
            let error = published(Kind::POLICY_PUBLISHED, "p.toml", text).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
