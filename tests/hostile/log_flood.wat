;; passes
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (local $i i32)
  (loop $again
    (call $log (i32.const 3) (i32.const 4096) (i32.const 60000))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (i32.const 12))))
  (i32.const 1024))
