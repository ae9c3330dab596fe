//! Calls of the two doors: which sources record, and which contests go to a party.

use std::sync::Arc;

use sillage_ledger::{Party, Refusal, SourceStatus};
use sillage_proto::v1::{
    ListContestsRequest, ListContestsResponse, ListSourcesRequest, ListSourcesResponse, SourceRow,
};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::{Roles, signers};
use sillage_rules::time::{ParisDay, TimeMs};
use tonic::Request;

use super::caller::{party, with_role};
use crate::core::disclose::Disclosed;
use crate::core::{Core, now_ms};
use crate::refusals::from_read;

/// Sources of a page where the caller doesn't say, and at most.
const SOURCES_DEFAULT: u32 = 500;
const SOURCES_MAX: u32 = 2_000;
/// Sources that are looked at for what one row costs: a page is given in order of the keys, and all are read for that.
const LOOKED_AT_PER_ROW: usize = 16;

/// The list of sources, with the days on which each was heard. It says nothing of patients: any registered party may ask.
pub(super) async fn handle_list_sources(
    core: &Arc<Core>,
    request: Request<ListSourcesRequest>,
) -> Result<ListSourcesResponse, Refusal> {
    let caller = party(core, &request).await?;
    // No line tells of it. All rows of the list are looked at whatever is asked for, and paid off before the next page.
    core.take_reading(&caller, false, 1)?;
    core.up_to_date().await?;
    let ListSourcesRequest { after, limit } = request.into_inner();
    let limit = match limit {
        0 => SOURCES_DEFAULT,
        1..=SOURCES_MAX => limit,
        _ => return Err(Refusal::new(Code::MalformedRequest, "a page has 1 to 2,000 sources")),
    };
    let limit = usize::try_from(limit).expect("at most 2,000");
    let (reader, asking) = (core.reader().clone(), caller.clone());
    let find = move || reader.sources_page(now_ms(), &after, limit, |source| is_told(source, &asking));
    let page = core.read(move || find().map_err(|error| from_read(&error))).await?;
    let cost = page.rows.len() + page.looked_at.div_ceil(LOOKED_AT_PER_ROW);
    core.charge_rows(caller.author_id, cost as u64, 1);
    let rows: Vec<SourceRow> = page.rows.iter().map(|source| row(source, &caller)).collect();
    Ok(ListSourcesResponse { rows, more: page.more })
}

/// Parties that are told how many batches of any source haven't arrived: the number changes when one does, and to anybody else that
/// would tell when a record of a small practice came.
const WATCHING: Roles = Roles::OPERATOR.with(Roles::AUDITOR).with(Roles::AUTHORITY);

fn is_told(source: &SourceStatus, caller: &Party) -> bool {
    let own = source.party.as_ref().is_some_and(|(id, _)| *id == caller.author_id);
    own || caller.roles.intersects(WATCHING)
}

fn row(source: &SourceStatus, caller: &Party) -> SourceRow {
    let day = |day: Option<ParisDay>| day.map(|day| day.to_string()).unwrap_or_default();
    let mut row = SourceRow {
        key: source.key(),
        recorded_day: day(source.recorded),
        heartbeat_day: day(source.heartbeat),
        silent: source.is_silent,
        missing_batches: if is_told(source, caller) { source.missing } else { 0 },
        ..SourceRow::default()
    };
    if let Some((id, name)) = &source.party {
        (row.author_id, row.party) = (id.as_bytes().to_vec(), name.clone());
    }
    if let Some(listed) = &source.listed {
        row.listed = true;
        row.id = listed.id.clone();
        row.name_fr = listed.name_fr.clone();
        row.name_en = if listed.name_en.is_empty() { listed.name_fr.clone() } else { listed.name_en.clone() };
        row.structure = listed.structure.clone();
        row.answers = listed.answers.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        row.since_day = ParisDay::of(TimeMs(listed.since_ms)).to_string();
        row.silent_after_s = listed.silent_after_s;
    }
    row
}

/// The contests that go to the caller.
pub(super) async fn handle_list_contests(
    core: &Core,
    request: Request<ListContestsRequest>,
) -> Result<Disclosed<ListContestsResponse>, Refusal> {
    let caller: Party = with_role(
        core,
        &request,
        signers(Kind::CONTEST_ANSWERED),
        "recorders and consent desks, of those that go to them",
    )
    .await?;
    core.disclose(&caller, request.into_inner()).await
}
