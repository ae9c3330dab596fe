//! « Qui alimente ma trace ? »: who records into this log, by day. The same for everybody.

use sillage_client::clock::now_ms;
use sillage_proto::v1::SourceRow;
use sillage_words::Lang;

use super::lines::in_paris;
use super::{Answered, Portal};
use crate::pages;
use crate::view::Text;
use crate::view::take::{Source, SourceState, SourcesView};
use crate::web::Asked;
use crate::words::dates;

impl Portal {
    pub(super) async fn sources(&self, asked: &Asked) -> Answered {
        let (visit, lang) = (self.visit(asked).await?, self.lang(asked));
        let rows = self.ledger().await?.session.sources().await?;
        let view = SourcesView {
            as_of: Text::from(dates::day(in_paris(now_ms()).0, lang).as_str()),
            listed: rows.iter().any(|row| row.listed).then(|| listed(lang)),
            sources: rows.iter().map(|row| source(row, lang)).collect(),
        };
        Ok(self.page(pages::sources::sources(&self.chrome(asked, Some(&visit)), &view)))
    }
}

fn listed(lang: Lang) -> Text {
    sillage_words::words::pick(lang, "par l'autorité du registre", "by the authority of the log").into()
}

fn source(row: &SourceRow, lang: Lang) -> Source {
    let name = match (row.listed, lang) {
        (false, _) => &row.party,
        (true, Lang::En) if !row.name_en.is_empty() => &row.name_en,
        (true, _) => &row.name_fr,
    };
    let day = |text: &str| text.parse().ok();
    // The newer of the two days; never a time.
    let last_day = day(&row.recorded_day).max(day(&row.heartbeat_day));
    let state = match (row.listed, last_day.is_some(), row.silent) {
        (false, ..) => SourceState::Unlisted,
        (true, false, _) => SourceState::Never,
        (true, true, true) => SourceState::Silent,
        (true, true, false) => SourceState::Recording,
    };
    // How many batches are missing isn't told to a portal: whether there is a gap neither.
    Source { name: name.into(), structure: (&row.structure).into(), last_day, state, gapless: None }
}
