//! What a provision says, and how provisions inside each other become directives.
//!
//! FHIR and the ledger nest differently. In FHIR an inner provision is an exception to the outer one: what it names
//! replaces what the outer one names, and it may reach beyond it (permit normal data to the hospital; inside it: permit
//! restricted data to one doctor). In a directive an exception counts only where its directive matches. So:
//!
//! | outer | inner | inside of the outer | beyond it |
//! | --- | --- | --- | --- |
//! | permit | deny | an exception of the directive | a deny directive of its own |
//! | deny | permit | an exception of the directive | a permit directive of its own, and the exception unless they never meet |
//! | permit | permit | refused: it says nothing | a permit directive of its own |
//! | deny | deny | refused: it says nothing | a deny directive of its own |

use std::collections::{BTreeMap, BTreeSet};

use super::super::FhirError;

/// Permit or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Permit,
    Deny,
}

impl Effect {
    pub fn token(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
        }
    }
}

/// Who: keys such as `professional`, all of which must match; none of them: anyone.
pub(super) type Grantee = BTreeMap<&'static str, String>;

/// Values of which any matches; none: every value.
pub(super) type Values = Option<BTreeSet<String>>;

/// One provision. What it doesn't name is `None` or empty: it inherits that, or is about everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub path: String,
    pub effect: Effect,
    /// Any of them; `None`: not named.
    pub grantees: Option<Vec<Grantee>>,
    pub actions: Values,
    pub categories: Values,
    pub labels: Values,
    pub items: Values,
    pub purposes: Values,
    pub from_ms: Option<u64>,
    pub until_ms: Option<u64>,
    /// An inner one of our own export: an exception of its directive, whatever it reaches.
    pub counts_inside_only: bool,
}

/// A directive to be, with the exceptions that stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its rule; it has one grantee.
    pub rule: Rule,
    /// Each has one grantee, or none named.
    pub except: Vec<Rule>,
}

/// How an inner provision lies to its outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Wherever it matches, the outer one does.
    Inside,
    /// They never match the same request.
    Apart,
    /// Some here, some there, as far as can be said.
    Beyond,
}

impl Rule {
    /// A rule about everything.
    pub fn new(path: impl Into<String>, effect: Effect) -> Self {
        Self {
            path: path.into(),
            effect,
            grantees: None,
            actions: None,
            categories: None,
            labels: None,
            items: None,
            purposes: None,
            from_ms: None,
            until_ms: None,
            counts_inside_only: false,
        }
    }

    /// The same with what it leaves out taken from its outer one.
    fn within(&self, outer: &Self) -> Self {
        let or = |own: &Values, outer: &Values| own.clone().or_else(|| outer.clone());
        Self {
            path: self.path.clone(),
            effect: self.effect,
            grantees: self.grantees.clone().or_else(|| outer.grantees.clone()),
            actions: or(&self.actions, &outer.actions),
            categories: or(&self.categories, &outer.categories),
            labels: or(&self.labels, &outer.labels),
            items: or(&self.items, &outer.items),
            purposes: or(&self.purposes, &outer.purposes),
            from_ms: self.from_ms.or(outer.from_ms),
            until_ms: self.until_ms.or(outer.until_ms),
            counts_inside_only: false,
        }
    }

    fn reach(&self, outer: &Self) -> Reach {
        // A request has one action, one purpose, and an item one id and one category: two lists without a common value
        // never meet there. Of labels an item may have several, and an actor may fit several grantees.
        let single = [
            (&self.actions, &outer.actions),
            (&self.purposes, &outer.purposes),
            (&self.items, &outer.items),
            (&self.categories, &outer.categories),
        ];
        let apart = |(own, outer): &(&Values, &Values)| match (own, outer) {
            (Some(own), Some(outer)) => own.is_disjoint(outer),
            _ => false,
        };
        let ended = |until: Option<u64>, from: Option<u64>| until.zip(from).is_some_and(|(until, from)| until <= from);
        if single.iter().any(apart) || ended(self.until_ms, outer.from_ms) || ended(outer.until_ms, self.from_ms) {
            return Reach::Apart;
        }
        let inside = |(own, outer): &(&Values, &Values)| match (own, outer) {
            (Some(own), Some(outer)) => own.is_subset(outer),
            _ => true,
        };
        let of_outer = |grantee: &Grantee| {
            let fits = |outer: &Grantee| outer.iter().all(|(key, value)| grantee.get(key) == Some(value));
            outer.grantees.as_ref().is_none_or(|outer| outer.iter().any(fits))
        };
        let who = self.grantees.as_ref().is_none_or(|grantees| grantees.iter().all(of_outer));
        let starts = self.from_ms.is_none_or(|own| outer.from_ms.is_none_or(|outer| outer <= own));
        let ends = self.until_ms.is_none_or(|own| outer.until_ms.is_none_or(|outer| own <= outer));
        let all = single.iter().all(inside) && inside(&(&self.labels, &outer.labels)) && who && starts && ends;
        if all { Reach::Inside } else { Reach::Beyond }
    }

    /// One rule for each grantee.
    fn each(&self) -> Vec<Self> {
        match &self.grantees {
            None => vec![self.clone()],
            Some(grantees) => {
                let one = |grantee: &Grantee| Self { grantees: Some(vec![grantee.clone()]), ..self.clone() };
                grantees.iter().map(one).collect()
            }
        }
    }
}

/// The directives that say what an outer provision with its inner ones says.
///
/// # Errors
/// An inner provision that adds nothing to its outer one, as its author can hardly have meant.
pub(super) fn directives(outer: &Rule, inner: &[Rule]) -> Result<Vec<Directive>, FhirError> {
    let mut except = Vec::new();
    let mut beside = Vec::new();
    for rule in inner {
        let reach = rule.reach(outer);
        match (outer.effect, rule.effect, reach) {
            _ if rule.counts_inside_only => except.extend(rule.each()),
            (outer, own, Reach::Inside) if outer == own => {
                let why =
                    format!("a {0} inside a {0} that covers it already says nothing: what is meant?", own.token());
                return Err(FhirError::new(format!("{}.type", rule.path), why));
            }
            (_, _, Reach::Inside) => except.extend(rule.each()),
            (Effect::Deny, Effect::Permit, Reach::Beyond) => {
                except.extend(rule.each());
                beside.extend(rule.within(outer).each());
            }
            _ => beside.extend(rule.within(outer).each()),
        }
    }
    let with_exceptions = outer.each().into_iter().map(|rule| Directive { rule, except: except.clone() });
    Ok(with_exceptions.chain(beside.into_iter().map(|rule| Directive { rule, except: Vec::new() })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[&str]) -> Values {
        Some(list.iter().map(|v| (*v).to_owned()).collect())
    }

    fn who(key: &'static str, id: &str) -> Option<Vec<Grantee>> {
        Some(vec![Grantee::from([(key, id.to_owned())])])
    }

    fn hospital(effect: Effect) -> Rule {
        Rule {
            grantees: who("organisation", "F100"),
            actions: values(&["read", "search"]),
            purposes: values(&["TREAT", "HPAYMT"]),
            ..Rule::new("Consent.provision", effect)
        }
    }

    fn inner(effect: Effect) -> Rule {
        Rule::new("Consent.provision.provision[0]", effect)
    }

    #[test]
    fn an_exception_inside_stands_in_the_directive() {
        let hidden = Rule { items: values(&["d1"]), ..inner(Effect::Deny) };
        let got = directives(&hospital(Effect::Permit), std::slice::from_ref(&hidden)).expect("said");
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].except, [hidden]);
    }

    #[test]
    fn what_reaches_beyond_is_a_directive_of_its_own() {
        let normal = Rule { labels: values(&["N"]), ..hospital(Effect::Permit) };
        let doctor = Rule { grantees: who("professional", "s|1"), labels: values(&["PSY"]), ..inner(Effect::Permit) };
        let got = directives(&normal, std::slice::from_ref(&doctor)).expect("said");
        assert_eq!(got.len(), 2);
        assert!(got[0].except.is_empty());
        assert_eq!(got[1].rule.grantees, doctor.grantees);
        assert_eq!(got[1].rule.labels, doctor.labels);
        assert_eq!(got[1].rule.purposes, normal.purposes, "what it leaves out it inherits");
        let restricted = Rule { labels: values(&["R"]), ..inner(Effect::Deny) };
        let got = directives(&normal, &[restricted]).expect("said");
        assert_eq!((got.len(), got[1].rule.effect), (2, Effect::Deny));
    }

    #[test]
    fn a_permit_in_a_deny_lifts_it_where_they_meet_and_permits_beyond() {
        let all = Rule { actions: None, purposes: None, ..hospital(Effect::Deny) };
        let doctor = Rule { grantees: who("professional", "s|1"), ..inner(Effect::Permit) };
        let got = directives(&all, std::slice::from_ref(&doctor)).expect("said");
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].except, [doctor]);
        let emergency = Rule { purposes: values(&["BTG"]), ..inner(Effect::Permit) };
        let got = directives(&all, std::slice::from_ref(&emergency)).expect("said");
        assert_eq!((got.len(), &got[0].except), (1, &vec![emergency.clone()]));
        let got = directives(&hospital(Effect::Deny), &[emergency]).expect("said");
        assert_eq!((got.len(), got[0].except.len()), (2, 0), "no request has both purposes");
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let same = Rule { purposes: values(&["TREAT"]), ..inner(Effect::Permit) };
        let error = directives(&hospital(Effect::Permit), &[same]).expect_err("nothing");
        assert_eq!(error.path, "Consent.provision.provision[0].type");
    }

    #[test]
    fn each_grantee_has_a_directive() {
        let both = [who("professional", "s|1"), who("organisation", "F100")].into_iter().flatten().flatten();
        let outer = Rule { grantees: Some(both.collect()), ..hospital(Effect::Permit) };
        let hidden = Rule { labels: values(&["PSY"]), ..inner(Effect::Deny) };
        let got = directives(&outer, &[hidden]).expect("said");
        assert_eq!(got.len(), 2);
        assert!(got.iter().all(|directive| directive.except.len() == 1));
    }
}
