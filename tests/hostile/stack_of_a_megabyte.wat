;; evaluate stack_limit
;; prelude
;; 512 KiB are allowed to all
(func $level (param $n i64) (result i64)
  (if (result i64) (i64.eqz (local.get $n)) (then (i64.const 0)) (else
    (i64.add (call $level (i64.sub (local.get $n) (i64.const 1))) (local.get $n)))))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.store (i32.const 2048) (i32.wrap_i64 (call $level (i64.const 100000)))) (i32.const 1024))
