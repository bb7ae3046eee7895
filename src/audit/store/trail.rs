//! Records with their texts, as SQL. Both stores speak it.

use super::{Selection, Texts};

/// What a record is read from, in the order of its fields; `r` is the record.
pub(super) fn record(texts: Texts) -> &'static str {
    match texts {
        Texts::Read => {
            "SELECT r.place, r.at, r.kind, r.id, r.body, r.hash, c.content \
             FROM records r LEFT JOIN contents c ON c.place = r.place"
        }
        Texts::Left => "SELECT r.place, r.at, r.kind, r.id, r.body, r.hash, CAST(NULL AS TEXT) FROM records r",
    }
}

/// The records of a request, a pre-check or a reported call, or of a context. `$1` is its id.
pub(super) fn records_of() -> String {
    format!(
        "WITH entry AS (SELECT place, outcome_place FROM entries WHERE id = $1 \
                  UNION SELECT place, outcome_place FROM entries WHERE context_id = $1) \
         {} WHERE r.place IN (SELECT place FROM entry UNION SELECT outcome_place FROM entry) \
         ORDER BY r.at, r.place",
        record(Texts::Read)
    )
}

/// The records of an id, `$1`.
pub(super) fn records_with_id() -> String {
    format!("{} WHERE r.id = $1 ORDER BY r.at, r.place", record(Texts::Read))
}

/// The rows of `entries` at the places `$1` to `$2`, at most `$3`, in the order of their fields.
pub(super) const ENTRY_ROWS: &str = "SELECT place, outcome_place, id, context_id, kind, at, tenant, client, \"user\", \
                                     request_type, decision FROM entries WHERE place BETWEEN $1 AND $2 \
                                     ORDER BY place LIMIT $3";

/// The rows of `entry_policies` behind one (`$1` to `$4`), at most `$5`, in the order of their fields.
pub(super) const POLICY_ROWS: &str = "SELECT tenant, policy, at, entry FROM entry_policies \
                                      WHERE (tenant, policy, at, entry) > ($1, $2, $3, $4) \
                                      ORDER BY tenant, policy, at, entry LIMIT $5";

/// The entries of a selection that have texts, with the places of these; and the values of `$1` and `$2`. `$3` is the entry
/// behind which they begin, `$4` how many there are at most.
pub(super) fn texts(selection: &Selection) -> (String, &str, i64) {
    let (condition, whose, before) = match selection {
        Selection::Id(id) => (
            "e.place IN (SELECT place FROM entries WHERE id = $1 UNION SELECT place FROM entries WHERE context_id = $1) \
             AND e.at <= $2",
            id,
            i64::MAX,
        ),
        Selection::Client { client, before } => ("e.client = $1 AND e.at < $2", client, before.as_microsecond()),
    };
    let sql = format!(
        "SELECT e.place, asked.place, answered.place FROM entries e \
         LEFT JOIN contents asked ON asked.place = e.place \
         LEFT JOIN contents answered ON answered.place = e.outcome_place \
         WHERE {condition} AND e.place > $3 AND coalesce(asked.place, answered.place) IS NOT NULL \
         ORDER BY e.place LIMIT $4"
    );
    (sql, whose, before)
}
