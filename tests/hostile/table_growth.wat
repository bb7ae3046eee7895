;; load snapshot not_freezable
;; prelude
(table $t 1 funcref)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (drop (table.grow $t (ref.null func) (i32.const 1000))) (i32.const 1024))
