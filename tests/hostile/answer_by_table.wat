;; load snapshot not_freezable
;; prelude
;; a second evaluation would find the table changed
(table $t 1 funcref)
(elem declare func $f)
(func $f)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (if (i32.eqz (ref.is_null (table.get $t (i32.const 0)))) (then (i32.store8 (i32.const 1024) (i32.const 5))))
  (table.set $t (i32.const 0) (ref.func $f))
  (i32.const 1024))
