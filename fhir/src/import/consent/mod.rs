//! From one Consent to directives.
//!
//! A Consent becomes records of kind `consent.directive` that decide as it says, or is refused with the element that a
//! directive has no word for: a narrower permit would still be one that the patient didn't give. The elements that are
//! read, and the defaults of those that are left out (`docs/fhir.md` has the code tables):
//!
//! | question | where it is read | where it goes |
//! | --- | --- | --- |
//! | whose | `patient` | the tag |
//! | since when on record | `dateTime`, else `meta.lastUpdated` | `occurred_at_ms` |
//! | permit or deny | `policyRule`, `provision.type` | `effect` |
//! | to whom | `provision.actor`; none: `organization` for a permit, anyone for a deny | `grantee`, one directive for each |
//! | what | `action`; none: read and search for a permit, everything for a deny | `actions` |
//! | why | `purpose`; a permit needs one, a deny without is about all | `purposes` |
//! | of which data | `class`, `securityLabel`, `data` with the meaning `instance` | `categories`, `labels`, `items` |
//! | from when to when | `period`, both ends included | `from`, `until` |
//! | except | `provision.provision`, one level | `except`, or directives of their own ([`rule`]) |
//!
//! A Consent that isn't active decides nothing; one that was withdrawn (`inactive`) becomes the record that ends its first
//! directive, and the importer ends the others that are on record.
//!
//! A Consent of our own export may carry, in the extension `rule`, what decides beside directives ([`carried`]): it becomes the
//! record of that kind.
//!
//! [`provision`] reads one provision, [`actor`] who it names, [`codes`] has the vocabularies, [`rule`] turns provisions
//! inside each other into directives, [`details`] writes them.

mod actor;
mod carried;
pub mod codes;
mod details;
mod provision;
mod rule;

use serde_json::Value;
use sillage_proof::hash::sha256;
use sillage_proto::v1;
use sillage_rules::consent::directive::Collected;
use sillage_rules::consent::{Action, ActorName, Effect, Event, Grantee, is_authenticated};
use sillage_rules::kind::Kind;
use sillage_rules::limits;
use sillage_rules::record::{ParsedRecord, RecordError};

use self::actor::Actors;
use self::carried::Carried;
use self::details::Rest;
use self::rule::{Directive, Rule};
use super::dates::{instant_ms, start_ms};
use super::patients::{PatientMap, PatientName};
use super::read::*;
use super::references::{Neighbours, References};
use super::{DirectiveNote, Ends, FhirError, MappedRecord};

/// On `provision.actor`: the grantee of the directive, key by key.
pub const EXTENSION_GRANTEE: &str = "https://sillage.example/fhir/StructureDefinition/grantee";
/// On `provision`: a deny to anyone.
pub const EXTENSION_ANYONE: &str = "https://sillage.example/fhir/StructureDefinition/anyone";
/// On an inner `provision`, as `modifierExtension`: it counts only where the outer one matches.
pub const EXTENSION_INSIDE: &str = "https://sillage.example/fhir/StructureDefinition/counts-inside-only";
/// On `provision`: an element that the directive left out, and that stands here with what is assumed then.
pub const EXTENSION_LEFT_OUT: &str = "https://sillage.example/fhir/StructureDefinition/left-out";
/// On a Consent: the directive that this one replaces.
pub const EXTENSION_SUPERSEDES: &str = "https://sillage.example/fhir/StructureDefinition/supersedes";
/// On a Consent: the record that ended the directive.
pub const EXTENSION_ENDED: &str = "https://sillage.example/fhir/StructureDefinition/ended";
/// On a Consent: who collected the directive, and how.
pub const EXTENSION_COLLECTED: &str = "https://sillage.example/fhir/StructureDefinition/collected";
/// On a Consent: how who gave it proved who they are.
pub const EXTENSION_AUTHENTICATION: &str = "https://sillage.example/fhir/StructureDefinition/authentication";
/// On a Consent, also as `modifierExtension`: what decides and is no directive.
pub const EXTENSION_RULE: &str = "https://sillage.example/fhir/StructureDefinition/rule";
/// The name of that extension among ours.
pub const EXTENSION_RULE_NAME: &str = "rule";
/// System of the identifiers of what decides and is no directive, in a Consent of our own export.
pub const SYSTEM_RULE: &str = "urn:sillage:rule";
/// Names of logs: of the one that an export is from.
pub const SYSTEM_LOG: &str = "urn:sillage:log";
/// System of the identifiers of directives in a Consent of our own export.
pub const SYSTEM_DIRECTIVE: &str = "urn:sillage:directive";

/// Actions of a permit that names none.
pub const ACTIONS_ASSUMED: [Action; 2] = [Action::Read, Action::Search];

/// Directives of one Consent: with the original in each, they fit one batch.
pub const DIRECTIVES_MAX: usize = 100;

/// Maps a Consent that was checked; `original` are its bytes as received.
///
/// # Errors
/// [`FhirError`] with the path of what a directive can't say, or of a patient whose INS isn't known.
pub fn map(
    document: &Value,
    original: &[u8],
    patients: &PatientMap,
    around: &Neighbours,
) -> Result<Vec<MappedRecord>, FhirError> {
    let references = References::of(document, around);
    let carried = Carried::of(document)?;
    let actors = Actors::of(document, references, carried.is_some());
    let consent = Consent { root: document, references, actors, carried };
    let entry = own_entry(document, "Consent")?;
    match (consent.is_ours(), entry) {
        (true, None) => return Err(without_entry("Consent")),
        (false, _) => no_extension_of_ours(document, "Consent")?,
        (true, Some(_)) => {}
    }
    consent.check_status()?;
    consent.check_meaning()?;
    let patient = consent.patient(patients)?;
    let base = consent.record(original)?;
    let secret = entry == Some(true);
    let of_consent = |record: v1::Record, directive: Option<DirectiveNote>| MappedRecord {
        patient: Some(patient.clone()),
        record: if consent.is_ours() { without_what_does_not_fit(record) } else { record },
        time_path: consent.time_path(),
        directive,
        secret,
        part: super::Part::WHOLE,
        server: if consent.is_ours() { String::new() } else { around.base().to_owned() },
        as_written: None,
    };
    if let Some(carried) = &consent.carried {
        consent.check_carried()?;
        let record = carried.record(base)?;
        is_understood(&record).map_err(|error| carried.refusal(&error))?;
        return Ok(vec![of_consent(record, None)]);
    }
    let id = consent.id()?;
    let mapped = |record: v1::Record, note: DirectiveNote| of_consent(record, Some(note));
    if consent.status() == "inactive" && !consent.is_history() {
        let note = DirectiveNote { id: id.clone(), ends: Ends::Open, collector: consent.collector(original) };
        return Ok(vec![revocation(&mapped(base, note), &id)]);
    }
    let directives = consent.directives()?;
    let rest = consent.rest(original)?;
    let collector = consent.collector(original);
    let one = |(i, said): (usize, Directive)| {
        let id = if i == 0 { id.clone() } else { format!("{id}#{}", i + 1) };
        let mut directive = details::directive(&id, &said, base.occurred_at_ms, &rest);
        consent.actors.deny_as_written(&mut directive);
        let ends = directive.provision.until.map_or(Ends::Open, |until| Ends::At(until.0));
        let details = directive.to_details();
        let record = v1::Record { kind: Kind::CONSENT_DIRECTIVE.code().into(), details, ..base.clone() };
        follows_the_rules(&record)?;
        Ok(mapped(record, DirectiveNote { id, ends, collector: collector.clone() }))
    };
    directives.into_iter().enumerate().map(one).collect()
}

/// The record that ends the directive `id`, on the ground of the Consent that `of` is from.
pub fn revocation(of: &MappedRecord, id: &str) -> MappedRecord {
    let (kind, details) = (Kind::CONSENT_REVOKED.code().into(), details::revoked(id));
    let collector = of.directive.as_ref().and_then(|note| note.collector.clone());
    let directive = Some(DirectiveNote { id: id.to_owned(), ends: Ends::Revoked, collector });
    let revoked = of.edited(|record| (record.kind, record.details) = (kind, details.clone()));
    MappedRecord { directive, ..revoked }
}

/// The id of the Consent `id` of a server, where another server's Consent has that id; none where it is too long.
pub fn id_at(server: &str, id: &str) -> Option<String> {
    let whole = format!("{server}/{id}");
    (!server.is_empty() && whole.len() <= limits::ID_BYTES_MAX - 8).then_some(whole)
}

/// The same directive or end under the id that [`id_at`] gives; `id` is that of its Consent. None where it has no such id.
pub fn renamed(of: &MappedRecord, id: &str) -> Option<MappedRecord> {
    let note = of.directive.as_ref()?;
    let new = format!("{}{}", id_at(&of.server, id)?, note.id.strip_prefix(id)?);
    let details = match sillage_rules::consent::Directive::parse(&of.record.details) {
        Ok(directive) => sillage_rules::consent::Directive { id: new.clone(), ..directive }.to_details(),
        Err(_) => details::revoked(&new),
    };
    let directive = Some(DirectiveNote { id: new, ..note.clone() });
    Some(MappedRecord { record: v1::Record { details, ..of.record.clone() }, directive, ..of.clone() })
}

/// The record that says that the Consent `of` was deleted on its server.
pub fn deletion(of: &MappedRecord, deleted: &super::history::Deleted) -> Option<MappedRecord> {
    let revoked = revocation(of, &of.directive.as_ref()?.id);
    let original = v1::Original { media_type: "application/fhir+json".to_owned(), content: deleted.entry.clone() };
    Some(revoked.edited(|record| {
        record.occurred_at_ms = deleted.at_ms.unwrap_or_default().max(record.occurred_at_ms);
        record.original = Some(original.clone());
    }))
}

/// Whatever the ledger would refuse of a directive in itself.
fn follows_the_rules(record: &v1::Record) -> Result<(), FhirError> {
    is_understood(record).map_err(|error| FhirError::new("Consent", format!("as a record: {}: {error}", error.code)))
}

/// Whatever the ledger would refuse of a record in itself.
fn is_understood(record: &v1::Record) -> Result<(), RecordError> {
    let record = v1::Record { tag: vec![0xff; 32], ..without_what_does_not_fit(record.clone()) };
    Event::of(&ParsedRecord::from_message(record)?)?;
    Ok(())
}

struct Consent<'a> {
    root: &'a Value,
    references: References<'a>,
    actors: Actors<'a>,
    /// The rule that it carries instead of a directive.
    carried: Option<Carried<'a>>,
}

impl<'a> Consent<'a> {
    fn status(&self) -> &'a str {
        text(self.root, "status")
    }

    /// Only an active Consent decides; an inactive one may end a directive.
    fn check_status(&self) -> Result<(), FhirError> {
        let why = match self.status() {
            "active" | "inactive" => return Ok(()),
            "draft" | "proposed" => "nothing is agreed yet: import it once it is active",
            "rejected" => {
                "the patient didn't agree, so there is nothing that decides; a refusal that decides is an \
                           active Consent with a provision of type deny"
            }
            _ => "entered in error: it says nothing; if it was imported, revoke its directive",
        };
        Err(FhirError::new("Consent.status", format!("{}: {why}", self.status())))
    }

    /// A Consent that carries a rule says who signed it, and holds.
    fn check_carried(&self) -> Result<(), FhirError> {
        if self.status() != "active" {
            let why = "a rule is exported while it holds: this one says nothing";
            return Err(FhirError::new("Consent.status", why));
        }
        match list(self.root, "performer") {
            [_] => Ok(()),
            _ => Err(FhirError::new("Consent.performer", "a rule says who signed it, one of them")),
        }
    }

    /// Refuses elements that change the meaning of the whole.
    fn check_meaning(&self) -> Result<(), FhirError> {
        if self.root.get("implicitRules").is_some() {
            let why = "rules that aren't known here may change the meaning";
            return Err(FhirError::new("Consent.implicitRules", why));
        }
        let scopes = || codings(&self.root["scope"]);
        let privacy = |c: &Value| text(c, "system") == codes::SCOPES && text(c, "code") == "patient-privacy";
        if !scopes().any(privacy) {
            let code = scopes().map(|c| text(c, "code")).next().unwrap_or_default();
            let why = format!("{code}: only consents to the use of data (consentscope patient-privacy) are directives");
            return Err(FhirError::new("Consent.scope", why));
        }
        Ok(())
    }

    fn patient(&self, patients: &PatientMap) -> Result<v1::PatientIdentity, FhirError> {
        let path = "Consent.patient";
        let Some(patient) = self.root.get("patient") else {
            return Err(FhirError::new(path, "required for a consent to the use of data (ppc-2), and missing"));
        };
        let (reference, identifiers) = self.references.named(patient);
        let base = self.references.base().to_owned();
        let name = PatientName { reference, base, identifiers, display: text(patient, "display").to_owned() };
        patients.resolve(&name).map_err(|why| FhirError::new(path, why))
    }

    /// The id of the first directive: of our own export its own, else `Consent/<id>`, as audit events name the Consent
    /// that they rely on, else its business identifier.
    fn id(&self) -> Result<String, FhirError> {
        let identifiers = || list(self.root, "identifier").iter();
        let ours = identifiers().find(|i| text(i, "system") == SYSTEM_DIRECTIVE).map(|i| text(i, "value").to_owned());
        let by_id = Some(text(self.root, "id")).filter(|id| !id.is_empty()).map(|id| format!("Consent/{id}"));
        let by_identifier = identifiers().find(|i| !text(i, "value").is_empty());
        let by_identifier = by_identifier.map(|i| match text(i, "system") {
            "" => text(i, "value").to_owned(),
            system => format!("{system}|{}", text(i, "value")),
        });
        let id = ours.or(by_id).or(by_identifier);
        let id =
            id.ok_or_else(|| FhirError::new("Consent.id", "neither an id nor an identifier: it couldn't be revoked"))?;
        match id.len() <= limits::ID_BYTES_MAX - 8 && !id.contains(char::is_control) {
            true => Ok(id),
            false => Err(FhirError::new("Consent.identifier", "too long for the id of a directive")),
        }
    }

    fn directives(&self) -> Result<Vec<Directive>, FhirError> {
        let base = self.base_policy()?;
        let path = "Consent.provision";
        let assume: rule::Assume<'_> = &|rule| self.assumed(rule);
        let Some(root) = self.root.get("provision") else {
            return match base {
                Some(Effect::Deny) => rule::directives(&Rule::new(path, Effect::Deny), &[], assume),
                Some(Effect::Permit) => Err(without_purpose(path)),
                None => Err(FhirError::new(path, "no provision and no policyRule: nothing is permitted or denied")),
            };
        };
        let own = provision::rule(root, path, base, &self.actors)?;
        let inner = list(root, "provision");
        let directives = match base {
            // The base denies, the provision is an exception to it.
            Some(Effect::Deny) if own.effect == Effect::Permit => {
                if !inner.is_empty() {
                    let why =
                        "an exception to an exception: policyRule denies, provision permits, and this is one more";
                    return Err(FhirError::new(format!("{path}.provision[0]"), why));
                }
                rule::directives(&Rule::new(path, Effect::Deny), &[own], assume)?
            }
            Some(Effect::Permit) if own.effect == Effect::Deny => {
                let why = "the base policy permits every purpose: a directive permits what it names";
                return Err(FhirError::new("Consent.policyRule", why));
            }
            // The base denies everything, and the provision a part of it once more.
            Some(Effect::Deny) if own.is_narrow() => {
                if !inner.is_empty() {
                    let why =
                        "everything is denied, and the provision has exceptions from a denial of less: what is meant?";
                    return Err(FhirError::new("Consent.policyRule", why));
                }
                let everything = rule::directives(&Rule::new(path, Effect::Deny), &[], assume)?;
                [everything, rule::directives(&own, &[], assume)?].concat()
            }
            _ => {
                let inner = inner.iter().enumerate();
                let inner = inner.map(|(i, p)| self.inner(p, &format!("{path}.provision[{i}]")));
                rule::directives(&own, &inner.collect::<Result<Vec<_>, _>>()?, assume)?
            }
        };
        if directives.len() > DIRECTIVES_MAX {
            let why = format!("{} directives: at most {DIRECTIVES_MAX} of one Consent", directives.len());
            return Err(FhirError::new(path, why));
        }
        // A denial that inherits from a permit to whom it names.
        let is_nobodys = |d: &&Directive| {
            d.rule.effect == Effect::Deny && d.rule.grantees.iter().flatten().any(actor::is_a_reference)
        };
        if let Some(denial) = directives.iter().find(is_nobodys).filter(|_| !self.is_ours()) {
            return Err(actor::matches_nobody(&format!("{}.actor", denial.rule.path)));
        }
        // An exception has the purposes of its directive, where it names none.
        let all = directives.iter().flat_map(|d| {
            std::iter::once((&d.rule, None)).chain(d.except.iter().map(|e| (e, d.rule.purposes.as_ref())))
        });
        let for_any_purpose = |(rule, of_outer): &(&Rule, Option<&Vec<String>>)| {
            rule.effect == Effect::Permit && rule.purposes.is_none() && of_outer.is_none()
        };
        match all.into_iter().find(for_any_purpose).filter(|_| !self.is_ours()) {
            Some((rule, _)) => Err(without_purpose(&rule.path)),
            None => Ok(directives),
        }
    }

    /// The effect that `policyRule` says, and whether a `policy` contradicts the provision.
    fn base_policy(&self) -> Result<Option<Effect>, FhirError> {
        let permits = text(&self.root["provision"], "type") == "permit";
        for (i, policy) in list(self.root, "policy").iter().enumerate() {
            if permits && codes::is_denying_policy(text(policy, "uri")) {
                let why = "a permit under a policy that denies: what is meant?";
                return Err(FhirError::new(format!("Consent.policy[{i}].uri"), why));
            }
        }
        let Some(rule) = self.root.get("policyRule") else {
            return Ok(None);
        };
        let mut known = codings(rule).filter_map(codes::policy_rule);
        match known.next() {
            Some(base) if known.any(|other| other != base) => {
                let why = "its codes say different things: is everything permitted, or denied?";
                Err(FhirError::new("Consent.policyRule", why))
            }
            Some(base) => Ok(Some(base)),
            None => {
                let why = "only OPTIN, OPTINR, OPTOUT and OPTOUTE of v3-ActCode are known as base policies";
                Err(FhirError::new("Consent.policyRule", why))
            }
        }
    }

    /// A rule with what is assumed of what it leaves out: a denial is for anyone and of everything (FHIR; IHE PCF: "if empty,
    /// all"), a permit is read narrowly.
    fn assumed(&self, mut rule: Rule) -> Result<Rule, FhirError> {
        if rule.grantees.is_none() && !rule.is_for_nobody_named {
            rule.grantees = Some(match rule.effect {
                Effect::Deny => vec![Grantee::Anyone],
                Effect::Permit => self.organisations(&rule)?,
            });
        }
        if rule.effect == Effect::Permit && rule.actions.is_none() {
            rule.actions = Some(ACTIONS_ASSUMED.to_vec());
        }
        Ok(rule)
    }

    /// To whom a Consent gives access that names nobody: to the organisation that presented it and enforces it (IHE PCF).
    fn organisations(&self, rule: &Rule) -> Result<Vec<Grantee>, FhirError> {
        // Our own export names the log that it is from: nobody is meant by it.
        let is_log = |organisation: &&Value| text(&organisation["identifier"], "system") == SYSTEM_LOG;
        let listed = list(self.root, "organization");
        if listed.iter().all(|organisation| is_log(&organisation)) {
            let why = "names nobody, and there is no Consent.organization: a permit is never for anyone";
            return Err(FhirError::new(format!("{}.actor", rule.path), why));
        }
        let mut out = Vec::new();
        for (i, organisation) in listed.iter().enumerate().filter(|(_, organisation)| !is_log(organisation)) {
            let grantee = self.actors.structure(organisation, &format!("Consent.organization[{i}]"))?;
            if !out.contains(&grantee) {
                out.push(grantee);
            }
        }
        Ok(out)
    }

    fn inner(&self, provision: &Value, path: &str) -> Result<Rule, FhirError> {
        if provision.get("provision").is_some() {
            let why = "a directive has exceptions, and these have none: one level at most";
            return Err(FhirError::new(format!("{path}.provision"), why));
        }
        provision::rule(provision, path, None, &self.actors)
    }

    /// Our own export of what had ended says so, with the period in which it was in force. Without that, somebody else ended it
    /// since: a withdrawal.
    fn is_history(&self) -> bool {
        let says = extensions(self.root, EXTENSION_ENDED).next().is_some();
        self.is_ours() && says && !text(&self.root["provision"]["period"], "end").is_empty()
    }

    /// A Consent of our own export.
    fn is_ours(&self) -> bool {
        self.carried.is_some() || list(self.root, "identifier").iter().any(|i| text(i, "system") == SYSTEM_DIRECTIVE)
    }

    fn time_path(&self) -> &'static str {
        match self.root.get("dateTime") {
            Some(_) => "Consent.dateTime",
            None => "Consent.meta.lastUpdated",
        }
    }

    /// The fields that all records of this Consent have in common.
    fn record(&self, original: &[u8]) -> Result<v1::Record, FhirError> {
        let path = self.time_path();
        let given = start_ms(text(self.root, "dateTime"));
        let given = given.or_else(|| instant_ms(text(&self.root["meta"], "lastUpdated")));
        let given =
            given.ok_or_else(|| FhirError::new("Consent.dateTime", "no date: a record says when it was given"))?;
        let occurred_at_ms = u64::try_from(given).map_err(|_| FhirError::new(path, "a time before 1970"))?;
        Ok(v1::Record {
            version: 1,
            actor: Some(self.signer()?),
            auth: self.authentication(),
            occurred_at_ms,
            original: Some(v1::Original { media_type: "application/fhir+json".to_owned(), content: original.to_vec() }),
            ..v1::Record::default()
        })
    }

    /// The giver: the first performer; none: the patient.
    fn signer_name(&self) -> Result<ActorName, FhirError> {
        match list(self.root, "performer").first() {
            Some(performer) if !self.actors.is_patient(performer) => {
                self.actors.name(performer, "Consent.performer[0]")
            }
            _ => Ok(ActorName::patient()),
        }
    }

    fn signer(&self) -> Result<v1::Actor, FhirError> {
        let (name, performer) = (self.signer_name()?, list(self.root, "performer").first());
        let label = performer.map(|performer| text(performer, "display")).unwrap_or_default();
        Ok(v1::Actor {
            system: name.system().to_owned(),
            id: name.id().to_owned(),
            label: cut(label, limits::LABEL_BYTES_MAX),
            ..v1::Actor::default()
        })
    }

    /// How who gave it proved who they are: our own export says it.
    fn authentication(&self) -> Option<v1::Authentication> {
        let extension = extensions(self.root, EXTENSION_AUTHENTICATION).next()?;
        let part = |name: &'static str| text_of_part(extension, name);
        Some(v1::Authentication { issuer: part("issuer"), method: part("method"), eidas_level: part("eidas-level") })
    }

    /// The collector, by which Consents of the same id are told apart: those of two logs too. None where nobody did, for the one
    /// who gave it proved who they are.
    fn collector(&self, original: &[u8]) -> Option<ActorName> {
        self.rest(original).ok()?.collected.map(|collected| collected.collector)
    }

    /// The collector, with the proof; and the directive that it replaces.
    fn rest(&self, original: &[u8]) -> Result<Rest, FhirError> {
        let superseded = extensions(self.root, EXTENSION_SUPERSEDES).next();
        let supersedes = superseded.map(|extension| text(extension, "valueString").to_owned());
        if let Some(extension) = extensions(self.root, EXTENSION_COLLECTED).next() {
            let wrong = || FhirError::new("Consent.extension", "not a collector as docs/fhir.md describes it");
            let part = |name: &'static str| text_of_part(extension, name);
            let collected = Collected {
                collector: part("collector").parse().map_err(|_| wrong())?,
                capacity: part("capacity"),
                method: part("method"),
                evidence_sha256: part("evidence-sha256").parse().map_err(|_| wrong())?,
            };
            return Ok(Rest { collected: Some(collected), supersedes });
        }
        if is_authenticated(self.authentication().as_ref()) {
            return Ok(Rest { collected: None, supersedes });
        }
        let (collector, capacity) = match list(self.root, "organization").first() {
            Some(organisation) => (self.actors.name(organisation, "Consent.organization[0]")?, "organisation"),
            None => (self.signer_name()?, "performer"),
        };
        let collected = Collected {
            collector,
            capacity: capacity.to_owned(),
            method: "fhir-consent".to_owned(),
            evidence_sha256: sha256(&[original]),
        };
        Ok(Rest { collected: Some(collected), supersedes })
    }
}

fn without_purpose(path: &str) -> FhirError {
    let why = "a permit without a purpose is for every purpose: a directive permits the purposes that it names";
    FhirError::new(format!("{path}.purpose"), why)
}

/// The text of a part of an extension.
fn text_of_part(extension: &Value, url: &'static str) -> String {
    extensions(extension, url).map(|part| text(part, "valueString")).next().unwrap_or_default().to_owned()
}

/// The modifier extensions with a URL.
fn modifiers<'a>(element: &'a Value, url: &'static str) -> impl Iterator<Item = &'a Value> {
    list(element, "modifierExtension").iter().filter(move |extension| text(extension, "url") == url)
}

/// The extensions with a URL.
fn extensions<'a>(element: &'a Value, url: &'static str) -> impl Iterator<Item = &'a Value> {
    list(element, "extension").iter().filter(move |extension| text(extension, "url") == url)
}

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod carried_tests;
#[cfg(test)]
mod tests;
