//! How every command that changes what holds for a patient goes: checked here, shown where it is only tried, else signed,
//! recorded and told in a sentence.

use serde_json::json;
use sillage_client::author::{NewRecord, TagPair, TagRequest, VerifiedReceipt, tags_of};
use sillage_client::clock::now_ms;
use sillage_client::consent::change::{Change, meta};
use sillage_client::consent::known::{AsOf, Known};
use sillage_client::consent::preview;
use sillage_client::consent::stays_open::stays_open;
use sillage_client::consent::who::Acting;
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::tag::PatientTag;
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::entry::Flags;
use sillage_rules::ident::Ins;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_words::sentence::sentence;
use sillage_words::time::rfc3339;
use sillage_words::{Event, Lang};

use crate::acts::submit_message;
use crate::arguments::reading::{acting, authority, ins};
use crate::arguments::{By, ChangeArgs, How};
use crate::recorder::open_recorder;
use crate::{Context, Ended, output, unknown};

/// The trace into which a record goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// None where the patient isn't identified yet.
    pub patient: Option<Ins>,
    /// The secret part of the trace, which representatives don't see.
    pub secret: bool,
}

/// The signer of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signs {
    /// The profile's author, or the patient.
    Author,
    /// The ledger's authority.
    Authority,
}

/// A change with everything that the command line says of it.
pub(crate) struct Order<'a> {
    pub target: Target,
    pub by: &'a By,
    pub how: &'a How,
    pub signs: Signs,
    /// The id that a script gets back beside the place in the log.
    pub id: Option<String>,
    /// The patient is meant, also where nothing is on record under them.
    pub is_meant: bool,
}

impl<'a> Order<'a> {
    /// The order of a command that takes [`ChangeArgs`].
    pub fn of(profile: &Profile, args: &'a ChangeArgs) -> Result<Self, ClientError> {
        let patient = ins(profile, &args.whose.patient, args.whose.oid.as_deref())?;
        let target = Target { patient: Some(patient), secret: args.secret };
        let is_meant = args.whose.force;
        Ok(Self { target, by: &args.by, how: &args.how, signs: Signs::Author, id: None, is_meant })
    }
}

/// Makes the change, or shows what it would do.
pub(crate) async fn run(context: &Context, order: Order<'_>, change: Change) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let acting = match (order.signs, &order.by.actor) {
        (Signs::Authority, None) => authority(&profile)?,
        _ => acting(&profile, order.by)?,
    };
    let any_tag = order.target.patient.as_ref().map(|_| &[0xff; 32]);
    let (record, event) = change.check(&acting, now_ms(), any_tag)?;
    let by_authority = order.signs == Signs::Authority;
    preview::refused_anyway(&event, &meta(&record, (0, now_ms()), by_authority, false)?)?;
    let session = context.session().await?;
    let change = change.for_level(session.caller.feature_level);
    let own_key = Roles::from_bits(session.caller.caller.as_ref().map_or(0, |caller| caller.roles))
        .is_ok_and(|roles| roles.contains(Roles::PATIENT));
    let is_patient = acting.actor.system == PATIENT_SYSTEM;
    if is_patient && !own_key && order.signs == Signs::Author && !acting.is_authenticated() {
        return Err(ClientError::rejected(
            "AUTHENTICATION_MISSING",
            "say how the patient proved who they are: --issuer, --method and --eidas-level (substantial or high), or [auth] in the profile",
        ));
    }
    if change.kind == Kind::MINOR_SECRECY_SET {
        output::note(match order.how.lang {
            Lang::Fr => {
                "le secret vaut pour la suite : ce qui a déjà été inscrit dans la trace ouverte y reste lisible par les représentants"
            }
            Lang::En => {
                "secrecy covers what comes later: what is in the open trace already stays readable to representatives"
            }
        });
    }
    // Whoever decides for the patient logs in where the profile says how: its record proves it.
    let login = order.signs == Signs::Author && acting.is_authenticated() && session.logins.is_some();
    if order.how.dry_run {
        return dry_run(&session, &order, &acting, &change, (own_key, login)).await;
    }
    for said in stays_open(&event, login, None) {
        output::note(said.text(order.how.lang));
    }
    let message = change.to_message(&acting, now_ms());
    let receipt = match order.signs {
        Signs::Author => submit(&session, &order.target, message.clone()).await?,
        Signs::Authority => {
            let tag = tag(&session, &order.target).await?;
            let tag = tag.map(|tag| tag.to_bytes().to_vec()).unwrap_or_default();
            submit_message(&session, sillage_proto::v1::Record { tag, ..message.clone() }).await?
        }
    };
    print(&order, change.kind, message, &receipt)
}

async fn pair(session: &Session, patient: &Ins) -> Result<TagPair, ClientError> {
    tags_of(session).both(patient.value(), patient.oid().as_str()).await
}

async fn tag(session: &Session, target: &Target) -> Result<Option<PatientTag>, ClientError> {
    let Some(patient) = &target.patient else {
        return Ok(None);
    };
    let (open, secret) = pair(session, patient).await?;
    match target.secret {
        false => Ok(Some(open)),
        true => secret.map(Some).ok_or_else(no_secret),
    }
}

fn no_secret() -> ClientError {
    ClientError::rejected("NOT_ENTITLED", "the ledger does not give this caller the patient's secret tag")
}

async fn submit(
    session: &Session,
    target: &Target,
    record: sillage_proto::v1::Record,
) -> Result<VerifiedReceipt, ClientError> {
    let mut recorder = open_recorder(session, None).await?;
    let patient = target.patient.as_ref().map(|ins| TagRequest {
        ins: ins.value().to_owned(),
        oid: ins.oid().as_str().to_owned(),
        secret: target.secret,
    });
    let records = sillage_client::author::prepare(&recorder.tags, vec![NewRecord { patient, record }]).await?;
    recorder.send_attended(records).await.map_err(|error| match error {
        ClientError::Unavailable(why) => ClientError::Unavailable(kept(&why)),
        ClientError::Quota(why) => ClientError::Quota(kept(&why)),
        error => error,
    })
}

fn kept(why: &str) -> String {
    format!(
        "{why}; the change is kept in the outbox and goes first with the next command: look with `consent list` before you give it again"
    )
}

async fn dry_run(
    session: &Session,
    order: &Order<'_>,
    acting: &Acting,
    change: &Change,
    (own_key, login): (bool, bool),
) -> Result<Ended, ClientError> {
    let Some(patient) = &order.target.patient else {
        return Err(ClientError::Usage(
            "--dry-run shows what changes for a patient: name one with --patient".to_owned(),
        ));
    };
    let tags = pair(session, patient).await?;
    let known = Known::fetch(session, tags, AsOf::Now).await?;
    if known.sides().all(|(side, _)| side.records.is_empty()) {
        unknown::warn(session, patient.value(), &tags, order.is_meant).await;
    }
    let side = match order.target.secret {
        false => &known.open,
        true => known.secret.as_ref().ok_or_else(no_secret)?,
    };
    let authority = order.signs == Signs::Authority;
    let signs = preview::Signs { authority, own_key, login };
    let preview = preview::preview(&known, side, change, acting, now_ms(), signs)?;
    match order.how.json {
        true => output::line(&preview.to_json().to_string())?,
        false => output::lines(&preview.lines(order.how.lang))?,
    }
    Ok(Ended::Done)
}

fn print(
    order: &Order<'_>,
    kind: Kind,
    message: sillage_proto::v1::Record,
    receipt: &VerifiedReceipt,
) -> Result<Ended, ClientError> {
    if order.how.json {
        let mut line = json!({"index": receipt.first_index, "recorded_at": rfc3339(receipt.time_ms), "kind": kind});
        if let Some(id) = &order.id {
            line["id"] = json!(id);
        }
        output::line(&line.to_string())?;
        return Ok(Ended::Done);
    }
    let event = Event {
        index: receipt.first_index,
        flags: Flags::NONE,
        kind,
        recorded_at_ms: receipt.time_ms,
        record: Some(message),
        decision: None,
        erased: None,
        voided: None,
        author: String::new(),
        secret: order.target.secret,
    };
    output::line(&sentence(&event, order.how.lang))?;
    output::line(&match order.how.lang {
        Lang::Fr => format!("Inscrit au registre sous le n° {}.", receipt.first_index),
        Lang::En => format!("On record as no. {}.", receipt.first_index),
    })?;
    Ok(Ended::Done)
}
