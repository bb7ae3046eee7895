;; evaluate stack_limit
;; prelude
(func $deeper (param i32) (result i32)
  (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
;; repeat 16
  (local.set {i+1} (i64.add (local.get {i+1}) (i64.extend_i32_u (local.get 0))))
;; end
  (local.set 0 (call $deeper (i32.add (local.get 0) (i32.const 1))))
;; repeat 16
  (local.set 0 (i32.add (local.get 0) (i32.wrap_i64 (local.get {i+1}))))
;; end
  (local.get 0))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (call $deeper (i32.const 0)))
