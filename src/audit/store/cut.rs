//! What a cut removes. Both stores speak it.

use jiff::Timestamp;

/// Microseconds for which a request without an outcome may still be under way: `routing.stream_deadline` is a day at most.
const UNDER_WAY: i64 = 25 * 3_600 * 1_000_000;

/// The statements, in order. `$1` is the first place of the node, `$2` that of the last record to be removed.
pub(super) fn statements(now: Timestamp) -> [String; 5] {
    let lost = now.as_microsecond() - UNDER_WAY;
    // An entry goes with its last record: until then an outcome is taken whose intent is gone, and its text can be erased.
    let going = format!("place BETWEEN $1 AND $2 AND coalesce(outcome_place <= $2, kind <> 'request' OR at < {lost})");
    // The key of these rows begins with tenant and policy: the names that a tenant's rows have are found one by one. Each
    // row's whole key is made first (`wanted`), so that PostgreSQL looks for it by all of that, not by its first half.
    let policies = format!(
        "WITH RECURSIVE going AS (SELECT tenant, at, place FROM entries WHERE {going}), \
         named (tenant, policy) AS ( \
             SELECT tenant, (SELECT min(policy) FROM entry_policies p WHERE p.tenant = its.tenant) \
             FROM (SELECT DISTINCT tenant FROM going) its \
             UNION ALL \
             SELECT tenant, (SELECT min(policy) FROM entry_policies p \
                             WHERE p.tenant = named.tenant AND p.policy > named.policy) \
             FROM named WHERE policy IS NOT NULL \
         ), \
         wanted (tenant, policy, at, entry) AS MATERIALIZED ( \
             SELECT g.tenant, n.policy, g.at, g.place FROM going g JOIN named n ON n.tenant = g.tenant \
             WHERE n.policy IS NOT NULL \
         ) \
         DELETE FROM entry_policies WHERE (tenant, policy, at, entry) IN \
             (SELECT tenant, policy, at, entry FROM wanted)"
    );
    let of = |table: &str| format!("DELETE FROM {table} WHERE place BETWEEN $1 AND $2");
    [policies, format!("DELETE FROM entries WHERE {going}"), of("contents"), of("records"), of("checkpoints")]
}
