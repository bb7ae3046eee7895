;; load encode invalid
;; prelude
;; a type of a thousand and one parameters
(type (func (param
;; repeat 1_001
i32
;; end
)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
