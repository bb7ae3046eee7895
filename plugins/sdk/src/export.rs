//! From a type that implements the traits to the functions that the gateway calls.

/// Exports a policy: `lifecycle`, and exactly the interfaces that are named.
///
/// ```ignore
/// octroi_policy::export!(Pii: PreCheck);
/// octroi_policy::export!(Both: PreCheck + Audit);
/// ```
///
/// Once a crate. When the crate is not built for WebAssembly (`cargo test` on the host) nothing is exported, and only
/// the presence of the traits is checked. Keep code that other policies share in a crate of its own: a module has the
/// exports of every crate that it links.
#[macro_export]
macro_rules! export {
    ($policy:ty: $first:ident $(+ $more:ident)*) => {
        const _: () = {
            const fn implements<P: $crate::$first $(+ $crate::$more)*>() {}
            implements::<$policy>();
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            impl $crate::runtime::Exported for $policy {
                fn slot() -> &'static ::std::sync::OnceLock<Self> {
                    static CONFIGURED: ::std::sync::OnceLock<$policy> = ::std::sync::OnceLock::new();
                    &CONFIGURED
                }
            }

            type Exports = $crate::runtime::Exports<$policy>;
            $crate::bindings::lifecycle::export_lifecycle!(Exports with_types_in $crate::bindings::lifecycle);
            $crate::__export_interface!($first Exports);
            $( $crate::__export_interface!($more Exports); )*
        };
    };
}

/// One interface of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (PreCheck $exports:ident) => {
        $crate::bindings::pre_check::export_pre_check!($exports with_types_in $crate::bindings::pre_check);
    };
    (Response $exports:ident) => {
        $crate::bindings::response::export_response!($exports with_types_in $crate::bindings::response);
    };
    (Audit $exports:ident) => {
        $crate::bindings::audit::export_audit!($exports with_types_in $crate::bindings::audit);
    };
    ($other:ident $exports:ident) => {
        compile_error!(concat!("`", stringify!($other), "` is no interface: PreCheck, Response and Audit are"));
    };
}

/// What [`export!`] expands to refers to this; it is not for authors.
pub mod runtime {
    use std::marker::PhantomData;
    use std::sync::OnceLock;

    use crate::bindings::{audit, lifecycle, pre_check, response};
    use crate::{Answer, Audit, Context, Description, Entry, Message, Policy, PreCheck, Response, Verdict};

    /// A policy that has a place to stand between `configure` and the evaluations.
    pub trait Exported: Policy {
        /// The place.
        fn slot() -> &'static OnceLock<Self>;
    }

    /// Implements the generated traits for a policy.
    pub struct Exports<P>(PhantomData<P>);

    /// The configured policy. The gateway calls `configure` before all else; any other order is a fault of the host
    /// that no verdict can express.
    fn configured<P: Exported>() -> &'static P {
        P::slot().get().unwrap_or_else(|| {
            crate::log::error("called before a successful configure");
            std::process::abort()
        })
    }

    impl<P: Exported> lifecycle::exports::octroi::policy::lifecycle::Guest for Exports<P> {
        fn configure(settings: String) -> Result<(), String> {
            // A panic's message may hold the text that was being matched; the place in the code does not.
            std::panic::set_hook(Box::new(|panic| match panic.location() {
                Some(at) => crate::log::error(format!("panicked at {}:{}", at.file(), at.line())),
                None => crate::log::error("panicked"),
            }));
            P::slot().set(crate::configure(&settings)?).map_err(|_| "configure was called twice".to_owned())
        }

        fn describe() -> Description {
            configured::<P>().describe()
        }
    }

    impl<P: Exported + PreCheck> pre_check::exports::octroi::policy::pre_check::Guest for Exports<P> {
        fn evaluate(context: Context, messages: Vec<Message>) -> Verdict {
            configured::<P>().pre_check(&context, &messages)
        }
    }

    impl<P: Exported + Response> response::exports::octroi::policy::response::Guest for Exports<P> {
        fn evaluate(context: Context, answer: Answer) -> Verdict {
            configured::<P>().response(&context, &answer)
        }
    }

    impl<P: Exported + Audit> audit::exports::octroi::policy::audit::Guest for Exports<P> {
        fn evaluate(context: Context, entry: Entry) -> Verdict {
            configured::<P>().audit(&context, &entry)
        }
    }
}
