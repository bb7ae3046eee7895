;; passes
;; prelude
;; repeat 20
(table 1 funcref)
;; end
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
