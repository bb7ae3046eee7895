//! Tools that models call: their names, and the ids and arguments of calls, as each vendor takes them.

pub(crate) mod arguments;
pub(crate) mod call_id;
pub(crate) mod repeated_ids;
pub(crate) mod tool_ids;
pub(crate) mod tool_name;
