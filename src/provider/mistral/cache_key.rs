//! The key under which Mistral finds a conversation in its prompt cache (Q24).

use sha2::{Digest, Sha256};

use crate::chat::{ChatRequest, Part, Role};

/// A key that all turns of a conversation share and no other tenant's conversation has: of the tenant and of what is said
/// up to the first message of the user's. It tells nothing of either.
pub(super) fn derived(request: &ChatRequest) -> String {
    let mut hash = Sha256::new();
    // With its length before it, each text begins where it begins.
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    add(&request.tenant);
    let user = request.messages.iter().position(|message| message.role == Role::User);
    for message in request.messages.iter().take(user.map_or(request.messages.len(), |first| first + 1)) {
        add(if message.role == Role::System { "system" } else { "other" });
        message.parts.iter().filter_map(Part::text).for_each(&mut add);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Message;

    #[test]
    fn turns_of_a_conversation_share_a_key_and_tenants_never_do() {
        let key = |tenant: &str, said: &[(Role, &str)]| {
            let messages = said.iter().map(|(role, text)| Message::text(*role, *text)).collect();
            derived(&ChatRequest { tenant: tenant.into(), messages, ..ChatRequest::default() })
        };
        let (system, user, answer) = ((Role::System, "Be brief."), (Role::User, "Hi"), (Role::Assistant, "Yes?"));
        let first = key("a", &[system, user]);
        assert!(first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
        assert_eq!(key("a", &[system, user, answer, (Role::User, "Well")]), first);
        for other in [
            key("b", &[system, user]),
            key("a", &[user]),
            key("a", &[system, (Role::User, "Ho")]),
            key("a", &[(Role::System, "Be"), (Role::User, " brief.Hi")]),
            key("", &[(Role::System, "a"), system, user]),
        ] {
            assert_ne!(other, first);
        }
    }
}
