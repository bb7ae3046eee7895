//! What becomes of a request on its way to a vendor that takes less than the canonical one, or takes it in another form.

pub(crate) mod changes;
pub(crate) mod image;
pub(crate) mod json_prompt;
pub(crate) mod left_out;
pub(crate) mod schema;
