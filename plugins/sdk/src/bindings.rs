//! What `wit-bindgen` makes of the WIT package, one world for each interface that a policy may export.
//!
//! A generated export macro puts a section into the module that names *every* export of its world. The worlds of the
//! package hold several interfaces; were the SDK built on them, a policy that exports `pre-check` alone would have to
//! say which of the published worlds it means, and one with `pre-check` and `audit` would find none. With a world for
//! each interface, [`export!`](crate::export) adds up exactly those that the policy implements, and the encoder
//! merges them.

/// The interfaces that every policy sees: the types and the log.
pub mod shared {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package octroi:sdk-shared; world shared { import octroi:policy/types@0.1.0; import octroi:policy/log@0.1.0; }",
        world: "octroi:sdk-shared/shared",
        generate_all,
        additional_derives: [PartialEq, Eq],
    });
}

/// The host interfaces that a manifest must grant. A module that calls neither imports neither.
pub mod granted {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package octroi:sdk-granted; world granted { import octroi:policy/clock@0.1.0; import octroi:policy/counters@0.1.0; }",
        world: "octroi:sdk-granted/granted",
        generate_all,
    });
}

/// Declares one world that exports one interface; what follows the names goes into its `with`.
macro_rules! interface_world {
    ($module:ident, $wit:literal, $world:literal, $export_macro:literal $(, $with:literal: $path:path)?) => {
        #[doc = concat!("`", stringify!($module), "`, as a world of its own.")]
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $wit,
                world: $world,
                generate_all,
                with: { $($with: $path)? },
                pub_export_macro: true,
                export_macro_name: $export_macro,
                additional_derives: [PartialEq, Eq],
            });
        }
    };
}

interface_world!(
    lifecycle,
    "package octroi:sdk-lifecycle; world lifecycle { export octroi:policy/lifecycle@0.1.0; }",
    "octroi:sdk-lifecycle/lifecycle",
    "export_lifecycle"
);
interface_world!(
    pre_check,
    "package octroi:sdk-pre-check; world pre-check { export octroi:policy/pre-check@0.1.0; }",
    "octroi:sdk-pre-check/pre-check",
    "export_pre_check",
    "octroi:policy/types@0.1.0": crate::bindings::shared::octroi::policy::types
);
interface_world!(
    response,
    "package octroi:sdk-response; world response { export octroi:policy/response@0.1.0; }",
    "octroi:sdk-response/response",
    "export_response",
    "octroi:policy/types@0.1.0": crate::bindings::shared::octroi::policy::types
);
interface_world!(
    audit,
    "package octroi:sdk-audit; world audit { export octroi:policy/audit@0.1.0; }",
    "octroi:sdk-audit/audit",
    "export_audit",
    "octroi:policy/types@0.1.0": crate::bindings::shared::octroi::policy::types
);
