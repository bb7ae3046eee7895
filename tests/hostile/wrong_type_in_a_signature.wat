;; load validate bad_exports
;; prelude
;; the same names, another list of actions
;; wit deny, =>
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
