//! The deployment's key: one secret, and what is made of it.
//!
//! A secret of 32 random bytes gives, by HKDF-SHA-256, the seed of an Ed25519 key that signs checkpoints and the key of
//! the HMAC of texts. Whoever has the secret can forge both: it is never printed, and its file is its owner's alone.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::AuditError;
use super::kept::{Made, kept};

const SIGNING: &[u8] = b"octroi.audit.signing.1";
const TEXTS: &[u8] = b"octroi.audit.texts.1";

/// The key of a deployment.
#[derive(Clone)]
pub struct AuditKey {
    signing: SigningKey,
    texts: Hmac<Sha256>,
}

/// Without the secret.
impl fmt::Debug for AuditKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AuditKey").field(&self.public()).finish()
    }
}

/// Equal keys sign alike.
impl PartialEq for AuditKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for AuditKey {}

impl AuditKey {
    /// Of the secret itself.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, AuditError> {
        let derived = |purpose: &[u8]| {
            let mut key = [0; 32];
            Hkdf::<Sha256>::new(None, secret)
                .expand(purpose, &mut key)
                .map(|()| key)
                .map_err(|error| AuditError::Key(format!("no key could be derived: {error}")))
        };
        let texts = Hmac::new_from_slice(&derived(TEXTS)?)
            .map_err(|error| AuditError::Key(format!("no key could be derived: {error}")))?;
        Ok(Self { signing: SigningKey::from_bytes(&derived(SIGNING)?), texts })
    }

    /// Of the secret as text: 64 hexadecimal digits. `from` says where it stood, for the error.
    pub fn parse(text: &str, from: &str) -> Result<Self, AuditError> {
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim(), &mut secret).map_err(|_| {
            AuditError::Key(format!("{from}: expected 64 hexadecimal digits (`openssl rand -hex 32` makes them)"))
        })?;
        Self::from_secret(&secret)
    }

    /// Of a file that is there.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Of a file, which is made with a new secret, readable by its owner alone, if it is not there. Says whether it was.
    pub fn read_or_make(path: &Path) -> Result<(Self, Made), AuditError> {
        let failed = |what: &str, error| match what {
            "read" => unreadable(path, error),
            _ => AuditError::Key(format!(
                "{} cannot be {what}: {error}; make the folder writable, or name a key that is there (audit.key, \
                 OCTROI_AUDIT_KEY)",
                path.display()
            )),
        };
        let (text, made) = kept(path, 0o600, || Ok(format!("{}\n", hex::encode(new_secret()?))), failed)?;
        Ok((Self::parse(&text, &path.display().to_string())?, made))
    }

    /// A new key that is written nowhere.
    pub fn random() -> Result<Self, AuditError> {
        Self::from_secret(&new_secret()?)
    }

    /// What others verify signatures with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.signing.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// The HMAC-SHA-256 of a text, in hexadecimal: tells whether two texts are equal, to whoever has the key alone.
    pub(crate) fn hmac(&self, text: &str) -> String {
        let mut mac = self.texts.clone();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

fn new_secret() -> Result<[u8; 32], AuditError> {
    let mut secret = [0; 32];
    let filled = getrandom::fill(&mut secret);
    filled.map_err(|error| AuditError::Key(format!("the system gives no random numbers: {error}")))?;
    Ok(secret)
}

fn unreadable(path: &Path, error: std::io::Error) -> AuditError {
    AuditError::Key(format!("{} cannot be read: {error} (audit.key, OCTROI_AUDIT_KEY)", path.display()))
}

/// The public half of an [`AuditKey`], written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub(crate) [u8; 32]);

impl PublicKey {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for PublicKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| {
            AuditError::Key("a public key is 64 hexadecimal digits; `octroi audit key` prints it".into())
        })?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octroi.key");
        let (first, made) = AuditKey::read_or_make(&path).unwrap();
        assert_eq!(made, Made::Now);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (second, made) = AuditKey::read_or_make(&path).unwrap();
        assert_eq!((first.clone(), made), (second, Made::Before));
        let secret = std::fs::read_to_string(&path).unwrap();
        assert!(!format!("{first:?}").contains(secret.trim()));
        assert_ne!(AuditKey::random().unwrap(), first);
    }

    #[test]
    fn a_wrong_secret_is_refused_and_not_shown() {
        for text in ["", "hunter2", &"f".repeat(63), &"g".repeat(64)] {
            let error = AuditKey::parse(text, "OCTROI_AUDIT_KEY").unwrap_err();
            assert_eq!(error.code(), "audit_key");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let missing = AuditKey::read(Path::new("no-such-folder/audit.key")).unwrap_err();
        assert!(missing.to_string().contains("no-such-folder/audit.key"), "{missing}");
    }

    #[test]
    fn a_signature_fits_its_message_and_its_key_alone() {
        let (key, other) = (AuditKey::random().unwrap(), AuditKey::random().unwrap());
        let signature = key.sign(b"what was said");
        assert!(key.public().verifies(b"what was said", &signature));
        assert!(!key.public().verifies(b"what was not said", &signature));
        assert!(!other.public().verifies(b"what was said", &signature));
        assert_ne!(key.hmac("text"), other.hmac("text"));
    }
}
