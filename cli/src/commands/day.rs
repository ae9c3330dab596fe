//! A connector's report of a day, for `verify`: what it says, and whether the nodes have it on record.

use serde_json::{Value, json};
use sillage_client::day_report::{self, DayReport, SignedReport};
use sillage_client::error::ClientError;
use sillage_proof::batch::Origin;
use sillage_proof::policy::Policy;
use sillage_words::Lang;
use sillage_words::words::pick;

use crate::Context;
use crate::commands::authorize::policy_keys;

/// The content of a report, as lines and as JSON, after everything was verified that can be without the ledger.
///
/// # Errors
/// [`ClientError::Check`]: the first thing that doesn't hold.
pub fn read(bytes: &[u8], policy: &Policy, lang: Lang) -> Result<(DayReport, Vec<String>, Value), ClientError> {
    let node_keys = |origin: &str| {
        let origin = Origin::new(origin).map_err(|error| ClientError::Check(error.to_string()))?;
        policy_keys(policy, &origin)
    };
    let (report, is_first) = SignedReport::parse(bytes)?.verify(node_keys)?;
    let mut lines = day_report::said(&report, lang);
    lines.push(match (is_first, lang) {
        (true, Lang::Fr) => format!("signé par l'auteur {}", report.author),
        (true, Lang::En) => format!("signed by the author {}", report.author),
        (false, Lang::Fr) => format!(
            "signé par une clef dont seul le registre sait si elle est de l'auteur {} (demandez à son exploitant)",
            report.author
        ),
        (false, Lang::En) => format!(
            "signed by a key of which only the ledger knows whether it is of the author {} (ask its operator)",
            report.author
        ),
    });
    let mut json = json!(report);
    (json["kind"], json["is_first_key"]) = (json!("connector-report"), json!(is_first));
    Ok((report, lines, json))
}

/// Asks the nodes for the first and last entries of a report, where the profile is one of its log and a node answers. Gives the line that
/// says so, and whether they were asked: the receipts prove without them that the entries are on record.
///
/// # Errors
/// [`ClientError::Check`]: the nodes have something else at a place that the report names.
pub async fn ask(context: &Context, report: &DayReport, lang: Lang) -> Result<(String, bool), ClientError> {
    let not_asked = |fr: &str, en: &str| {
        let why = pick(lang, fr, en);
        (
            pick(lang, &format!("registre non interrogé : {why}"), &format!("the ledger wasn't asked: {why}"))
                .to_owned(),
            false,
        )
    };
    let Ok(profile) = context.profile() else {
        return Ok(not_asked("aucun profil (--profile)", "no profile (--profile)"));
    };
    if profile.origin != report.origin {
        return Ok(not_asked("le profil est celui d'un autre registre", "the profile is of another log"));
    }
    let asked = match context.session().await {
        Ok(session) => report.check_on_record(&session).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(indices) => {
            let count = indices.len();
            let fr = format!("le registre a bien les {count} entrées que le rapport nomme");
            let en = format!("the ledger has the {count} entries that the report names");
            Ok((pick(lang, &fr, &en).to_owned(), true))
        }
        Err(error @ ClientError::Check(_)) => Err(error),
        Err(ClientError::Rejected(_)) => {
            let fr = "ce profil ne peut pas lire ces entrées (l'auteur du rapport, ou un auditeur, le peut)";
            Ok(not_asked(fr, "this profile may not see these entries (the report's author may, and an auditor)"))
        }
        Err(_) => Ok(not_asked("aucun nœud ne répond", "no node answers")),
    }
}
