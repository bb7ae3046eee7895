//! Refuses requests that name a confidential project.

use octroi_policy::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    project: String,
}

struct NoProjectX(Settings);

impl Policy for NoProjectX {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.project.is_empty() { Err("settings.project: must not be empty".into()) } else { Ok(Self(settings)) }
    }

    fn describe(&self) -> Description {
        Description::new("no-project-x", "1.0.0", "Keeps a project inside the house").rule(
            "project",
            "confidential",
            "The project's name",
        )
    }
}

impl PreCheck for NoProjectX {
    fn pre_check(&self, _: &Context, messages: &[Message]) -> Verdict {
        for text in texts(messages) {
            if let Some(found) = text.keyword(&self.0.project).next() {
                let finding = Finding::new("project", "confidential", Severity::High).at(text.place(found));
                return Verdict::deny("The request names a confidential project").finding(finding);
            }
        }
        Verdict::allow()
    }
}

octroi_policy::export!(NoProjectX: PreCheck);
