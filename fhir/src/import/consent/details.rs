//! The details of a directive's record.

use serde_json::json;
use sillage_rules::consent::Provision;
use sillage_rules::consent::directive::{Collected, Directive};
use sillage_rules::time::TimeMs;

use super::rule::{self, Rule};

/// The fields of a directive beside its rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Rest {
    pub collected: Option<Collected>,
    pub supersedes: Option<String>,
}

/// A directive. `given_ms`: when the Consent was given.
pub(super) fn directive(id: &str, said: &rule::Directive, given_ms: u64, rest: &Rest) -> Directive {
    let mut rule = said.rule.clone();
    // An open start means "from when it is on record": a Consent that has ended by then was in force before.
    if let (None, Some(until_ms)) = (rule.from_ms, rule.until_ms) {
        rule.from_ms = Some(given_ms.min(until_ms.saturating_sub(1)));
    }
    Directive {
        id: id.to_owned(),
        provision: provision(&rule),
        supersedes: rest.supersedes.clone(),
        except: said.except.iter().map(provision).collect(),
        collected: rest.collected.clone(),
    }
}

/// The details of a revocation.
pub(super) fn revoked(id: &str) -> String {
    json!({ "consent": id }).to_string()
}

fn provision(rule: &Rule) -> Provision {
    Provision {
        effect: rule.effect,
        grantee: rule.grantees.as_ref().and_then(|grantees| grantees.first()).cloned(),
        actions: rule.actions.clone(),
        categories: rule.categories.clone(),
        labels: rule.labels.clone(),
        items: rule.items.clone(),
        purposes: rule.purposes.clone(),
        from: rule.from_ms.map(TimeMs),
        until: rule.until_ms.map(TimeMs),
    }
}
