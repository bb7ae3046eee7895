//! The records that are replayed, in spans small enough to be held: whoever is idle takes the next one.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::audit::{AuditError, AuditReader, ChainInfo, Seq, TrailRecord};

/// Records in a span.
const SPAN: i64 = 64;
/// How much later than its neighbours a record may say that it happened: it is written when the policies have decided.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// What is left.
pub(super) struct Spans(Mutex<Vec<Rest>>);

/// The rest of a chain.
struct Rest {
    chain: ChainInfo,
    /// The last record that was given out.
    after: Seq,
    last: Seq,
}

impl Spans {
    /// All chains, as they are now, as far as they can hold records of that time.
    pub(super) fn of(
        reader: &AuditReader,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, AuditError> {
        let mut rests = Vec::new();
        for chain in reader.chains()? {
            let since = since.and_then(|since| since.checked_sub(SLACK).ok());
            let until = until.and_then(|until| until.checked_add(SLACK).ok());
            let first = since.map_or(Ok(chain.first), |since| reader.first_since(&chain, since))?;
            let end = until.map_or(Ok(Seq(chain.last.0 + 1)), |until| reader.first_since(&chain, until))?;
            rests.push(Rest { chain, after: Seq(first.0 - 1), last: Seq(end.0 - 1) });
        }
        Ok(Self(Mutex::new(rests)))
    }

    /// How many records are left.
    pub(super) fn records(&self) -> u64 {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rests.iter().map(|rest| u64::try_from(rest.last.0 - rest.after.0).unwrap_or(0)).sum()
    }

    /// The next span; empty records where it had none.
    pub(super) fn next(&self, reader: &AuditReader) -> Result<Option<Span>, AuditError> {
        let Some((chain, after, length)) = self.take() else { return Ok(None) };
        let most = usize::try_from(length).unwrap_or(0);
        let mut records = reader.records_after(&chain, after, most)?;
        records.retain(|record| record.seq.0 <= after.0 + length);
        Ok(Some(Span { records, length: length.unsigned_abs() }))
    }

    fn take(&self) -> Option<(ChainInfo, Seq, i64)> {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = rests.iter_mut().find(|rest| rest.after < rest.last)?;
        let (after, length) = (rest.after, SPAN.min(rest.last.0 - rest.after.0));
        rest.after = Seq(after.0 + length);
        Some((rest.chain.clone(), after, length))
    }
}

/// A few records.
pub(super) struct Span {
    pub(super) records: Vec<TrailRecord>,
    /// How many places it covers.
    pub(super) length: u64,
}
