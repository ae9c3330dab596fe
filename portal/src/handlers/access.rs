//! « Qui peut accéder ? »: the rights of everybody, now or as of a day, worked out here from the records of the log.

use sillage_client::consent::effective::rights;
use sillage_client::consent::known::AsOf;
use sillage_rules::consent::state::Space;
use sillage_words::Lang;
use sillage_words::time::{parse_end, spoken};
use sillage_words::words::pick;

use super::{Answered, Portal};
use crate::pages;
use crate::view::access::AccessView;
use crate::view::{FieldError, Text, fields};
use crate::web::Asked;

impl Portal {
    pub(super) async fn access(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let ledger = self.ledger().await?;
        let typed = asked.query.text(fields::AS_OF);
        let created_ms = ledger.session.genesis.created_ms;
        let (as_of, day, error) = match typed.parse::<jiff::civil::Date>() {
            _ if typed.is_empty() => (AsOf::Now, None, None),
            // A day is shown as it stood at its end; today, as it stands.
            Ok(day) => match parse_end(fields::AS_OF, typed) {
                Ok(end_ms) if end_ms <= created_ms => (AsOf::Now, None, Some(too_early(lang))),
                Ok(end_ms) if end_ms >= sillage_client::clock::now_ms() => (AsOf::Now, Some(day), None),
                Ok(end_ms) => (AsOf::Time(end_ms), Some(day), None),
                Err(_) => (AsOf::Now, None, Some(no_day(lang))),
            },
            Err(_) => (AsOf::Now, None, Some(no_day(lang))),
        };
        let known = visit.patient.known(&ledger.session, as_of).await?;
        let space = match known.open.state.space().0 {
            Space::Open => None,
            Space::Opposed => Some(pick(
                lang,
                "Votre espace de santé est fermé : vous vous y opposez.",
                "Your health space is closed: you oppose it.",
            )),
            Space::Closed => Some(pick(lang, "Votre espace de santé est clos.", "Your health space is closed.")),
        };
        let mut view = AccessView {
            typed: typed.to_owned(),
            day,
            error,
            as_of: spoken(known.as_of_ms, lang).into(),
            space: space.map(Text::from),
            ..AccessView::default()
        };
        for line in rights(&known).lines(lang).into_iter().skip(1) {
            match line.strip_prefix("• ") {
                Some(line) if is_denied(line, lang) => view.may_not.push(line.into()),
                Some(line) => view.may.push(line.into()),
                // What is said of the space stands above; the rest limits the answer.
                None if line.contains("espace de santé") || line.contains("health space") => {}
                None => view.notes.push(line.into()),
            }
        }
        Ok(self.page(pages::access::access(&self.chrome(asked, Some(&visit)), &view)))
    }
}

fn is_denied(line: &str, lang: Lang) -> bool {
    match lang {
        Lang::Fr => line.contains(" ne peut rien ouvrir") || line.contains(" ne peut pas "),
        Lang::En => line.contains(" can't open anything") || line.contains(" can't "),
    }
}

fn no_day(lang: Lang) -> FieldError {
    let text = pick(lang, "Écrivez une date, comme 2026-03-02.", "Write a date, such as 2026-03-02.");
    FieldError { field: fields::AS_OF, text: text.into() }
}

fn too_early(lang: Lang) -> FieldError {
    let text = pick(lang, "Le registre n'existait pas encore ce jour-là.", "The log did not exist yet on that day.");
    FieldError { field: fields::AS_OF, text: text.into() }
}
