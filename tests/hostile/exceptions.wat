;; load encode invalid
;; prelude
(tag $t)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (throw $t))
