;; passes
;; prelude
;; nearly as many locals as a function may have
(func (export "bomb") (param i32) (result i64)
  (local i64)
;; repeat 49_000
  (local i64)
;; end
;; repeat 20_000
  (local.set {i+1} (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))))
;; end
  (local.get 20_000))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
