;; evaluate bad_verdict
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 1056) (i32.const 1))
  (i32.store (i32.const 1060) (i32.const 4096))
  (i32.store (i32.const 1064) (i32.const 1000))
  (i32.const 1024))
