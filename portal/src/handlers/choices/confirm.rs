//! From a form to the record: the preview, in which nothing is signed, then the confirmation.

use prost::Message as _;
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::consent::known::AsOf;
use sillage_client::consent::preview::{Signs, preview};
use sillage_client::error::Code;
use sillage_client::patient_session::on_record;
use sillage_proto::v1;
use sillage_words::time::spoken;

use super::super::{Answered, Portal, Trouble};
use super::form::{hidden, values};
use crate::cookie::Purpose;
use crate::pages;
use crate::view::choices::{PreviewView, Sort};
use crate::view::{FieldError, Hidden, Text, fields};
use crate::web::Asked;
use crate::web::answer;

impl Portal {
    /// Who gains, who loses, before anything is signed.
    pub(in crate::handlers) async fn preview(&self, asked: &Asked) -> Answered {
        let (visit, form) = self.own_form(asked).await?;
        let (ledger, lang) = (self.ledger().await?, self.lang(asked));
        let sort = Sort::of_slug(form.text(fields::SORT)).ok_or(Trouble::FormOutOfDate)?;
        let known = visit.patient.known(&ledger.session, AsOf::Now).await?;
        let meant = match self.meant(&visit, &known, sort, &form, lang) {
            Ok(meant) => meant,
            Err(errors) => return self.form_page(asked, &visit, sort, values(&form), errors).await,
        };
        let side = match meant.secret {
            true => known.secret.as_ref().ok_or(Trouble::FormOutOfDate)?,
            false => &known.open,
        };
        let signs = Signs { login: true, ..Signs::default() };
        let acting = &visit.patient.acting;
        let tried = preview(&known, side, &meant.change, acting, now_ms(), signs);
        let tried = match tried {
            Ok(tried) => tried,
            // The log would refuse it: said at the form, where it can be changed.
            Err(ClientError::Rejected(rejection)) => {
                let text: Text = match (rejection.code.known(), lang) {
                    (Some(code), sillage_words::Lang::Fr) => sillage_words::codes::sentence(code).into(),
                    _ => rejection.message.as_str().into(),
                };
                let errors = vec![FieldError { field: first_field(sort), text }];
                return self.form_page(asked, &visit, sort, values(&form), errors).await;
            }
            Err(error) => return Err(error.into()),
        };
        let record = visit.patient.record_of(&meant.change, now_ms(), meant.secret)?;
        let mut carried = hidden(&form);
        carried.push(Hidden {
            name: fields::RECORD.to_owned(),
            value: self.sealed_form(&visit, &record.encode_to_vec())?,
        });
        let lines = tried.lines(lang);
        let of = |sign: &str| -> Vec<Text> {
            lines.iter().filter_map(|line| line.strip_prefix(sign)).map(Text::from).collect()
        };
        let view = PreviewView {
            sort,
            chosen: meant.chosen,
            later: tried.later.then(|| spoken(tried.at_ms, lang).into()),
            gains: of("+ "),
            losses: of("− "),
            stays: tried.stays_open.iter().map(|said| said.text(lang).into()).collect(),
            secret: meant.secret,
            seen_by_representatives: !meant.secret && super::form::may_hide(&visit, &known),
            login_again: false,
            hidden: carried,
        };
        let mut chrome = self.chrome(asked, Some(&visit));
        chrome.path = format!("/choix/{}", sort.slug());
        Ok(self.page(pages::preview::preview(&chrome, &view)))
    }

    /// Puts the record of a preview on record: once, however often it comes.
    pub(in crate::handlers) async fn confirm(&self, asked: &Asked) -> Answered {
        let (visit, form) = self.own_form(asked).await?;
        let content = self.opened_as(&visit, Purpose::Form, form.text(fields::RECORD)).ok_or(Trouble::FormOutOfDate)?;
        let record = v1::Record::decode(&content[..]).map_err(|_| Trouble::FormOutOfDate)?;
        let ledger = self.ledger().await?;
        let signed = visit.patient.sign(&self.origin, record.clone())?;
        match ledger.recorders.send(vec![signed]).await {
            Ok(receipt) => Ok(answer::see_other(&format!("/choix/fait/{}", receipt.first_index))),
            Err(ClientError::Rejected(rejection)) => {
                let is_twice = [Code::LoginReplayed, Code::IdTaken].iter().any(|code| rejection.code == *code);
                let known = match is_twice {
                    true => Some(visit.patient.known(&ledger.session, AsOf::Now).await?),
                    false => None,
                };
                match known.and_then(|known| on_record(&known, &record)) {
                    Some((index, _)) => Ok(answer::see_other(&format!("/choix/fait/{index}?encore=1"))),
                    None => Err(ClientError::Rejected(rejection).into()),
                }
            }
            Err(error) => Err(Trouble::MayBeRecorded(error)),
        }
    }
}

/// The field at which a refusal of the whole is said.
fn first_field(sort: Sort) -> &'static str {
    match sort {
        Sort::Mask => fields::DOCUMENT,
        Sort::OpposeFeed => fields::FEED,
        Sort::OpposeEmergency => fields::CASE,
        Sort::Trusted => fields::IDENTIFIER,
        Sort::Withdraw | Sort::Close => fields::RULE,
        _ => fields::PERSON,
    }
}
