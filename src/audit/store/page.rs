//! A page of entries with their records, as SQL. Both stores speak it, each in its dialect.

use super::filter::Dialect;
use crate::audit::chain::Place;

/// A record's text beyond this is not loaded for a page of entries.
const TEXT_AT_MOST: i64 = 256 << 10;

/// The places that `page` selects, with the bytes that are read of each entry, newest first.
pub(super) fn sizes(dialect: Dialect, page: &str) -> String {
    let [asked, answered] = ["asked", "answered"].map(|text| {
        format!("CASE WHEN octet_length({text}.content) <= {TEXT_AT_MOST} THEN octet_length({text}.content) ELSE 0 END")
    });
    let bytes = format!("octet_length(opened.body) + coalesce(octet_length(closed.body), 0) + {asked} + {answered}");
    joined(dialect, page, &format!("e.place, CAST({bytes} AS BIGINT)"))
}

/// What the entries at these places are made of, in the order in which stores read it, newest first.
pub(super) fn entries(dialect: Dialect, places: &[Place]) -> String {
    let [asked, answered] = ["asked", "answered"]
        .map(|text| format!("CASE WHEN octet_length({text}.content) <= {TEXT_AT_MOST} THEN {text}.content END"));
    let columns = format!(
        "e.id, e.context_id, e.kind, e.at, e.tenant, e.client, e.\"user\", e.request_type, e.decision, \
         opened.body, {asked}, closed.body, {answered}"
    );
    joined(dialect, &at(places), &columns)
}

/// Selects the entries at these places.
pub(super) fn at(places: &[Place]) -> String {
    let places: Vec<String> = places.iter().map(|place| place.0.to_string()).collect();
    format!("SELECT place FROM entries WHERE place IN ({})", places.join(", "))
}

/// Of the entries whose places `page` selects, with their records, newest first.
fn joined(dialect: Dialect, page: &str, columns: &str) -> String {
    let join = match dialect {
        // It fixes the order of the tables.
        Dialect::Sqlite => "CROSS JOIN",
        Dialect::Postgres => "JOIN",
    };
    format!(
        "WITH page AS MATERIALIZED ({page}) \
         SELECT {columns} \
         FROM page {join} entries e ON e.place = page.place {join} records opened ON opened.place = e.place \
              LEFT JOIN records closed ON closed.place = e.outcome_place \
              LEFT JOIN contents asked ON asked.place = e.place \
              LEFT JOIN contents answered ON answered.place = e.outcome_place \
         ORDER BY e.at DESC, e.place DESC"
    )
}
