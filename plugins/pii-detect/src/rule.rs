//! The kinds of personal data.

use octroi_policy::Severity;
use serde::Deserialize;

/// The category of every finding.
pub const CATEGORY: &str = "pii";

/// A kind of personal data. The names in settings and findings are those of [`Rule::id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Rule {
    /// A payment card number: issuer's prefix and length, Luhn.
    PaymentCard,
    /// A US social security number: area, group and serial.
    UsSsn,
    /// An international bank account number: the country's length, mod 97.
    Iban,
    /// An Indian permanent account number: the entity type's letter.
    Pan,
    /// An Indian Aadhaar number: Verhoeff.
    Aadhaar,
    /// An e-mail address.
    Email,
    /// A telephone number, international or in the usual national forms.
    Phone,
    /// An IP address, version 4 or 6, of an actual host.
    IpAddress,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 8] = [
        Self::PaymentCard,
        Self::UsSsn,
        Self::Iban,
        Self::Pan,
        Self::Aadhaar,
        Self::Email,
        Self::Phone,
        Self::IpAddress,
    ];

    /// The name in settings and findings.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::PaymentCard => "payment-card",
            Self::UsSsn => "us-ssn",
            Self::Iban => "iban",
            Self::Pan => "pan",
            Self::Aadhaar => "aadhaar",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::IpAddress => "ip-address",
        }
    }

    /// What it is, for people, in the middle of a sentence.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::PaymentCard => "payment card number",
            Self::UsSsn => "US social security number",
            Self::Iban => "bank account number (IBAN)",
            Self::Pan => "Indian permanent account number (PAN)",
            Self::Aadhaar => "Aadhaar number",
            Self::Email => "e-mail address",
            Self::Phone => "phone number",
            Self::IpAddress => "IP address",
        }
    }

    /// What stands in its place when nothing else is set.
    #[must_use]
    pub fn mask(self) -> &'static str {
        match self {
            Self::PaymentCard => "[CARD]",
            Self::UsSsn => "[SSN]",
            Self::Iban => "[IBAN]",
            Self::Pan => "[PAN]",
            Self::Aadhaar => "[AADHAAR]",
            Self::Email => "[EMAIL]",
            Self::Phone => "[PHONE]",
            Self::IpAddress => "[IP]",
        }
    }

    /// Critical is a number that money or an identity hangs on, medium a way to reach a person.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::PaymentCard | Self::UsSsn | Self::Iban | Self::Pan | Self::Aadhaar => Severity::Critical,
            Self::Email | Self::Phone | Self::IpAddress => Severity::Medium,
        }
    }
}

/// By its id, as a text: an enum's name as a key of a map is lost to the path in an error.
impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::ALL.into_iter().find(|rule| rule.id() == name).ok_or_else(|| {
            let known = Self::ALL.map(|rule| format!("`{}`", rule.id())).join(", ");
            format!("unknown rule `{name}`, expected one of {known}")
        })
    }
}

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules(u8);

impl Rules {
    /// No rule.
    pub const NONE: Self = Self(0);

    /// Every rule.
    pub const ALL: Self = Self(u8::MAX);

    /// This set and `rule`.
    #[must_use]
    pub const fn with(self, rule: Rule) -> Self {
        Self(self.0 | 1 << rule as u8)
    }

    /// Whether `rule` is in the set.
    #[must_use]
    pub const fn has(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u8 != 0
    }
}
