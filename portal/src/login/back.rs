//! What the page process asks ([`crate::back`]).

use axum::http::{Method, StatusCode};
use prost::Message as _;
use sillage_client::ClientError;
use sillage_client::author::encode;
use sillage_client::clock::now_ms;
use sillage_proof::keys::PublicKey;
use sillage_proto::v1;

use super::{Login, session_key};
use crate::back::{
    ActingJson, EXCHANGE, Exchange, LEDGER_AWAY, OPEN, Offer, Open, Opened, Refused, SubjectJson, UNKNOWN_CODE,
    exchange_message,
};
use crate::web::Asked;
use crate::web::answer::{self, Answer};

fn refused(code: &str) -> Refused {
    Refused { code: code.to_owned() }
}

/// Answers one request of the page process.
pub(super) async fn answer(login: &Login, asked: &Asked) -> Answer {
    let done = match (&asked.method, asked.path.as_str()) {
        (&Method::POST, EXCHANGE) => exchange(login, &asked.body).map(|offer| answer::json(StatusCode::OK, &offer)),
        (&Method::POST, OPEN) => open(login, &asked.body).await.map(|opened| answer::json(StatusCode::OK, &opened)),
        _ => return answer::text(StatusCode::NOT_FOUND, "nothing is at this path"),
    };
    done.unwrap_or_else(|refused| {
        tracing::info!(code = refused.code, "no session is opened");
        answer::json(StatusCode::CONFLICT, &refused)
    })
}

fn exchange(login: &Login, body: &[u8]) -> Result<Offer, Refused> {
    let unknown = || refused(UNKNOWN_CODE);
    let asked: Exchange = serde_json::from_slice(body).map_err(|_| unknown())?;
    let session = session_key(&asked.session).ok_or_else(unknown)?;
    let key = PublicKey::from_bytes(&session).map_err(|_| unknown())?;
    let signature = hex::decode(&asked.signature).map_err(|_| unknown())?;
    key.verify(&exchange_message(&login.origin, &asked.code), &signature).map_err(|_| unknown())?;
    let waiting = login.pending.get(&asked.code, &session, now_ms()).ok_or_else(unknown)?;
    let own = &waiting.login;
    Ok(Offer {
        record: hex::encode(waiting.record.encode_to_vec()),
        token: own.token.clone(),
        userinfo: own.userinfo.clone(),
        name: own.name.clone(),
        acting_for: own.acting_for.clone(),
        through: own.through.clone(),
        until_ms: own.until_ms,
        subject: SubjectJson::of(&waiting.subject),
        acting: ActingJson::of(&own.acting),
    })
}

async fn open(login: &Login, body: &[u8]) -> Result<Opened, Refused> {
    let unknown = || refused(UNKNOWN_CODE);
    let asked: Open = serde_json::from_slice(body).map_err(|_| unknown())?;
    let session = session_key(&asked.session).ok_or_else(unknown)?;
    let waiting = login.pending.get(&asked.code, &session, now_ms()).ok_or_else(unknown)?;
    let will = hex::decode(&asked.will).ok().and_then(|bytes| v1::Will::decode(&bytes[..]).ok());
    // The ledger looks at all of it; what isn't of this session isn't brought to it.
    let will = will.filter(|will| will.session_key == session && will.token == waiting.login.token);
    let record = v1::Record { will: Some(will.ok_or_else(unknown)?), ..waiting.record.clone() };
    let said = |error: ClientError| match error {
        ClientError::Rejected(rejection) => refused(rejection.code.as_str()),
        _ => refused(LEDGER_AWAY),
    };
    let record = encode(record, 0).map_err(said)?;
    let ledger = login.ledger().await.map_err(said)?;
    let receipt = ledger.recorders.send(vec![record]).await.map_err(said)?;
    login.pending.end(&asked.code);
    debug_assert_eq!(ledger.session.origin, login.origin);
    tracing::info!("a session is open");
    Ok(Opened { index: receipt.first_index, time_ms: receipt.time_ms })
}
