//! Statements: a login process that finds patients by their traits says itself, signed, which INS a login belongs to.
//!
//! The ledger takes an INS from the token of an issuer that the authorities have published, and from nowhere else. FranceConnect's token
//! has none. So the process that knows the INS is an identity service, and signs a token of its own: with the nonce, the level and the
//! time of the login, the provider's name as `idp`, and the INS. The authorities publish its key ([`Statements::to_publish`]) as they
//! publish a provider's.
//!
//! Whoever has this key, and those of a login party and a portal, can speak as every patient; each such session is a line in that
//! patient's trace. Where the provider says the INS by itself, nobody holds such a key: prefer that.

use serde_json::{Value, json};
use sillage_rules::ident::Ins;
use sillage_rules::will::{Level, SESSION_S_MAX};
use zeroize::Zeroizing;

use crate::oidc::keys::{ClientKeys, ProviderKeys};
use crate::oidc::{Login, LoginError};

use super::resolver::ResolveError;

/// A statement counts for as long as a token of FranceConnect, in seconds. The session that it opens has its own end.
const STATEMENT_S: u64 = 60;
/// The claims that name the patient.
const INS_CLAIM: &str = "ins";
const OID_CLAIM: &str = "ins_oid";

/// The signer of statements.
#[derive(Debug)]
pub struct Statements {
    issuer: String,
    audience: String,
    keys: ClientKeys,
}

impl Statements {
    /// In the name of `issuer`, an https address of this service, for `audience`. `keys` has a key that signs.
    pub fn new(issuer: String, audience: String, keys: ClientKeys) -> Self {
        Self { issuer, audience, keys }
    }

    /// The claim `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Says at `now_s`, seconds since 1970, that this login, with this nonce, is of the patient with this INS.
    ///
    /// # Errors
    /// [`ResolveError::Level`]: a login below substantial states nothing. [`ResolveError::Store`]: no randomness.
    pub fn sign(&self, login: &Login, nonce: &str, ins: &Ins, now_s: u64) -> Result<Zeroizing<String>, ResolveError> {
        if login.established.level < Level::Substantial {
            return Err(ResolveError::Level);
        }
        let mut claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": login.person.sub, "iat": now_s, "exp": now_s + STATEMENT_S,
            "nonce": nonce, "acr": login.established.acr, "idp": login.person.issuer, INS_CLAIM: ins.value(), OID_CLAIM: ins.oid().as_str(),
        });
        if !login.established.amr.is_empty() {
            claims["amr"] = json!(login.established.amr);
        }
        if let Some(auth_time_s) = login.established.auth_time_s {
            claims["auth_time"] = json!(auth_time_s);
        }
        self.keys.sign("JWT", &claims).map_err(|_| ResolveError::Store)
    }

    /// The file with which the authorities publish this issuer: `sillage keys issuer --file FILE`. `name` is what traces show.
    ///
    /// # Errors
    /// [`LoginError::Answer`]: the key can't be written.
    pub fn to_publish(&self, name: &str, (substantial, high): (&[String], &[String])) -> Result<Value, LoginError> {
        let public = ProviderKeys::parse(self.keys.public_jwks().to_string().as_bytes())?;
        let key = |(kid, point): (&str, &[u8; 65])| json!({"kid": kid, "alg": "ES256", "key": hex::encode(point)});
        Ok(json!({
            "issuer": self.issuer, "name": name, "keys": public.iter().map(key).collect::<Vec<_>>(), "audiences": [self.audience],
            "ins_claim": INS_CLAIM, "oid_claim": OID_CLAIM, "acr_substantial": substantial, "acr_high": high, "session_s": SESSION_S_MAX,
        }))
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::batch::Origin;
    use sillage_proof::hash::LedgerTimeMs;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::tag::{Identity, PatientTag, WhichTag};
    use sillage_proof::vrf::VrfSecretKey;
    use sillage_proto::v1;
    use sillage_rules::codes::Code;
    use sillage_rules::kind::Kind;
    use sillage_rules::record::{ParsedRecord, new_message};
    use sillage_rules::will::binding::{session_nonce, sign_in_session};
    use sillage_rules::will::issuer::{Issuer, IssuerKey};
    use sillage_rules::will::jws::Algorithm;
    use sillage_rules::will::{self, Log, Will};

    use super::super::resolver::tests::person;
    use super::*;
    use crate::oidc::verify::Established;

    const NOW_S: u64 = 1_800_000_000;

    fn login(level: Level) -> Login {
        let acr = if level == Level::Low { "eidas1" } else { "eidas2" };
        Login::for_tests(
            person("abc"),
            Established {
                acr: Some(acr.to_owned()),
                level,
                amr: Vec::new(),
                auth_time_s: Some(NOW_S),
                issued_s: NOW_S,
            },
        )
    }

    /// As the authorities would publish the file.
    fn published(statements: &Statements) -> Issuer {
        let lists = (&["eidas2".to_owned()][..], &["eidas3".to_owned()][..]);
        let file = statements.to_publish("Identity service", lists).expect("a file");
        let text = |name: &str| file[name].as_str().expect("a text").to_owned();
        let texts = |name: &str| serde_json::from_value::<Vec<String>>(file[name].clone()).expect("texts");
        let key = &file["keys"][0];
        Issuer {
            url: text("issuer"),
            name: text("name"),
            keys: vec![IssuerKey {
                kid: key["kid"].as_str().expect("a name").to_owned(),
                algorithm: Algorithm::Es256,
                key: hex::decode(key["key"].as_str().expect("a key")).expect("hexadecimal"),
                exponent: 0,
            }],
            audiences: texts("audiences"),
            ins_claim: text("ins_claim"),
            oid_claim: text("oid_claim"),
            person_claim: String::new(),
            person_system: String::new(),
            acr_substantial: texts("acr_substantial"),
            acr_high: texts("acr_high"),
            session_s: 1_800,
            from_ms: 0,
            until_ms: 0,
            test: false,
        }
    }

    #[test]
    fn the_ledger_takes_a_statement_as_the_proof_of_a_will_and_of_no_other_patient() {
        let keys = ClientKeys::parse(&ClientKeys::generate().expect("keys")).expect("a file");
        let statements = Statements::new("https://identity.example".to_owned(), "portal".to_owned(), keys);
        let (origin, vrf) = (Origin::new("example.org/log").expect("a name"), VrfSecretKey::from_seed([9; 32]));
        let session = SigningKey::from_seed(&[8; 32]);
        let nonce = session_nonce(&origin, session.public_key().as_bytes());
        let ins = Ins::demo("zoe");
        let token = statements.sign(&login(Level::Substantial), &nonce, &ins, NOW_S).expect("a statement");
        let identity = |ins: &Ins| Identity::new(ins.value(), ins.oid().as_str()).expect("an identity");
        let verdict = |whose: &Ins, session: &SigningKey| {
            let (tag, proof) = PatientTag::resolve(&vrf, &identity(whose), WhichTag::Open);
            let mut record = new_message(Kind::SPACE_CLOSED, Some(tag.as_bytes()), NOW_S * 1_000);
            let patient =
                v1::Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..v1::Actor::default() };
            record.actor = Some(patient);
            let (issuer, method) = (person("abc").issuer.clone(), "eidas2".to_owned());
            record.auth = Some(v1::Authentication { issuer, method, eidas_level: "substantial".to_owned() });
            record.will =
                Some(sign_in_session(&origin, &record, session, token.to_string(), proof.to_bytes().to_vec()));
            let record = ParsedRecord::from_message(record).expect("a record");
            let vrf = *vrf.public_key().as_bytes();
            let log = Log { origin: &origin, vrf_public_key: &vrf, test_log: true, known: None };
            let will = will::of(&record, Some(&published(&statements)), &log, LedgerTimeMs(NOW_S * 1_000));
            will.map_err(|error| error.code)
        };
        assert!(verdict(&ins, &session).is_ok_and(|will| matches!(&will, Will::Proven(_)) && will.suffices()));
        assert_eq!(verdict(&Ins::demo("paul"), &session), Err(Code::LoginSubject));
        assert_eq!(verdict(&ins, &SigningKey::from_seed(&[7; 32])), Err(Code::LoginNotBound));
    }

    #[test]
    fn a_weak_login_states_nothing() {
        let keys = ClientKeys::parse(&ClientKeys::generate().expect("keys")).expect("a file");
        let statements = Statements::new("https://identity.example".to_owned(), "portal".to_owned(), keys);
        let signed = statements.sign(&login(Level::Low), &"ab".repeat(32), &Ins::demo("zoe"), NOW_S);
        assert_eq!(signed.err(), Some(ResolveError::Level));
    }
}
