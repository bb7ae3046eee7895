//! Freezing a configured instance: wizer's view of our instance.

use wasmtime::component::{ComponentNamedList, Instance, Lift, WasmList};
use wasmtime::{Store, Trap};
use wasmtime_wizer::ComponentInstanceState;

use super::{LoadCode, LoadError, Step};
use crate::policy::sandbox::State;

/// Reads the state of an instrumented instance for `Wizer::snapshot_component`.
///
/// wizer's trait has no way to report an error, so this panics where one occurs; it runs in the loader process, where
/// a panic is a refusal at step `snapshot`: in the words of its payload where that is a [`LoadError`].
pub(super) struct Frozen<'a> {
    pub(super) store: &'a mut Store<State>,
    pub(super) instance: Instance,
}

impl Frozen<'_> {
    #[expect(clippy::expect_used, reason = "see the type: the exports were put there by the instrumentation")]
    async fn call<R>(&mut self, interface: &str, function: &str) -> R
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let (_, interface) =
            self.instance.get_export(&mut *self.store, None, interface).expect("the instrumentation's interface");
        let (_, function) = self
            .instance
            .get_export(&mut *self.store, Some(&interface), function)
            .expect("the instrumentation's function");
        let function = self
            .instance
            .get_typed_func::<(), (R,)>(&mut *self.store, function)
            .expect("the instrumentation's signature");
        match function.call_async(&mut *self.store, ()).await {
            Ok((read,)) => read,
            Err(error) => std::panic::resume_unwind(Box::new(unreadable(&error))),
        }
    }
}

/// An accessor only reads, but to hand over a memory it grows it by a page, and traps where that cannot be.
fn unreadable(error: &wasmtime::Error) -> LoadError {
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => {
            "its memory is at its own maximum; to be frozen it must have room for two more pages (128 KiB)".to_owned()
        }
        _ => format!("its state cannot be read: {error:#}"),
    };
    LoadError::new(Step::Snapshot, LoadCode::NotFreezable, message)
}

impl ComponentInstanceState for Frozen<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        let list: WasmList<u8> = self.call(instance, func).await;
        contents(list.as_le_slice(&*self.store));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<f64>(instance, func).await.to_bits()
    }
}
