//! Finds personal data in text.
//!
//! One pass over the bytes, by hand: only a digit, `@`, `:`, `+`, `(` or an escape can belong to anything that is looked for, so
//! text without them costs a table look-up for each byte, and nothing is written to memory before the first match (a
//! policy pays for every page that it writes). Each kind of data is a file of its own, beside its own tests.
//!
//! Everything is decided on the form, the checksum where there is one, and a few words in front of a number; ASCII
//! digits only. Bytes of other alphabets count as boundaries: a card number directly behind Chinese text is found.

mod aadhaar;
mod both;
mod bytes;
mod checksum;
mod digits;
mod email;
mod escape;
mod iban;
mod ip_address;
mod pan;
mod payment_card;
mod phone;
mod row;
mod rule;
mod scan;
mod ssn;
#[cfg(test)]
mod support;
mod validator;

pub use both::find_both;
pub use rule::{CATEGORY, Rule, Rules};
pub use scan::{Match, find};
pub use validator::Validator;
