;; load snapshot not_freezable
;; prelude
(global $seen (mut v128) (v128.const i64x2 0 0))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (if (v128.any_true (global.get $seen)) (then (i32.store8 (i32.const 1024) (i32.const 5))))
  (global.set $seen (v128.const i64x2 1 1))
  (i32.const 1024))
