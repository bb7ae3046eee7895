;; evaluate bad_verdict
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store (i32.const 4096) (i32.const 8192))
  (i32.store (i32.const 4100) (i32.const 10000))
  (i32.store8 (i32.const 1056) (i32.const 1))
  (i32.store (i32.const 1068) (i32.const 4096))
  (i32.store (i32.const 1072) (i32.const 1))
  (i32.const 1024))
