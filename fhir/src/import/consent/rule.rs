//! The meaning of a provision, and how provisions inside each other become directives.
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
//!
//! An inner provision inherits what its outer one *says*, and not what is assumed of what that leaves out: a permit without
//! an action permits to read and to search, and a denial inside of it without one denies every action.

use sillage_rules::consent::directive::{EXCEPTIONS_MAX, GranteeKeys};
use sillage_rules::consent::{Action, Effect, Grantee};

use super::super::FhirError;

/// Values of which any matches; none: every value.
pub(super) type Values = Option<Vec<String>>;

/// One provision. A part that it doesn't name is `None` or empty: it inherits that part, or is about everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub path: String,
    pub effect: Effect,
    /// Any of them; `None`: not named.
    pub grantees: Option<Vec<Grantee>>,
    /// Our own export of a directive without a grantee: none is assumed.
    pub is_for_nobody_named: bool,
    pub actions: Option<Vec<Action>>,
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

/// Says what is assumed of what a rule leaves out.
pub(super) type Assume<'a> = &'a dyn Fn(Rule) -> Result<Rule, FhirError>;

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
            is_for_nobody_named: false,
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

    /// Tells whether it is about less than everything.
    pub fn is_narrow(&self) -> bool {
        let says = [&self.categories, &self.labels, &self.items, &self.purposes].into_iter().any(Option::is_some);
        says || self.actions.is_some() || self.grantees.is_some() || self.from_ms.is_some() || self.until_ms.is_some()
    }

    /// The same with what it leaves out taken from its outer one.
    fn within(&self, outer: &Self) -> Self {
        let or = |own: &Values, outer: &Values| own.clone().or_else(|| outer.clone());
        Self {
            is_for_nobody_named: false,
            path: self.path.clone(),
            effect: self.effect,
            grantees: self.grantees.clone().or_else(|| outer.grantees.clone()),
            actions: self.actions.clone().or_else(|| outer.actions.clone()),
            categories: or(&self.categories, &outer.categories),
            labels: or(&self.labels, &outer.labels),
            items: or(&self.items, &outer.items),
            purposes: or(&self.purposes, &outer.purposes),
            from_ms: self.from_ms.or(outer.from_ms),
            until_ms: self.until_ms.or(outer.until_ms),
            counts_inside_only: false,
        }
    }

    /// How a rule lies to an outer one, both whole: what they leave out is about everything.
    fn reach(&self, outer: &Self) -> Reach {
        // A request has one action, one purpose, and an item one id and one category: two lists without a common value
        // never meet there. Of labels an item may have several, and an actor may fit several grantees.
        let single =
            [(&self.purposes, &outer.purposes), (&self.items, &outer.items), (&self.categories, &outer.categories)];
        let apart = single.iter().any(|(own, outer)| are_apart(own, outer)) || are_apart(&self.actions, &outer.actions);
        let ended = |until: Option<u64>, from: Option<u64>| until.zip(from).is_some_and(|(until, from)| until <= from);
        if apart || ended(self.until_ms, outer.from_ms) || ended(outer.until_ms, self.from_ms) {
            return Reach::Apart;
        }
        let what = single.iter().all(|(own, outer)| is_inside(own, outer))
            && is_inside(&self.labels, &outer.labels)
            && is_inside(&self.actions, &outer.actions);
        let of_outer = |grantee: &Grantee| {
            outer.grantees.as_ref().is_none_or(|outer| outer.iter().any(|outer| is_narrower(grantee, outer)))
        };
        let who = match &self.grantees {
            Some(grantees) => grantees.iter().all(of_outer),
            None => outer.grantees.is_none(),
        };
        let starts = outer.from_ms.is_none_or(|outer| self.from_ms.is_some_and(|own| outer <= own));
        let ends = outer.until_ms.is_none_or(|outer| self.until_ms.is_some_and(|own| own <= outer));
        if what && who && starts && ends { Reach::Inside } else { Reach::Beyond }
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

fn are_apart<T: PartialEq>(own: &Option<Vec<T>>, outer: &Option<Vec<T>>) -> bool {
    own.as_ref().zip(outer.as_ref()).is_some_and(|(own, outer)| !own.iter().any(|value| outer.contains(value)))
}

fn is_inside<T: PartialEq>(own: &Option<Vec<T>>, outer: &Option<Vec<T>>) -> bool {
    let Some(outer) = outer else { return true };
    own.as_ref().is_some_and(|own| own.iter().all(|value| outer.contains(value)))
}

/// Tells whether everyone whom `inner` means is meant by `outer` too, as far as can be told from the keys.
fn is_narrower(inner: &Grantee, outer: &Grantee) -> bool {
    let (Grantee::Keys(inner), Grantee::Keys(outer)) = (inner, outer) else {
        return *outer == Grantee::Anyone;
    };
    // Every key of the outer one stands in the inner one too, whatever else that asks for.
    let joined = GranteeKeys {
        professional: outer.professional.clone().or_else(|| inner.professional.clone()),
        person: outer.person.clone().or_else(|| inner.person.clone()),
        organisation: outer.organisation.clone().or_else(|| inner.organisation.clone()),
        profession: outer.profession.clone().or_else(|| inner.profession.clone()),
        team: outer.team.clone().or_else(|| inner.team.clone()),
        app: outer.app.clone().or_else(|| inner.app.clone()),
        project: outer.project.clone().or_else(|| inner.project.clone()),
    };
    joined == **inner
}

/// The directives that say what an outer provision with its inner ones says. `assume` fills in what a rule leaves out that
/// a directive has to say.
///
/// # Errors
/// An inner provision that adds nothing to its outer one, as its author can hardly have meant; as `assume`.
pub(super) fn directives(said: &Rule, inner: &[Rule], assume: Assume<'_>) -> Result<Vec<Directive>, FhirError> {
    let outer = assume(said.clone())?;
    let mut except = Vec::new();
    let mut beside = Vec::new();
    for rule in inner {
        if rule.counts_inside_only {
            except.extend(rule.each());
            continue;
        }
        let whole = assume(rule.within(said))?;
        // What neither names is said, where the exception would inherit more than it.
        let unsaid = |is_unsaid: bool| is_unsaid.then_some(&whole);
        let exception = Rule {
            actions: rule.actions.clone().or_else(|| unsaid(said.actions.is_none())?.actions.clone()),
            grantees: rule.grantees.clone().or_else(|| unsaid(said.grantees.is_none())?.grantees.clone()),
            ..rule.clone()
        };
        match (outer.effect, rule.effect, whole.reach(&outer)) {
            (outer, own, Reach::Inside) if outer == own => {
                let why =
                    format!("a {0} inside a {0} that covers it already says nothing: what is meant?", own.as_str());
                return Err(FhirError::new(format!("{}.type", rule.path), why));
            }
            (_, _, Reach::Inside) => except.extend(exception.each()),
            (Effect::Deny, Effect::Permit, Reach::Beyond) => {
                except.extend(exception.each());
                beside.extend(whole.each());
            }
            _ => beside.extend(whole.each()),
        }
    }
    if except.len() > EXCEPTIONS_MAX {
        let why = format!("{} exceptions: a directive has at most {EXCEPTIONS_MAX}", except.len());
        return Err(FhirError::new(format!("{}.provision", outer.path), why));
    }
    let with_exceptions = outer.each().into_iter().map(|rule| Directive { rule, except: except.clone() });
    Ok(with_exceptions.chain(beside.into_iter().map(|rule| Directive { rule, except: Vec::new() })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is assumed.
    const AS_SAID: Assume<'static> = &|rule| Ok(rule);

    fn values(list: &[&str]) -> Values {
        Some(list.iter().map(|v| (*v).to_owned()).collect())
    }

    fn organisation(id: &str) -> Option<Vec<Grantee>> {
        let keys = GranteeKeys { organisation: Some(id.to_owned()), ..GranteeKeys::default() };
        Some(vec![Grantee::Keys(Box::new(keys))])
    }

    fn professional(name: &str) -> Option<Vec<Grantee>> {
        let keys = GranteeKeys { professional: Some(name.parse().expect("a name")), ..GranteeKeys::default() };
        Some(vec![Grantee::Keys(Box::new(keys))])
    }

    fn hospital(effect: Effect) -> Rule {
        Rule {
            grantees: organisation("F100"),
            actions: Some(vec![Action::Read, Action::Search]),
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
        let got = directives(&hospital(Effect::Permit), std::slice::from_ref(&hidden), AS_SAID).expect("said");
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].except, [hidden]);
    }

    #[test]
    fn what_reaches_beyond_is_a_directive_of_its_own() {
        let normal = Rule { labels: values(&["N"]), ..hospital(Effect::Permit) };
        let doctor = Rule { grantees: professional("urn:x|1"), labels: values(&["PSY"]), ..inner(Effect::Permit) };
        let got = directives(&normal, std::slice::from_ref(&doctor), AS_SAID).expect("said");
        assert_eq!(got.len(), 2);
        assert!(got[0].except.is_empty());
        assert_eq!(got[1].rule.grantees, doctor.grantees);
        assert_eq!(got[1].rule.labels, doctor.labels);
        assert_eq!(got[1].rule.purposes, normal.purposes, "what it leaves out it inherits");
        let restricted = Rule { labels: values(&["R"]), ..inner(Effect::Deny) };
        let got = directives(&normal, &[restricted], AS_SAID).expect("said");
        assert_eq!((got.len(), got[1].rule.effect), (2, Effect::Deny));
    }

    #[test]
    fn a_permit_in_a_deny_lifts_it_where_they_meet_and_permits_beyond() {
        let all = Rule { actions: None, purposes: None, ..hospital(Effect::Deny) };
        let doctor = Rule { grantees: professional("urn:x|1"), ..inner(Effect::Permit) };
        let got = directives(&all, std::slice::from_ref(&doctor), AS_SAID).expect("said");
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].except, [doctor]);
        let emergency = Rule { purposes: values(&["BTG"]), ..inner(Effect::Permit) };
        let got = directives(&all, std::slice::from_ref(&emergency), AS_SAID).expect("said");
        assert_eq!((got.len(), &got[0].except), (1, &vec![emergency.clone()]));
        let got = directives(&hospital(Effect::Deny), &[emergency], AS_SAID).expect("said");
        assert_eq!((got.len(), got[0].except.len()), (2, 0), "no request has both purposes");
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let same = Rule { purposes: values(&["TREAT"]), ..inner(Effect::Permit) };
        let error = directives(&hospital(Effect::Permit), &[same], AS_SAID).expect_err("nothing");
        assert_eq!(error.path, "Consent.provision.provision[0].type");
    }

    #[test]
    fn a_grantee_with_more_keys_is_inside_of_one_with_fewer() {
        let keys = |organisation: &str, profession: Option<&str>| {
            let organisation = Some(organisation.to_owned());
            let profession = profession.map(str::to_owned);
            Grantee::Keys(Box::new(GranteeKeys { organisation, profession, ..GranteeKeys::default() }))
        };
        assert!(is_narrower(&keys("F100", Some("nurse")), &keys("F100", None)));
        assert!(is_narrower(&keys("F100", None), &Grantee::Anyone));
        assert!(!is_narrower(&keys("F100", None), &keys("F100", Some("nurse"))));
        assert!(!is_narrower(&keys("F200", Some("nurse")), &keys("F100", None)));
        assert!(!is_narrower(&Grantee::Anyone, &keys("F100", None)));
    }

    #[test]
    fn each_grantee_has_a_directive() {
        let both = [professional("urn:x|1"), organisation("F100")].into_iter().flatten().flatten();
        let outer = Rule { grantees: Some(both.collect()), ..hospital(Effect::Permit) };
        let hidden = Rule { labels: values(&["PSY"]), ..inner(Effect::Deny) };
        let got = directives(&outer, &[hidden], AS_SAID).expect("said");
        assert_eq!(got.len(), 2);
        assert!(got.iter().all(|directive| directive.except.len() == 1));
    }
}
