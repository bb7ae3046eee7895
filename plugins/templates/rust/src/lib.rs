//! Refuses requests that name a confidential project.

use octroi_policy::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    project: String,
}

/// Made once by `configure`; every evaluation starts from it.
struct Guard {
    project: String,
}

impl Policy for Guard {
    type Settings = Settings;

    fn configure(Settings { project }: Settings) -> Result<Self, String> {
        if project.is_empty() { Err("settings.project: must not be empty".into()) } else { Ok(Self { project }) }
    }

    fn describe(&self) -> Description {
        Description::new("no-project-x", env!("CARGO_PKG_VERSION"), "Keeps a project inside the house").rule(
            "project",
            "confidential",
            "The project's name",
        )
    }
}

impl PreCheck for Guard {
    fn pre_check(&self, _: &Context, messages: &[Message]) -> Verdict {
        for text in texts(messages) {
            if let Some(found) = text.keyword(&self.project).next() {
                let finding = Finding::new("project", "confidential", Severity::High).at(text.place(found));
                return Verdict::deny("The request names a confidential project").finding(finding);
            }
        }
        Verdict::allow()
    }
}

octroi_policy::export!(Guard: PreCheck);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_name_is_refused() {
        let policy = configure::<Guard>(r#"{"project":"Project X"}"#).unwrap();
        let verdict = policy.pre_check(&Context::example(), &[Message::user("When does project x start?")]);
        assert_eq!(verdict.action, Action::Deny);
    }
}
