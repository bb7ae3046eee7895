;; load snapshot not_freezable
;; prelude
;; a second evaluation would find the segment dropped
(data $once "x")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (memory.init $once (i32.const 4096) (i32.const 0) (i32.const 1))
  (data.drop $once)
  (i32.const 1024))
