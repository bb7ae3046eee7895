;; load encode invalid
;; prelude
(memory i64 1)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
