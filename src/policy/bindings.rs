//! The host's side of `wit/`, generated. Arguments are borrowed, so that text goes into the guest's memory without a
//! copy of ours.

wasmtime::component::bindgen!({
    path: "wit",
    world: "policy",
    ownership: Borrowing { duplicate_if_necessary: false },
    exports: { default: async },
    imports: { "octroi:policy/counters": async | trappable, default: trappable },
});
