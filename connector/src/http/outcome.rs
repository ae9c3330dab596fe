//! OperationOutcome: why something was refused, which element is meant, and the way out.

use serde_json::{Value, json};
use sillage_client::error::{ClientError, Rejection};
use sillage_fhir::import::{FhirError, OURS};
use sillage_rules::codes::Code;

/// One thing that is to be said, with a code of `http://hl7.org/fhir/issue-type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// `error` or `information`.
    pub severity: &'static str,
    /// The code of FHIR.
    pub code: &'static str,
    /// A code of the ledger (`docs/errors.md`), where one says it.
    pub ledger_code: Option<String>,
    /// One sentence, with the way out.
    pub text: String,
    /// The element, as `AuditEvent.agent[0].who`; empty where none is meant.
    pub expression: String,
}

impl Issue {
    /// An error.
    pub fn error(code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: "error", code, ledger_code: None, text: text.into(), expression: String::new() }
    }

    /// Something that is no error.
    pub fn information(text: impl Into<String>) -> Self {
        Self { severity: "information", ..Self::error("informational", text) }
    }

    /// The same about an element.
    #[must_use]
    pub fn at(self, expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), ..self }
    }

    /// A refusal of an element by the mapping.
    pub fn of_element(error: &FhirError) -> Self {
        // What begins with a code of the ledger keeps it.
        let known = error.reason.split_once(": ").and_then(|(code, _)| Code::from_name(code));
        Self {
            ledger_code: known.map(|code| code.as_str().to_owned()),
            ..Self::error("invalid", error.reason.clone()).at(error.path.clone())
        }
    }

    /// A refusal by the ledger.
    pub fn of_ledger(rejection: &Rejection) -> Self {
        let text = match rejection.code.known() {
            Some(code) if !rejection.message.contains(code.way_out()) => {
                format!("{} {}", sentence(&rejection.message), code.way_out())
            }
            _ => rejection.message.clone(),
        };
        Self { ledger_code: Some(rejection.code.as_str().to_owned()), ..Self::error("business-rule", text) }
    }

    /// What a call of the ledger ended with.
    pub fn of_client(error: &ClientError) -> Self {
        match error {
            ClientError::Rejected(rejection) => Self::of_ledger(rejection),
            ClientError::Quota(_) => Self::error("throttled", error.to_string()),
            ClientError::Unavailable(_) => {
                Self::error("transient", "the nodes of the ledger are out of reach: send the same request again later")
            }
            ClientError::Check(_) => Self::error("exception", error.to_string()),
            // Files and settings of this machine are no affair of a caller.
            _ => {
                Self::error("exception", "the connector isn't set up rightly: its operator finds the reason in its log")
            }
        }
    }

    fn to_value(&self) -> Value {
        let mut details = json!({"text": self.text});
        if let Some(code) = &self.ledger_code {
            details["coding"] = json!([{"system": format!("{OURS}/CodeSystem/error"), "code": code}]);
        }
        let mut issue = json!({
            "severity": self.severity, "code": self.code, "details": details, "diagnostics": self.text,
        });
        if !self.expression.is_empty() {
            issue["expression"] = json!([self.expression]);
        }
        issue
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// The resource.
pub fn outcome(issues: &[Issue]) -> Value {
    json!({"resourceType": "OperationOutcome", "issue": issues.iter().map(Issue::to_value).collect::<Vec<_>>()})
}
