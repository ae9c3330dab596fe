//! « Mes proches »: who represents the patient, and with what powers.

use sillage_client::consent::known::AsOf;
use sillage_words::Lang;
use sillage_words::decided::{power, relation};
use sillage_words::phrase::actor;
use sillage_words::time::spoken_end;

use super::choices::form::may_hide;
use super::{Answered, Portal};
use crate::pages;
use crate::view::Text;
use crate::view::people::{FamilyView, Representative, Represented};
use crate::web::Asked;

impl Portal {
    pub(super) async fn family(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let known = visit.patient.known(&self.ledger().await?.session, AsOf::Now).await?;
        let alive = known.open.state.representations().filter(|own| own.period.is_alive(known.at()));
        let representatives = alive.map(|own| {
            let said = &own.representation;
            let name = actor(&said.representative.to_string(), lang);
            let as_what = relation(said.relation.as_str(), lang);
            let powers = said.powers().iter().map(|one| power(one.as_str(), lang).into()).collect();
            Representative {
                name: format!("{name} ({as_what})").into(),
                powers,
                until: said.until.map(|until| end(until.0, lang)),
                index: own.stamp.index.get(),
            }
        });
        // A session is of one patient: whoever represents somebody logs in for them.
        let is_own = visit.patient.is_own();
        let shown = Represented {
            name: if is_own { visit.name.as_str().into() } else { visit.acting_for.as_str().into() },
            value: String::new(),
            oneself: is_own,
            current: true,
            powers: Vec::new(),
            until: None,
        };
        let view = FamilyView {
            representatives: representatives.collect(),
            people: vec![shown],
            own_id: None,
            is_minor: may_hide(&visit, &known),
        };
        Ok(self.page(pages::family::family(&self.chrome(asked, Some(&visit)), &view)))
    }
}

fn end(until_ms: u64, lang: Lang) -> Text {
    spoken_end(until_ms, lang).into()
}
