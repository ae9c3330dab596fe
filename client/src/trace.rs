//! A patient's trace, page by page: the open one and, for who may read it, the one that is kept from representatives.
//!
//! Two traces are merged newest first. The cursor holds where each of them stands and the last index that was shown, so
//! that entries which arrive meanwhile neither repeat nor push out a line.

use sillage_proof::tag::PatientTag;
use sillage_proto::v1;

use crate::checks::{CheckedLine, check_line, failed};
use crate::error::ClientError;
use crate::session::Session;

/// First byte of a cursor.
const CURSOR_VERSION: u8 = 1;
/// The ledger's own bound of a page.
const PAGE_MAX: u32 = 500;

/// One line, and which trace it is from.
#[derive(Debug, Clone)]
pub struct TracedLine {
    /// Checked: its parts fit each other.
    pub line: CheckedLine,
    /// Kept from representatives.
    pub secret: bool,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub lines: Vec<TracedLine>,
    /// Where to go on; none at the end.
    pub next_cursor: Option<String>,
}

/// Where one trace stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Nothing was shown of it.
    Start,
    /// Go on from the ledger's cursor.
    After(Vec<u8>),
    /// All was shown.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    /// Lines from this index on were shown, or arrived later.
    below: u64,
    open: Place,
    secret: Place,
}

impl Cursor {
    fn encode(&self) -> String {
        let mut out = vec![CURSOR_VERSION];
        out.extend(self.below.to_be_bytes());
        for place in [&self.open, &self.secret] {
            let (kind, bytes): (u8, &[u8]) = match place {
                Place::Start => (0, &[]),
                Place::After(bytes) => (1, bytes),
                Place::End => (2, &[]),
            };
            out.push(kind);
            out.extend(u16::try_from(bytes.len()).expect("a cursor is short").to_be_bytes());
            out.extend(bytes);
        }
        hex::encode(out)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        let rest = bytes.strip_prefix(&[CURSOR_VERSION])?;
        let (below, mut rest) = rest.split_first_chunk::<8>()?;
        let mut place = || {
            let ([kind, len @ ..], tail) = rest.split_first_chunk::<3>()?;
            let (bytes, tail) = tail.split_at_checked(u16::from_be_bytes(*len).into())?;
            rest = tail;
            match (kind, bytes) {
                (0, []) => Some(Place::Start),
                (1, [_, ..]) => Some(Place::After(bytes.to_vec())),
                (2, []) => Some(Place::End),
                _ => None,
            }
        };
        let (open, secret) = (place()?, place()?);
        rest.is_empty().then_some(Self { below: u64::from_be_bytes(*below), open, secret })
    }
}

/// Reads one page of at most `limit` lines. `request` holds the filters; its tag, limit and cursor are set here.
///
/// # Errors
/// `INVALID_CURSOR` for a made-up cursor; [`ClientError::Check`] for a line that contradicts itself.
pub async fn read_page(
    session: &Session,
    request: &v1::TraceRequest,
    open: &PatientTag,
    secret: Option<&PatientTag>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page, ClientError> {
    let start = Cursor { below: u64::MAX, open: Place::Start, secret: Place::Start };
    let invalid =
        || ClientError::rejected("INVALID_CURSOR", "this cursor was not made by a trace: begin again without --cursor");
    let cursor = cursor.map_or(Ok(start), |text| Cursor::decode(text).ok_or_else(invalid))?;
    let limit = limit.clamp(1, PAGE_MAX);
    let below = cursor.below;
    let one = |tag: &PatientTag, place: Place| Side {
        session,
        request,
        tag: *tag,
        below,
        fetched: 0,
        end: place.clone(),
        place,
    };
    let mut sides = vec![(one(open, cursor.open), false)];
    if let Some(tag) = secret {
        sides.push((one(tag, cursor.secret), true));
    }
    let mut fetched = Vec::new();
    for (side, is_secret) in &mut sides {
        for line in side.fetch(limit).await? {
            fetched.push(TracedLine { line, secret: *is_secret });
        }
    }
    fetched.sort_by_key(|line| std::cmp::Reverse(line.line.entry.index));
    let more = fetched.len() > limit as usize;
    fetched.truncate(limit as usize);
    let last = fetched.last().map_or(below, |line| line.line.entry.index.get());
    let mut next = Cursor { below: last, open: Place::End, secret: Place::End };
    for (side, is_secret) in &mut sides {
        let shown = fetched.iter().filter(|line| line.secret == *is_secret).count();
        let place = side.place_after(shown).await?;
        match is_secret {
            false => next.open = place,
            true => next.secret = place,
        }
    }
    let ended = !more && next.open == Place::End && next.secret == Place::End;
    Ok(Page { lines: fetched, next_cursor: (!ended).then(|| next.encode()) })
}

/// Newest first, and no line twice: what a node counts double would make an access look like two.
fn check_order(last: Option<u64>, index: u64) -> Result<(), ClientError> {
    match last.is_none_or(|last| index < last) {
        true => Ok(()),
        false => Err(failed("the lines of a trace come twice or out of order: ask another node")),
    }
}

/// One of the two traces.
struct Side<'a> {
    session: &'a Session,
    request: &'a v1::TraceRequest,
    tag: PatientTag,
    /// Lines from this index on were shown, or arrived later.
    below: u64,
    /// How many lines [`Side::fetch`] gave, and where the trace stood after the last of them.
    fetched: usize,
    end: Place,
    /// Where the page begins; after [`Side::place_after`], where the next one does.
    place: Place,
}

impl Side<'_> {
    async fn ask(&self, limit: u32) -> Result<Option<v1::TraceResponse>, ClientError> {
        let cursor = match &self.place {
            Place::End => return Ok(None),
            Place::Start => Vec::new(),
            Place::After(cursor) => cursor.clone(),
        };
        let tag = self.tag.to_bytes().to_vec();
        let request = v1::TraceRequest { tag, limit: limit.min(PAGE_MAX), cursor, ..self.request.clone() };
        let call = self.session.client.call(|mut rpc| {
            let request = request.clone();
            async move { rpc.trace(request).await }
        });
        call.await.map(Some)
    }

    /// The next lines, without those that arrived after the first page was shown. As many as asked for, unless the
    /// trace ends: else a line of the other trace could come too early.
    async fn fetch(&mut self, limit: u32) -> Result<Vec<CheckedLine>, ClientError> {
        let mut out = Vec::new();
        let mut begin = self.place.clone();
        while out.len() < limit as usize {
            let Some(page) = self.ask(limit).await? else { break };
            let known = page.lines.into_iter().filter(|line| line.index < self.below);
            for line in known {
                let line = check_line(line, self.tag.as_bytes(), self.session.genesis.late_after_ms)?;
                let last: Option<&CheckedLine> = out.last();
                check_order(last.map(|last| last.entry.index.get()), line.entry.index.get())?;
                out.push(line);
            }
            self.advance(page.next_cursor)?;
            if out.is_empty() {
                begin = self.place.clone();
            }
        }
        // Reading is put on record: asked again, the trace begins with that.
        self.below =
            out.first().map_or(self.below, |newest| newest.entry.index.get().saturating_add(1).min(self.below));
        (self.fetched, self.end) = (out.len(), std::mem::replace(&mut self.place, begin));
        Ok(out)
    }

    fn advance(&mut self, cursor: Vec<u8>) -> Result<(), ClientError> {
        let next = if cursor.is_empty() { Place::End } else { Place::After(cursor) };
        if next == self.place {
            return Err(failed("the ledger's cursor does not move on: ask another node"));
        }
        self.place = next;
        Ok(())
    }

    /// Where this trace stands when the first `shown` lines of what [`Side::fetch`] gave are shown: asked for again with
    /// exactly that limit, so that the ledger's own cursor says it.
    async fn place_after(&mut self, shown: usize) -> Result<Place, ClientError> {
        if shown == 0 && self.fetched > 0 {
            return Ok(self.place.clone());
        }
        if shown == self.fetched {
            return Ok(self.end.clone());
        }
        let mut left = shown;
        while left > 0 {
            let limit = u32::try_from(left).unwrap_or(PAGE_MAX);
            let Some(page) = self.ask(limit).await? else { break };
            left -= page.lines.iter().filter(|line| line.index < self.below).count().min(left);
            self.advance(page.next_cursor)?;
        }
        Ok(self.place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor { below: 77, open: Place::After(vec![1, 2, 3]), secret: Place::Start };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor.clone()));
        let text = cursor.encode();
        for bad in ["", "zz", "01", &text[2..], &format!("{text}00"), &text.replacen("01", "02", 1)] {
            assert_eq!(Cursor::decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_that_comes_twice_or_too_late_is_refused() {
        assert!(check_order(None, u64::MAX).is_ok());
        assert!(check_order(Some(7), 6).is_ok());
        assert!(check_order(Some(7), 7).is_err() && check_order(Some(7), 8).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9a-f]{0,60}", free in ".{0,20}") {
            for text in [text, free] {
                if let Some(cursor) = Cursor::decode(&text) {
                    prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
                }
            }
        }
    }
}
