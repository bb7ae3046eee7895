;; evaluate trap
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.store8 (i32.const 1024) (i32.const 99)) (i32.const 1024))
