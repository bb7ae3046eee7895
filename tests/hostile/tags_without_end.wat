;; evaluate bad_verdict
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store (i32.const 1076) (i32.const 4096))
  (i32.store (i32.const 1080) (i32.const 65))
  (i32.const 1024))
