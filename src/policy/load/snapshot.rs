//! Freezing a configured instance: wizer's view of our instance.

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, WasmList};
use wasmtime_wizer::ComponentInstanceState;

use crate::policy::sandbox::State;

/// Reads the state of an instrumented instance for `Wizer::snapshot_component`.
///
/// wizer's trait has no way to report an error, so this panics where one occurs; it runs in the loader process, where
/// a panic is a refusal at step `snapshot`.
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
        function.call_async(&mut *self.store, ()).await.expect("an accessor only reads").0
    }
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
